from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import captioner
from captioner import scenes

ROOT = Path(__file__).parent.parent


def _python(code: str, folder: Path = ROOT) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import captioner; dir(captioner); captioner.__version__",
        "import captioner.cli",
        "from captioner.options import SearchOptions",
        "from captioner import SearchOptions",
        "from captioner import ConfigError, Recipe",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in _python(code).split()}
    heavy = {"torch", "torchvision", "gradio", "nltk", "matplotlib", "numpy", "PIL", "tqdm"}
    assert not loaded & heavy


_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def _policies(code: str, monkeypatch: pytest.MonkeyPatch, **given: str) -> dict[str, str]:
    """What the environment says about waiting, behind `code`, where it said `given` before."""
    for name in _POLICIES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    told = f"import os; print(*(f'{{n}}={{os.environ.get(n)}}' for n in {_POLICIES!r}))"
    pairs = (pair.split("=") for pair in _python(f"{code}\n{told}").split())
    return {name: value for name, value in pairs if value != "None"}


@pytest.mark.parametrize(
    "code", ["import captioner", "import captioner.cli", "import captioner.ui"]
)
def test_threads_sleep_while_they_wait(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _policies(code, monkeypatch) == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize(
    "given", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "0"}]
)
def test_who_chose_how_threads_wait_is_obeyed(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _policies("import captioner", monkeypatch, **given) == given


def test_openmp_hears_of_it() -> None:
    """It tells what it goes by when it is loaded, which is before any caption."""
    code = "import captioner.prediction"
    command = [sys.executable, "-c", code]
    own = {name: value for name, value in os.environ.items() if name not in _POLICIES}
    own["OMP_DISPLAY_ENV"] = "TRUE"
    ran = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    if "OMP_WAIT_POLICY" not in ran.stderr:
        pytest.skip("this torch has another OpenMP")
    assert re.search(r"OMP_WAIT_POLICY = 'PASSIVE'", ran.stderr, re.IGNORECASE)


def test_help_and_misuse_load_nothing_heavy() -> None:
    """At every level; asked for in one process, which is quick as long as this is true."""
    commands = ("", "caption", "explain", "translate", "ui", "demo", "train", "evaluate")
    commands += (
        "calibrate",
        "describe",
        "score",
        "data",
        "data check",
        "data convert",
        "study",
        "study length",
        "study alignment",
    )
    code = f"""
import sys
from captioner.cli import main
for command in {commands!r}:
    try:
        main([*command.split(), "--help"])
    except SystemExit as end:
        assert end.code == 0
assert main(["caption", "x.jpg", "--beam-size", "1000000"]) == 2
assert main(["--version"]) == 0
assert main([]) == 2
print("modules:", *sys.modules)
"""
    printed, _, loaded = _python(code).partition("modules:")
    assert printed.count("usage: captioner") == len(commands)
    names = {name.partition(".")[0] for name in loaded.split()}
    assert not {"torch", "gradio", "numpy", "PIL"} & names


def test_a_caption_waits_for_no_library_that_it_needs_not(tmp_path: Path) -> None:
    """Of the shipped weights: torchvision, and torch's compiler, would take a second each."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (32, 32), "red").save(photo)
    code = f"""
import sys
from captioner.cli import main
assert main(["caption", {str(photo)!r}]) == 0
print("modules:", *sys.modules)
"""
    names = set(_python(code).partition("modules:")[2].split())
    assert "torch" in names
    heavy = {"torchvision", "torch._dynamo", "sympy", "scipy", "nltk", "gradio", "pandas"}
    assert not names & {*heavy, "matplotlib", "skimage", "huggingface_hub"}


def test_every_public_name_is_there() -> None:
    for name in captioner.__all__:
        assert getattr(captioner, name) is not None
    assert set(captioner.__all__) <= set(dir(captioner))
    assert sorted(captioner.__all__) == captioner.__all__


def test_public_names_are_the_layers_own() -> None:
    from captioner import checkpoint, evaluation, prediction, training
    from captioner.captions import captioner as captions

    assert captioner.Captioner is captions.Captioner is prediction.Captioner
    assert captioner.load_checkpoint is checkpoint.load
    assert captioner.save_checkpoint is checkpoint.save
    assert captioner.describe_checkpoint is checkpoint.describe
    assert captioner.evaluate is evaluation.evaluate
    assert captioner.train is training.train


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'captioner' has no attribute 'Painter'"):
        captioner.Painter  # noqa: B018
    with pytest.raises(ImportError):
        from captioner import Painter  # noqa: F401


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert captioner.__version__ == project["version"]


def _copied(folder: Path) -> None:
    """The package's first file alone, as it would lie in site-packages."""
    (folder / "captioner").mkdir()
    source = (ROOT / "captioner" / "__init__.py").read_text(encoding="utf-8")
    (folder / "captioner" / "__init__.py").write_text(source, encoding="utf-8")


def test_outside_a_checkout_the_version_is_the_installed_one(tmp_path: Path) -> None:
    _copied(tmp_path)
    asked = "import captioner; print(captioner.__version__, len(captioner.__path__))"
    hidden = (  # whatever is installed here
        "import importlib.metadata as metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
    )
    assert _python(hidden + asked, tmp_path).split() == ["unknown", "1"]
    installed = tmp_path / "captioner-7.3.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: captioner\nVersion: 7.3\n")
    assert _python(asked, tmp_path).split() == ["7.3", "1"]


def test_in_a_checkout_the_sister_folders_belong_to_the_package(tmp_path: Path) -> None:
    _copied(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "5.1"\n')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "__init__.py").write_text("")
    (tmp_path / "checkpoints" / "caption.safetensors").write_text("weights")
    code = (
        "import captioner, captioner.checkpoints\n"
        "from importlib.resources import files\n"
        "print((files('captioner.checkpoints') / 'caption.safetensors').read_text())\n"
        "print(captioner.__version__)\n"
    )
    assert _python(code, tmp_path).split() == ["weights", "5.1"]


def test_the_list_of_packages_is_complete() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "captioner").rglob("__init__.py")}
    expected = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    beside = [path.parent.relative_to(ROOT) for path in ROOT.glob("*/__init__.py")]
    beside += [path.parent.relative_to(ROOT) for path in ROOT.glob("ui/*/__init__.py")]
    sisters = {".".join(("captioner", *folder.parts)) for folder in beside}
    assert set(setuptools["packages"]) == expected | (sisters - {"captioner.captioner"})
    for package, folder in setuptools["package-dir"].items():
        assert (ROOT / folder / "__init__.py").exists(), package
    for package, files in setuptools["package-data"].items():
        home = ROOT / setuptools["package-dir"].get(package, package.replace(".", "/"))
        assert all((home / file).exists() for file in files)


def test_the_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    """Built, unpacked beside the same site-packages, and asked to caption a photo from `/`."""
    source = tmp_path / "source"
    skipped = ("runs", ".git", ".venv", "venv", "build", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*skipped))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("captioner-*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "captioner/checkpoints/caption.safetensors" in names
    assert "captioner/checkpoints/NOTICE" in names
    assert "captioner/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"captioner", next(top for top in tops if top.endswith(".dist-info"))}
    home = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(home)
    photo = tmp_path / "photo.png"
    scenes.draw(1, 0).picture.save(photo)
    code = f"""
import sys
sys.path.insert(0, {str(home)!r})
import captioner
assert captioner.__file__.startswith({str(home)!r}), captioner.__file__
print(captioner.Captioner.load()({str(photo)!r}).text)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"[A-Z].+\.\n", done.stdout)
