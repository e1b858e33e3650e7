from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.cli import main
from captioner.cli.results import Results
from captioner.formats import registry
from captioner.options import SearchOptions
from captioner.pictures.embedding import packet_of
from captioner.pictures.xmp import texts_of
from captioner.prediction import Caption, Captioner
from tests.commands import (
    contents_of,
    names_in,
    noisy_picture,
    one_after_the_other,
    one_error,
    read_objects,
)


def test_a_line_a_photo_in_order(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "b", "a", "a/ca*.jpg") == 0
    out, err = capsys.readouterr()
    paths = ["b/dog.png", "a/cat.jpg", "a/dog.png", "a/cat.jpg"]
    lines = [line.split("\t") for line in out.splitlines()]
    assert [path for path, _ in lines] == paths
    assert [text for _, text in lines] == [tiny_captioner(path).text for path in paths]
    assert err == ""  # no bar in a pipe


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert typed("caption", "a", "--batch-size", 1) == 0
    assert "0/2" in terminal.getvalue()
    assert "photo" in terminal.getvalue()
    assert capsys.readouterr().out.count("\n") == 2


def test_objects_hold_the_contract(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "b", "--jsonl", "out/all.jsonl", "--maps", "--n-best", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    objects = read_objects(here / "out" / "all.jsonl")
    assert [values["file"] for values in objects] == ["a/cat.jpg", "a/dog.png", "b/dog.png"]
    for line, values in zip(lines, objects, strict=True):
        names = ["file", "caption", "words", "log_prob", "grid", "maps", "n_best", "error"]
        assert list(values) == names
        others = [other["caption"] for other in values["n_best"]]
        assert line.split("\t") == [values["file"], values["caption"], *others]
        assert values["grid"] == [2, 2]
        assert values["error"] is None
        assert len(values["maps"]) == len(values["words"])
        for word in values["words"]:
            assert set(word) == {"word", "prob", "alternatives"}
            assert len(word["alternatives"]) == 5
    assert names_in("out") == ["all.jsonl"]


def test_maps_only_on_request(typed: Callable[..., int], here: Path) -> None:
    assert typed("caption", "b", "--jsonl", "all.jsonl", "--alternatives", 2) == 0
    (values,) = read_objects(Path("all.jsonl"))
    assert list(values) == ["file", "caption", "words", "log_prob", "grid", "error"]
    assert all(len(word["alternatives"]) == 2 for word in values["words"])


def test_objects_on_standard_output_take_the_place_of_lines(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a/bad.jpg").write_text("no picture")
    assert typed("caption", "a", "--jsonl", "-") == 1
    out, err = capsys.readouterr()
    objects = [json.loads(line) for line in out.splitlines()]
    assert [values["file"] for values in objects] == ["a/bad.jpg", "a/cat.jpg", "a/dog.png"]
    assert objects[0]["caption"] == ""
    assert f"captioner: {objects[0]['error']}\n" in err


BAD_FILES: dict[str, bytes] = {
    "empty.jpg": b"",
    "half.jpg": b"\xff\xd8\xff\xe0 cut short",
    "page.png": b"<html>404</html>",
    "words.gif": b"only words",
}


def test_bad_files_do_not_stop_the_others(
    typed: Callable[..., int],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in BAD_FILES.items():
        (here / "a" / name).write_bytes(content)
    sheets = ["--overlay", "sheets", "--jsonl", "all.jsonl", "--batch-size", 2]
    assert typed("caption", "a", "gone.jpg", *sheets) == 1
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"]
    objects = read_objects(Path("all.jsonl"))
    assert [values["file"] for values in objects] == [
        *sorted(f"a/{name}" for name in [*BAD_FILES, "cat.jpg", "dog.png"]),
        "gone.jpg",
    ]
    errors = {values["file"]: values["error"] for values in objects if values["error"]}
    assert set(errors) == {*(f"a/{name}" for name in BAD_FILES), "gone.jpg"}
    for file, error in errors.items():
        assert f"captioner: {error}\n" in err
        assert file in error
    assert "captioner: 5 of 7 failed, see above\n" in err
    assert names_in("sheets/a") == ["cat.png", "dog.png"]
    sheets = [values["sheet"] for values in objects if values["error"] is None]
    assert sheets == ["sheets/a/cat.png", "sheets/a/dog.png"]
    assert all(values["sheet"] is None for values in objects if values["error"] is not None)


def test_paths_from_standard_input(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = os.fsdecode(b"a/caf\xe9.png")
    noisy_picture(7).save(odd)
    lines = b"b/dog.png\r\n\na/caf\xe9.png\na/cat.jpg"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), "utf-8"))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # as `run` does
    assert typed("caption", "-", "--jsonl", "all.jsonl") == 0
    assert "a/caf\\udce9.png\t" in capsys.readouterr().out
    files = [values["file"] for values in read_objects(Path("all.jsonl"))]
    assert files == ["b/dog.png", odd, "a/cat.jpg"]


def test_an_empty_standard_input_is_told(
    typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert typed("caption", "-") == 2
    assert "standard input named no photo; expected one path a line" in one_error(capsys)


def test_a_name_with_a_tab_stays_one_field(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy_picture(1).save(here / "two\twords\n.png")
    assert typed("caption", "two\twords\n.png") == 0
    path, _, text = capsys.readouterr().out.partition("\t")
    assert path == r"two\twords\n.png"
    assert text.count("\n") == 1


def test_flags_reach_the_search(
    here: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., int]
) -> None:
    seen: dict[str, Any] = {}

    def stream(self: Captioner, photos: list[str], **settings: Any) -> Iterator[Caption]:
        seen.update(settings, photos=photos, numbers=next(settings["numbers"]))
        return iter(())

    monkeypatch.setattr(Captioner, "stream", stream)
    flags = "--beam-size 4 --length-penalty 0 --max-length 7 --sample --top-p 0.5 --temperature 2"
    more = "--seed 11 --n-best 3 --batch-size 13 --workers 5 --prefix the --time-limit 7"
    assert typed("caption", "b", *flags.split(), *more.split()) == 0
    assert seen == {
        "photos": ["b/dog.png"],
        "options": SearchOptions(
            beam_size=4,
            length_penalty=0.0,
            max_length=7,
            n_best=3,
            sample=True,
            top_p=0.5,
            temperature=2.0,
            seed=11,
            alternatives=5,
        ),
        "batch_size": 13,
        "workers": 5,
        "prefix": "the",
        "to": None,
        "numbers": 0,
        "time_limit": 7.0,
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--beam-size", "0"], "argument --beam-size: '0' is no whole number from 1 to 100"),
        (["--beam-size", "2", "--n-best", "3"], "ask for a beam_size of at least 3"),
        (["--prefix", "a zebra"], "the prefix holds 'zebra'"),
        (["--batch-size", "999", "--beam-size", "9"], "choose a batch_size of at most 455"),
    ],
)
def test_wrong_settings_leave_no_file(
    typed: Callable[..., int],
    here: Path,
    flags: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "b", "--jsonl", "all.jsonl", *flags) == 2
    assert message in one_error(capsys)
    assert not list(here.glob("all.jsonl*"))


def test_sheets_of_one_name_do_not_overwrite_each_other(
    typed: Callable[..., int], here: Path
) -> None:
    noisy_picture(5).save("a/Dog.jpg")
    noisy_picture(6).save("b/dog.bmp")
    photos = ["a/dog.png", "b/dog.png", "a/Dog.jpg", "b/dog.bmp"]
    assert typed("caption", *photos, "--overlay", "out/sheets", "--jsonl", "all.jsonl") == 0
    names = ["a/dog.png", "b/dog.png", "a/Dog.jpg.png", "b/dog.bmp.png"]
    contents = {(here / "out" / "sheets" / name).read_bytes() for name in names}
    assert len(contents) == 4
    objects = read_objects(Path("all.jsonl"))
    assert [values["sheet"] for values in objects] == [f"out/sheets/{name}" for name in names]
    assert list(objects[0])[-2:] == ["sheet", "error"]
    # Nor in later runs, in another order, in which one is captioned again.
    for photo in reversed(photos):
        assert typed("caption", photo, "--overlay", "out/sheets") == 0
    assert {(here / "out" / "sheets" / name).read_bytes() for name in names} == contents
    found = [path for path in Path("out/sheets").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to("out/sheets")) for path in found) == sorted(names)


def test_sheets_among_the_photos_are_no_photos(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path("a").iterdir()}
    for _ in range(2):
        assert typed("caption", "a", "--overlay", "a") == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"] * 2
    assert err == "captioner: sheets that captioner drew are left out (2)\n"
    assert {path: path.read_bytes() for path in before} == before
    assert names_in("a/a") == ["cat.png", "dog.png"]


def test_the_grid_shows_on_the_sheet(
    typed: Callable[..., int], tiny_captioner: Captioner, here: Path
) -> None:
    assert typed("caption", "b", "--overlay", "smooth") == 0
    assert typed("caption", "b", "--overlay", "cells", "--grid") == 0
    caption = tiny_captioner("b/dog.png")
    for folder, grid in (("smooth", False), ("cells", True)):
        drawn = Image.open(f"{folder}/b/dog.png")
        assert drawn.tobytes() == caption.sheet(grid=grid).tobytes()


def test_a_photo_that_vanishes_before_its_sheet(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = Captioner.stream

    def stream(self: Captioner, photos: list[str], **settings: Any) -> Iterator[Caption]:
        captions = list(real(self, photos, **settings))
        Path("a/cat.jpg").unlink()
        yield from captions

    monkeypatch.setattr(Captioner, "stream", stream)
    assert typed("caption", "a", "--overlay", "sheets") == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 2  # the caption is there all the same
    assert "captioner: a/cat.jpg: there is no such file" in err
    assert names_in("sheets/a") == ["dog.png"]


def test_a_folder_that_cannot_be_made(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "b", "--overlay", "a/cat.jpg") == 2
    assert "a/cat.jpg is a file; --overlay takes a folder, choose another" in one_error(capsys)
    assert typed("caption", "b", "--jsonl", "new/") == 2
    assert "new/ is a folder; expected the name of a file for --jsonl" in one_error(capsys)
    assert not Path("new").exists()


def test_what_is_left_out_is_told_and_counted(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a/@eaDir/dog.png/thumb.jpg", "a/lost+found/x.jpg", "a/x.psd", "a/y.svg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    os.mkfifo("a/pipe.jpg")
    real = os.scandir

    def listing(path: Any) -> Any:
        if "lost+found" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", listing)
    assert typed("caption", "a", "*.nothing", "b", "--jsonl", "all.jsonl") == 1
    out, err = capsys.readouterr()
    files = ["a/cat.jpg", "a/dog.png", "b/dog.png"]
    assert [line.split("\t")[0] for line in out.splitlines()] == files
    assert [values["file"] for values in read_objects(Path("all.jsonl"))] == files
    assert err.splitlines() == [
        "captioner: a/lost+found: left out, as it cannot be listed (Permission denied)",
        "captioner: a/pipe.jpg: left out, as it is a pipe; expected a file",
        "captioner: a/x.psd: left out; a layered picture is not read; export it as PNG",
        "captioner: a/y.svg: left out; a page or drawing is not read; save it as PNG",
        "captioner: *.nothing: no photo matches this pattern, expected files such as photo.jpg or "
        "photo.png",
        "captioner: 5 of 8 failed, see above",
    ]


def test_where_nothing_can_be_captioned_no_weights_are_loaded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a/cat.jpg").rename("a/cat.svg")
    Path("a/dog.png").unlink()
    assert main(["caption", "a", "*.nothing", "--checkpoint", "none", "--jsonl", "all.jsonl"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[1] for line in err.splitlines()] == [" a/cat.svg", " *.nothing"]
    assert not list(here.glob("all.jsonl*"))


def test_standard_input_comes_as_it_is_there(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader))
    shown: list[str] = []
    rest = [b"b/dog.png\ngone.jpg\n", b"a"]  # a line, one that fails, and a folder at the end

    def show(self: Results, text: str) -> None:
        shown.append(text.partition("\t")[0])
        if rest:  # the next line is written when the caption of the last one is there
            os.write(writer, rest.pop(0))
            if not rest:
                os.close(writer)

    monkeypatch.setattr(Results, "show", show)
    Path("a/x.svg").touch()
    os.write(writer, b"\xef\xbb\xbfa/dog.png\r\n\n")
    assert typed("caption", "-", "--overlay", "s", "--jsonl", "all.jsonl") == 1
    assert shown == ["a/dog.png", "b/dog.png", "a/cat.jpg", "a/dog.png"]
    sheets = [values["sheet"] for values in read_objects(Path("all.jsonl"))]
    assert sheets == ["s/a/dog.png", "s/b/dog.png", None, "s/a/cat.png", "s/a/dog-2.png"]
    err = capsys.readouterr().err
    assert "captioner: gone.jpg: there is no such file" in err
    assert "captioner: a/x.svg: left out" in err
    assert "captioner: 2 of 6 failed, see above\n" in err


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_photo_that_standard_input_names_later_is_not_replaced_by_a_sheet(
    typed: Callable[..., int], here: Path, overwrite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy_picture(8).save("a/cat.png")
    before = contents_of(here)
    names = [b"a/cat.jpg\n", b"a/cat.png\n", b"a/dog.png\n"]
    one_after_the_other(monkeypatch, *names)
    assert typed("caption", "-", "--overlay", ".", *overwrite, "--jsonl", "all.jsonl") == 0
    after = contents_of(here)
    assert {name: after[name] for name in before} == before
    objects = read_objects(Path("all.jsonl"))
    sheets = ["a/cat.jpg.png", "a/cat.png.png", "a/dog.png.png"]
    assert [values["sheet"] for values in objects] == sheets
    assert all(values["caption"] for values in objects)


def test_a_photo_that_standard_input_names_later_is_not_replaced_by_objects(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents_of(here)
    one_after_the_other(monkeypatch, b"a/cat.jpg\n", b"a/dog.png\n")
    assert typed("caption", "-", "--jsonl", "a/dog.png", "--overwrite") == 2
    told = capsys.readouterr().err
    assert "captioner: a/dog.png is read by this very command" in told
    assert "what was done so far is in a/dog.png.partial" in told
    assert {name: contents_of(here)[name] for name in before} == before
    assert len(read_objects(Path("a/dog.png.partial"))) == 2


# Where captions go besides: tables, files beside the photos, the photos themselves.


def test_a_table_of_captions(typed: Callable[..., int], here: Path) -> None:
    Path("a/bad.jpg").write_text("no picture")
    assert typed("caption", "a", "--csv", "out/all.csv") == 1
    with Path("out/all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "caption", "probability", "unsure", "error"]
    assert [row["file"] for row in rows] == ["a/bad.jpg", "a/cat.jpg", "a/dog.png"]
    assert rows[0]["error"].startswith("a/bad.jpg: ")
    assert all(row["caption"] and not row["error"] for row in rows[1:])
    assert typed("caption", "a/cat.jpg", "--csv", "out/all.csv") == 0  # one of ours
    Path("hand.csv").write_text("a,b\n")
    assert typed("caption", "a", "--csv", "hand.csv") == 2
    assert Path("hand.csv").read_text() == "a,b\n"


@pytest.mark.parametrize(
    ("name", "form", "names"),
    [
        ("captions_results.json", "results", ["cat", "dog"]),
        ("a/metadata.jsonl", "imagefolder", ["cat.jpg", "dog.png"]),
        ("all.json", "coco", ["a/cat.jpg", "a/dog.png"]),
        ("lines.jsonl", "jsonl", ["a/cat.jpg", "a/dog.png"]),
    ],
)
def test_captions_in_other_formats(
    typed: Callable[..., int],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    form: str,
    names: list[str],
) -> None:
    assert typed("caption", "a", "--write", name) == 0
    found = registry.read(name)
    assert found.format.name == form
    assert [entry.name or entry.identity for entry in found.entries] == names
    said = [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()]
    assert [entry.captions for entry in found.entries] == [(text,) for text in said]


def test_captions_beside_photos_and_in_copies(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a/dog.txt").write_text("by hand")
    before = contents_of(here)
    wishes = ["--sidecar", ".txt", "--output", "copies"]
    assert typed("caption", "a", *wishes, "--dry-run") == 0
    assert contents_of(here) == before
    planned = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    assert planned == [
        ["a/cat.txt", "would be written"],
        ["copies/a/cat.jpg", "would be written"],
        ["a/dog.txt", "stays"],
        ["copies/a/dog.png", "would be written"],
    ]
    assert typed("caption", "a", *wishes) == 0
    out, err = capsys.readouterr()
    said = dict(line.split("\t") for line in out.splitlines())
    assert Path("a/cat.txt").read_text() == f"{said['a/cat.jpg']}\n"
    assert Path("a/dog.txt").read_text() == "by hand"
    assert err == "captioner: 1 text that was there stays; --replace replaces what people wrote\n"
    packet = packet_of(Path("copies/a/dog.png").read_bytes())
    assert texts_of(packet)["description"] == said["a/dog.png"]
    after = contents_of(here)
    assert {name: data for name, data in after.items() if name in before} == before


def test_a_photo_that_takes_no_caption_does_not_stop_the_others(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open("a/cat.jpg").save("a/a.gif")
    assert typed("caption", "a", "--in-place") == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "captioner: a/a.gif: a caption is put into JPEG, PNG, WebP and TIFF files, and" in err
    for name in ("cat.jpg", "dog.png"):
        assert texts_of(packet_of(Path("a", name).read_bytes()))


def test_alternative_texts_are_printed(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "--alt-text", "--max-length", 60) == 0
    for line in capsys.readouterr().out.splitlines():
        assert len(line.split("\t")[1]) <= 125


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run"], "--dry-run lists what --sidecar, --output and --in-place would write; add"),
        (["--dry-run", "--in-place", "--csv", "x.csv"], "--dry-run writes nothing, and --csv does"),
        (["--replace"], "--replace belongs to --sidecar, --output and --in-place; add one of them"),
        (["--sidecar-prefix", "x"], "--sidecar-prefix and --sidecar-suffix belong to a text file"),
        (["--write", "set.tar"], "--write set.tar: a WebDataset takes copies of the photos; write"),
        (["--write", "x.xml"], "x.xml: its name tells no format; add --to with one of"),
        (["--csv", "a/cat.jpg"], "a/cat.jpg is read by this very command, and an output never"),
        (["--csv", "x.csv", "--write", "x.csv"], "x.csv would be written twice, for --csv and for"),
    ],
)
def test_places_that_cannot_be(
    typed: Callable[..., int],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    before = contents_of(here)
    assert typed("caption", "a", *arguments) == 2
    assert one_error(capsys).startswith(f"captioner: {message}")
    assert contents_of(here) == before


def stop_after_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Ctrl-C come behind the first result."""
    put = Results.put

    def stop(self: Results, *values: Any) -> None:
        put(self, *values)
        raise KeyboardInterrupt

    monkeypatch.setattr(Results, "put", stop)


def test_what_was_done_is_kept_where_the_work_is_stopped(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop_after_one(monkeypatch)
    assert typed("caption", "a", "--csv", "all.csv") == 130
    assert not Path("all.csv").exists()
    assert Path("all.csv.partial").read_text().count("\n") == 2
    assert "what was done so far is in all.csv.partial" in capsys.readouterr().err


def test_each_stopped_run_keeps_its_own_table(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As those of --jsonl do; the second one's was lost, and nothing said so."""
    stop_after_one(monkeypatch)
    for number, name in enumerate(("a/cat.jpg", "a/dog.png", "b/dog.png")):
        assert typed("caption", name, "--csv", "all.csv", "--write", "all.tsv") == 130
        assert f"{name}," in Path("all.csv.partial").read_text()
        told = capsys.readouterr().err
        assert "what was done so far is in all.csv.partial" in told
        if number:
            assert f"all.csv.partial.{number} keeps what an earlier run had written" in told
        # Nothing in a file of captions says whose it is: it stays, and the new one has the number.
        last = f"all.tsv.partial.{number}" if number else "all.tsv.partial"
        assert f"what was done so far is in {last}" in told
        assert name in Path(last).read_text()
    assert "a/cat.jpg," in Path("all.csv.partial.1").read_text()
    assert "a/dog.png," in Path("all.csv.partial.2").read_text()
    Path("all.csv.partial").write_text("a diary")
    assert typed("caption", "a/cat.jpg", "--csv", "all.csv") == 130
    assert Path("all.csv.partial").read_text() == "a diary"
    assert "a/cat.jpg," in Path("all.csv.partial.3").read_text()


def test_a_tag_goes_before_the_texts_beside_photos(typed: Callable[..., int], here: Path) -> None:
    options = ["--prefix", "sks, ", "--suffix", ", a photo", "--sidecar", ".txt"]
    assert typed("caption", "a/cat.jpg", *options) == 0
    text = Path("a/cat.txt").read_text().removesuffix("\n")
    assert text.startswith("sks, ")
    assert text.endswith(", a photo")
    assert typed("caption", "a/cat.jpg", "--jsonl", "said.jsonl") == 0
    said = json.loads(Path("said.jsonl").read_text())["caption"]
    assert text == f"sks, {said}, a photo"


@pytest.mark.parametrize(
    "beside", [(), ("--sidecar", ".xmp"), ("--sidecar", ".txt", "--sidecar-prefix", "x")]
)
def test_a_tag_is_no_beginning_of_a_sentence(
    typed: Callable[..., int],
    here: Path,
    beside: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "a/cat.jpg", "--prefix", "sks, ", *beside) == 2
    assert one_error(capsys) == (
        "captioner: --prefix 'sks, ': this is how the model begins its sentence, and no sentence "
        "begins with a tag; to put it before the text use --sidecar-prefix 'sks, ' "
        "with --sidecar .txt\n"
    )


def test_a_beginning_of_words_beside_texts_is_told_from_a_tag(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a/cat.jpg", "--prefix", "a", "--sidecar", ".txt") == 0
    assert Path("a/cat.txt").read_text().casefold().startswith("a")
    assert capsys.readouterr().err == (
        "captioner: --prefix 'a' begins the model's own sentences; what is only put before the "
        "texts is --sidecar-prefix\n"
    )
