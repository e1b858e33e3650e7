from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner.cli import main
from captioner.errors import ConfigError, DataError
from captioner.formats import registry
from captioner.formats.conversion import Order, convert
from captioner.formats.entries import Entry
from captioner.formats.registry import FORMATS
from tests.commands import contents_of, one_error

ENTRIES = (
    Entry("a/dog.jpg", ("A dog.", "It runs, fast."), split="train"),
    Entry("cat.png", ("A cat.",), split="val"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the photos of ENTRIES (which need not open) and `c.jsonl`."""
    for number, entry in enumerate(ENTRIES):
        path = tmp_path / "images" / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 9)
    registry.write(ENTRIES, tmp_path / "c.jsonl", registry.named("jsonl"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str) -> int:
    return main(["data", "convert", *arguments])


def _output(name: str) -> str:
    return next((pattern.replace("*", "1") for pattern in registry.named(name).files), "folder")


@pytest.mark.parametrize("to", FORMATS, ids=[form.name for form in FORMATS])
def test_any_into_any(here: Path, to: registry.Format, capsys: pytest.CaptureFixture[str]) -> None:
    """All formats out of one, and out of each of them this one."""
    first, second = f"one/{_output(to.name)}", f"two/{_output(to.name)}"
    assert _run("c.jsonl", "--images", "images", "--output", first) == 0
    for name in ("coco", "folder", "webdataset", "karpathy", "csv", "results"):
        way = f"ways/{name}/{_output(name)}"
        assert _run("c.jsonl", "--images", "images", "--output", way) == 0
        photos = () if name == "webdataset" else ("--images", "images")
        assert _run(way, *photos, "--output", f"{second}.{name}", "--to", to.name) == 0
        held = registry.named(name)
        found = registry.read(f"{second}.{name}", to.name, split="*" * (to.name == "karpathy"))
        expected = {
            entry.captions if held.several and to.several else entry.captions[:1]
            for entry in ENTRIES
        }
        assert {entry.captions for entry in found.entries} == expected
        if to.named:
            assert {entry.name for entry in found.entries} == {e.name for e in ENTRIES}
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_lost_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("c.jsonl", "--output", "r_results.json", "--to", "results") == 0
    out, err = capsys.readouterr()
    assert out == "r_results.json: 2 photos, 2 captions, from JSON lines to COCO results\n"
    assert err.splitlines() == [
        "captioner: 1 photos have several captions; COCO results holds one, the first of each",
        "captioner: COCO results does not say which split a photo belongs to; see --split",
    ]


def test_sources_are_put_together(here: Path) -> None:
    Path("more.csv").write_text("image,caption\ncat.png,It sleeps.\nnew.jpg,A man.\n")
    outcome = convert(
        Order((Path("c.jsonl"), Path("more.csv")), Path("all.csv"), registry.named("csv"))
    )
    assert (outcome.photos, outcome.captions) == (3, 5)
    captions = {e.name: e.captions for e in registry.read("all.csv").entries}
    assert captions["cat.png"] == ("A cat.", "It sleeps.")


def test_a_split_and_photos_that_are_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("c.jsonl", "--split", "val", "--output", "val.csv") == 0
    assert [e.name for e in registry.read("val.csv").entries] == ["cat.png"]
    Path("images/cat.png").unlink()
    assert _run("c.jsonl", "--images", "images", "--existing", "--output", "part.csv") == 0
    assert [e.name for e in registry.read("part.csv").entries] == ["a/dog.jpg"]
    assert "1 photos that are not in images are left out" in capsys.readouterr().err


def test_photos_come_along(here: Path) -> None:
    own = ("--images", "images", "--photos", "set", "--output", "set/metadata.jsonl")
    assert _run("c.jsonl", *own) == 0
    for entry in ENTRIES:
        copy, photo = Path("set") / entry.name, Path("images") / entry.name
        assert copy.read_bytes() == photo.read_bytes()
    assert _run("set", "--output", "again.csv") == 0
    assert {e.name for e in registry.read("again.csv").entries} == {e.name for e in ENTRIES}


def test_photos_of_an_archive_are_unpacked(here: Path) -> None:
    assert _run("c.jsonl", "--images", "images", "--output", "s.tar") == 0
    assert _run("s.tar", "--photos", "out", "--output", "out/metadata.jsonl") == 0
    for entry in ENTRIES:
        copy, photo = Path("out") / entry.name, Path("images") / entry.name
        assert copy.read_bytes() == photo.read_bytes()
    assert main(["data", "check", "--captions", "s.tar"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c.jsonl", "--output", "c.jsonl"), "c.jsonl is read by this very command, and an output"),
        (("c.jsonl", "--output", "there.csv"), "there.csv is there already and is no file of capt"),
        (("c.jsonl", "--output", "x.xml"), "x.xml: its name tells no format; add --to with one of"),
        (("gone.csv", "--output", "x.csv"), "gone.csv: no such file; expected captions or a list"),
        (
            ("c.jsonl", "--output", "x", "--images", "elsewhere"),
            "elsewhere/a/dog.jpg: there is no such photo to copy; set --images to its folder",
        ),
        (
            ("r.json", "--output", "x.csv"),
            "r.json: tells photos by ids and names no files",
        ),
        (
            ("r.json", "--output", "x.csv", "--images", "images"),
            "images: has no photos for 1 of 1 ids, first '7'; name another folder, or leave them",
        ),
        (("c.jsonl", "--split", "test", "--output", "x.csv"), "c.jsonl: no photos of the split 't"),
    ],
)
def test_what_cannot_be_done_is_said(
    here: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("there.csv").write_text("by hand")
    Path("r.json").write_text('[{"image_id": 7, "caption": "x"}]')
    before = contents_of(here)
    assert _run(*arguments) == 2
    assert one_error(capsys).startswith(f"captioner: {message}")
    assert contents_of(here) == before


def test_archives_and_files_do_not_mix(here: Path) -> None:
    assert _run("c.jsonl", "--images", "images", "--output", "s.tar") == 0
    with pytest.raises(ConfigError, match="archives and other sources do not go together; unpack"):
        convert(Order((Path("s.tar"), Path("c.jsonl")), Path("x.csv"), registry.named("csv")))


def test_nothing_but_photos_without_captions(here: Path) -> None:
    Path("e.csv").write_text("file,caption\na.jpg, \n")
    with pytest.raises(DataError, match=r"^e.csv: holds no photo with a caption that is wanted"):
        convert(Order((Path("e.csv"),), Path("x.csv"), registry.named("csv")))


def test_a_source_reads_like_its_conversions(here: Path) -> None:
    """What learns from a data set sees the same photos, whatever shape they come in."""
    from captioner import datasets
    from captioner.captions.recipe import Source

    expected = datasets.read(Source("c.jsonl", "images"))
    for name in ("coco", "csv", "imagefolder", "flickr8k", "flickr30k", "kaggle", "tabs"):
        output = f"out/{_output(name)}"
        assert _run("c.jsonl", "--output", output, "--to", name) == 0
        assert datasets.read(Source(output, "images")) == expected
    assert _run("c.jsonl", "--images", "images", "--output", "f") == 0
    photos = datasets.read(Source("f"))
    assert [(p.photo_id, p.captions) for p in photos] == [
        (p.photo_id, p.captions) for p in expected
    ]
    assert all(p.path.is_file() for p in itertools.chain(photos, expected))


def test_a_folder_with_metadata_is_read_by_its_texts_on_request(here: Path) -> None:
    assert _run("c.jsonl", "--images", "images", "--output", "f") == 0
    assert _run("f", "--output", "f/metadata.jsonl", "--to", "imagefolder") == 0
    Path("f/cat.txt").write_text("A mended cat.\n")
    assert _run("f", "--output", "old.csv") == 0
    assert _run("f", "--from", "folder", "--output", "new.csv") == 0
    for name, text in (("old.csv", "A cat."), ("new.csv", "A mended cat.")):
        assert {e.name: e.captions for e in registry.read(name).entries}["cat.png"] == (text,)


ODD = (
    Entry("=a.jpg", ("=1+1", '@x, “q” | y" z')),
    Entry("sub/cafe\u0301.jpg", ("-5 dogs", "+ plus; \\ and 개")),
    Entry("007.jpg", ("seven",)),
)
PLACES = {
    **{"webdataset": "o.tar", "folder": "o", "karpathy": "dataset_o.json", "coco": "o.json"},
    **{"results": "captions_o_results.json", "flickr8k": "o.token", "flickr30k": "results.csv"},
    **{"kaggle": "captions.txt", "imagefolder": "metadata.jsonl", "jsonl": "o.jsonl"},
    **{"csv": "o.csv", "tabs": "o.tsv"},
}


@pytest.mark.parametrize("source", registry.FORMATS, ids=lambda form: form.name)
def test_each_into_each_keeps_what_both_can_hold(source: registry.Format, tmp_path: Path) -> None:
    """Names as macOS writes them, formulas of spreadsheets, and droppings among the photos."""
    images = tmp_path / "images"
    for entry in ODD:
        (images / entry.name).parent.mkdir(parents=True, exist_ok=True)
        (images / entry.name).write_bytes(entry.name.encode())
    for name in ("@eaDir/x.jpg", "__MACOSX/y.jpg", "._=a.jpg", ".DS_Store"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"x")
    path = tmp_path / "from" / PLACES[source.name]
    registry.write(ODD, path, source, images=images)
    own = None if source.name in ("webdataset", "folder") else images
    for to in registry.FORMATS:
        output = tmp_path / to.name / PLACES[to.name]
        output.parent.mkdir()
        convert(Order((path,), output, to, images=own))
        found = registry.read(output, images=images, split="*" if to.name == "karpathy" else "")
        assert found.format is to
        one = not (source.several and to.several)
        wanted = [entry.captions[:1] if one else entry.captions for entry in ODD]
        assert sorted(e.captions for e in found.entries) == sorted(wanted)
        if to.named:
            assert {e.name for e in found.entries} == {entry.name for entry in ODD}


@pytest.mark.parametrize(
    ("place", "time"),
    [
        ("captioner.formats.registry.read", 1),
        ("captioner.formats.registry.write", 1),
        ("captioner.formats.folder.copy_photo", 2),
        ("shutil.copyfile", 1),  # into a temporary file
        ("captioner.formats.webdataset._put", 3),  # in the midst of an archive
        ("pathlib.Path.write_text", 2),
    ],
)
@pytest.mark.parametrize("to", ["csv", "folder", "webdataset"])
def test_ctrl_c_leaves_nothing_half_written(
    here: Path,
    press: Callable[[str, int], None],
    to: str,
    place: str,
    time: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = {"csv": "made.csv", "folder": "made", "webdataset": "made.tar"}[to]
    command = ("c.jsonl", "--images", "images", "--output", output, "--to", to)
    whole = contents_of(here)
    assert _run(*command) == 0
    expected = contents_of(here)
    for path in expected.keys() - whole.keys():
        (here / path).unlink()
    capsys.readouterr()
    press(place, time)
    if _run(*command) == 0:  # this format does not call it so often
        assert contents_of(here) == expected
        return
    out, err = capsys.readouterr()
    assert (out, err) == ("", "captioner: stopped\n")
    left = contents_of(here)
    assert left.items() <= expected.items()
    assert _run(*command) == 0
    assert contents_of(here) == expected
