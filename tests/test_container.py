"""The container file: what it copies is there, and who runs in it has no rights.

No container runtime is needed here; that its steps work, one by one, is tried by hand.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from captioner.cli.parser import make_parser

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "container"
STEPS = [
    line.split(" ", 1)
    for line in (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def _of(step: str) -> list[str]:
    return [rest for name, rest in STEPS if name == step]


def _sent(path: Path) -> bool:
    """Whether a file of the checkout is sent to the builder: the last pattern that matches says."""
    sent = True
    text = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    for line in filter(lambda line: line and not line.startswith("#"), text.splitlines()):
        pattern = line.removeprefix("!")
        anywhere = pattern.startswith("**/") and pattern.removeprefix("**/") in path.parts
        ways = [path, *path.parents[:-1]]
        alike = [way for way in ways if way.match(pattern) and way.parent == Path(pattern).parent]
        if anywhere or alike or pattern == "*":
            sent = line.startswith("!")
    return sent


def test_what_is_copied_is_there_and_is_sent() -> None:
    copied = [words for words in map(str.split, _of("COPY")) if not words[0].startswith("--from")]
    assert len(copied) >= 4
    for *sources, _ in copied:
        for source in sources:
            assert (ROOT / source).exists()
            inside = [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).rglob("*.py")
            assert all(
                _sent(path.relative_to(ROOT)) for path in inside if "__pycache__" not in path.parts
            )


def test_the_package_is_whole() -> None:
    """Every file that the wheel takes along, the weights too; nothing of tests, runs or history."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = project["tool"]["setuptools"]["package-dir"]
    for package, files in project["tool"]["setuptools"]["package-data"].items():
        folder = Path(folders.get(package, package.replace(".", "/")))
        assert all(_sent(folder / name) for name in files)
    assert all(map(_sent, map(Path, project["project"]["license-files"])))
    for name in ("runs/x.pt", ".git/config", "tests/a.py", "checkpoints/mine.safetensors", "a.jpg"):
        assert not _sent(Path(name)), name
    assert not _sent(Path("captioner/__pycache__/x.pyc"))


def test_nobody_runs_the_page_that_only_a_published_port_reaches() -> None:
    assert _of("USER") == ["captioner"]
    assert STEPS.index(["USER", "captioner"]) > max(
        number for number, (name, _) in enumerate(STEPS) if name in ("RUN", "COPY")
    )
    entry, command = json.loads(_of("ENTRYPOINT")[0]), json.loads(_of("CMD")[0])
    assert entry == ["captioner"]
    parsed = make_parser().parse_args(command)
    assert (parsed.host, str(parsed.port)) == ("0.0.0.0", _of("EXPOSE")[0])
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"--publish (\S+)", text) == ["127.0.0.1:7860:7860"]


def test_the_commands_of_its_page_can_be_read() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"docker run .* captioner ?(.*)$", text, re.MULTILINE)
    assert len(shown) == 3
    for line in shown[1:]:
        make_parser().parse_args(line.split())


def test_torch_is_that_for_the_cpu() -> None:
    (torch,) = [line for line in _of("RUN") if " torch " in line]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert torch.removeprefix("pip install --no-cache-dir ") in readme
