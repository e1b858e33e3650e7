"""The samples of README.md and docs/ do what they say, as they stand; README.ko.md has the same.

Python runs in a folder with real photos, and so does every `captioner` command that needs no data
beyond them. Commands that train, score or serve are read by the parser only, and what is no command
of ours by the shell only (`bash -n`): it would need a network, a server or somebody's archives.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

import pytest

from captioner import Captioner
from captioner import checkpoint as checkpoints
from captioner.captions.recipe import Recipe
from captioner.cli import main
from captioner.cli.parser import make_parser
from captioner.cli.train import split_settings
from captioner.errors import ConfigError
from captioner.examples import EXAMPLES
from captioner.recipes.files import read_recipe
from captioner.ui import imports

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("caption", "explain", "translate", "describe", "doctor")
READ = (
    "demo",
    "ui",
    "train",
    "evaluate",
    "calibrate",
    "study",
    "data",
    "score",
    "bench",
    "export",
    "completion",
)  # demo: the same code, six photos
README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
MOST_WORDS, LONGEST_LINE = 900, 119  # a page that is read in five minutes
SERVED = "gradio_client"  # what needs a running page; its answers are tested with the page


@dataclass(frozen=True)
class Sample:
    """One fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """A command each, those that go on behind a backslash put together."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def _blocks(document: Path) -> list[Sample]:
    text = document.read_text(encoding="utf-8")
    return [
        Sample(document, text[: block.start()].count("\n") + 1, block[1], block[2])
        for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def _samples(*languages: str) -> list[Sample]:
    found = [sample for document in DOCUMENTS for sample in _blocks(document)]
    return [sample for sample in found if sample.language in languages]


def _without_comments(sample: Sample) -> list[object]:
    """What a computer reads of a sample, the same whatever language its comments are in."""
    if sample.language == "sh":
        return [shlex.split(line, comments=True) for line in sample.lines]
    tokens = tokenize.generate_tokens(io.StringIO(sample.text).readline)
    return [token.string for token in tokens if token.type != tokenize.COMMENT]


def _pictures(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [one or other for one, other in re.findall(r'!\[[^]]*\]\((.*?)\)|src="(.*?)"', text)]


def _numbers(document: Path) -> list[str]:
    """Percentages, and what stands in table rows between bars, blanks and brackets."""
    text = document.read_text(encoding="utf-8")
    return re.findall(r"\d+(?= %)|(?<=[| [])\.\d{3}|(?<=\| )\d+\.\d", text)


SHELL = [(sample, line) for sample in _samples("sh") for line in sample.lines]
COMMANDS = [(sample, line) for sample, line in SHELL if line.startswith("captioner ")]


def _of(kinds: tuple[str, ...]) -> list[tuple[Sample, str]]:
    return [(sample, line) for sample, line in COMMANDS if shlex.split(line)[1] in kinds]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what somebody who follows the documents has there."""
    there = {example.name: example.path for example in EXAMPLES if example.path is not None}
    if "cat" not in there or "lion" not in there:
        pytest.skip("the photographs of scikit-image and Gradio are not installed")
    for name in ("holiday", "photos"):
        (tmp_path / name).mkdir()
    shutil.copy(there["cat"], tmp_path / "cat.png")
    for name in ("photo.jpg", "holiday/dog.jpg", "holiday/lion.jpg", "photos/lion.jpg"):
        shutil.copy(there["lion"], tmp_path / name)
    (tmp_path / "english.txt").write_text("A dog runs through the snow.\nTwo men are sleeping.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _typed(line: str) -> tuple[list[str], str | None]:
    """The arguments of a command, and the file that its output goes to."""
    words = shlex.split(line, comments=True)[1:]
    if ">" not in words:
        return words, None
    return words[: words.index(">")], words[words.index(">") + 1]


def test_the_documents_have_samples() -> None:
    """Or nothing below would be tested."""
    assert len(_of(RUN)) >= 8
    assert len(_of(READ)) >= 6
    assert len(_samples("python")) >= 5


@pytest.mark.parametrize(("sample", "line"), _of(RUN), ids=str)
def test_commands_run(sample: Sample, line: str, photos: Path) -> None:
    arguments, output = _typed(line)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(arguments) == 0
    assert printed.getvalue().strip()
    for flag in ("--overlay", "--jsonl", "--alignment"):
        if flag in arguments:
            made = photos / arguments[arguments.index(flag) + 1]
            assert any(made.iterdir()) if made.is_dir() else made.stat().st_size
    if output is not None:
        lines = (photos / "english.txt").read_text().splitlines()
        assert len(printed.getvalue().splitlines()) == len(lines)


def test_the_installed_command_runs(photos: Path) -> None:
    command = shutil.which("captioner", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("captioner is not installed beside this Python")
    arguments, _ = _typed(_of(RUN)[0][1])
    ran = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
    files = [line.split("\t")[0] for line in ran.stdout.splitlines()]
    assert files == ["photo.jpg", "holiday/dog.jpg", "holiday/lion.jpg"]


@pytest.mark.parametrize(("sample", "line"), _of(READ), ids=str)
def test_commands_can_be_read(sample: Sample, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their recipes, which lie in the checkout."""
    monkeypatch.chdir(ROOT)
    arguments, _ = _typed(line)
    own, settings = split_settings(arguments) if arguments[0] == "train" else (arguments, [])
    parsed = make_parser().parse_args(own)
    if parsed.command == "train":
        read_recipe(parsed.recipe, settings)


def test_every_command_is_known() -> None:
    assert {shlex.split(line)[1] for _, line in COMMANDS} <= {*RUN, *READ}
    with pytest.raises(ConfigError):
        make_parser().parse_args(["captoin"])


@pytest.mark.parametrize("sample", _samples("sh"), ids=str)
def test_the_shell_can_read_it(sample: Sample) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    subprocess.run(["bash", "-n", "-c", sample.text], check=True)


@pytest.mark.parametrize("sample", _samples("python"), ids=str)
def test_python_runs(sample: Sample, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(sample.text, str(sample), "exec")
    if SERVED in sample.text:
        return
    rows = [json.dumps(json.loads(one.text)) for one in _samples("json")]
    (photos / "all.jsonl").write_text("\n".join(reversed(rows)) + "\n", encoding="utf-8")
    exec(code, {"__name__": "__main__"})
    for name in re.findall(r'save\("(.*?)"\)', sample.text):
        assert (photos / name).stat().st_size


@pytest.mark.parametrize("sample", _samples("json"), ids=str)
def test_objects_are_what_is_read(sample: Sample) -> None:
    [caption] = imports.read(json.dumps(json.loads(sample.text)).encode(), {}).captions
    assert caption.error is None
    assert caption.maps.shape == (2, 2, 3)


@pytest.mark.parametrize("document", [*DOCUMENTS, KOREAN], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r'\]\(([^)#]+)[^)]*\)|src="([^"]+)"', text):
        place = target[0] or target[1]
        if "://" not in place:
            assert (document.parent / place).exists(), place


@pytest.mark.parametrize("document", [*DOCUMENTS, KOREAN], ids=lambda path: path.name)
def test_links_name_a_heading_that_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for place, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        page = (document.parent / place if place else document).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        anchors = [
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
        ]
        assert anchor in anchors, f"{place}#{anchor}"


@pytest.mark.parametrize("document", [README, KOREAN], ids=lambda path: path.name)
def test_the_readme_is_short(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert len(text.split()) < MOST_WORDS
    assert [line for line in text.splitlines() if len(line) > LONGEST_LINE] == []


def test_the_readme_leads_to_every_document() -> None:
    """By itself, or over a page that it leads to."""
    linked = set(re.findall(r"\]\(docs/([^)#/]+\.md)", README.read_text(encoding="utf-8")))
    for page in sorted(linked):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        linked |= set(re.findall(r"\]\(([^)#/]+\.md)", text))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= linked


def test_both_readmes_have_the_same_samples() -> None:
    """The same commands, lines of Python and pictures, in the same order."""
    ours, theirs = _blocks(README), _blocks(KOREAN)
    assert [sample.language for sample in ours] == [sample.language for sample in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert _without_comments(our) == _without_comments(their), f"{our} and {their}"


def test_both_readmes_show_the_same_pictures() -> None:
    assert _pictures(README)
    assert _pictures(README) == _pictures(KOREAN)


def test_both_readmes_say_the_same_numbers() -> None:
    assert len(_numbers(README)) > 15
    assert sorted(_numbers(README)) == sorted(_numbers(KOREAN))


def test_the_readmes_link_to_each_other_and_to_the_same_pages() -> None:
    pages = [
        set(re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")))
        for document in (README, KOREAN)
    ]
    assert KOREAN.name in pages[0]
    assert README.name in pages[1]
    assert pages[0] - {KOREAN.name} == pages[1] - {README.name}


def test_recipes_that_start_from_the_shipped_cnn_name_it() -> None:
    """Weights that come along may become another CNN's; who follows README must not notice."""
    paths = [path for path in (ROOT / "configs").glob("*.toml") if "study" not in path.name]
    recipes = {path.name: read_recipe(path) for path in paths}
    starting = {
        name: recipe.model.encoder.name
        for name, recipe in recipes.items()
        if isinstance(recipe, Recipe) and recipe.model.encoder.weights == "shipped"
    }
    shipped = checkpoints.describe(checkpoints.default_path())["config"]["encoder"]["name"]
    assert starting == dict.fromkeys(starting, shipped)
    assert "scenes.toml" in starting


def test_the_endpoints_are_shown_with_what_the_shipped_weights_say(photos: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    look = Captioner.load().look(photos / "cat.png")
    caption = look.caption()
    assert text.count(f"# {caption.text}\n") == 5
    assert f"# {list(caption.maps.shape[1:])} {len(caption.maps)}\n" in text
    said = [f"{w.text} {w.to_dict()['prob']}" for w in look.explain("A dog sits on a bench.").words]
    assert f"# {', '.join(said[:3])}, …\n" in text
    assert f"# {look.caption(to='de').text}\n" in text
