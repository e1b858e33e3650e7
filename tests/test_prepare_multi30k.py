"""data/prepare_multi30k.py: the public archive in, aligned text files out."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from captioner.translations.pairs import read_pairs
from captioner.translations.recipe import PairSource

DATA = Path(__file__).resolve().parents[1] / "data"
sys.path.insert(0, str(DATA))

import prepare_multi30k  # noqa: E402
from prepare_multi30k import main  # noqa: E402

LANGUAGES = ("en", "de", "fr", "cs")
LINES = {
    f"{split}.{language}": "".join(f"{split} {n} čeština, {language}.\n" for n in range(count))
    for split, count in (("train", 7), ("val", 5))
    for language in LANGUAGES
}
PHOTOS = {
    f"{split}.images.txt": "".join(f"{1000 + n}.jpg\n" for n in range(count))
    for split, count in (("train", 7), ("val", 5))
}
WRITTEN = {name: text.encode() for name, text in {**LINES, **PHOTOS}.items()}


def archive() -> dict[str, bytes]:
    """The public archive's files."""
    raw = {f"task1/raw/{name}.gz": gzip.compress(text.encode()) for name, text in LINES.items()}
    photos = {
        f"task1/image_splits/{name.replace('.images', '')}": text.encode()
        for name, text in PHOTOS.items()
    }
    others = {
        "task1/tok/train.lc.norm.tok.en": b"a dog &apos;s tail .\n",
        "task2/raw/train.1.en.gz": gzip.compress(b"Another caption.\n"),
        "task1/train.txt": b"no list of photos\n",
        "README.md": b"Multi30k",
    }
    return {**raw, **photos, **others}


def folder(path: Path, contents: Mapping[str, bytes]) -> Path:
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zipped(path: Path, contents: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(f"dataset-master/{name}", content)
    return path


def tarred(path: Path, contents: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in contents.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def texts(output: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in output.iterdir() if p.name != "manifest.json"}


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz", "tar"])
def test_all_forms_of_the_archive_give_the_same(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if form == "folder":
        given = folder(tmp_path / "in", archive())
    elif form == "zip":
        given = zipped(tmp_path / "in.zip", archive())
    else:
        given = tarred(tmp_path / "in", archive(), "w:gz" if form == "tar.gz" else "w")
    assert main([str(given), "-o", str(tmp_path / "out")]) == 0
    assert texts(tmp_path / "out") == WRITTEN
    assert capsys.readouterr().out.splitlines() == [
        "train       7 lines  en de fr cs images (Multi30k has 29,000)",
        "val         5 lines  en de fr cs images (Multi30k has 1,014)",
        f"Multi30k: {tmp_path / 'out'}",
    ]


def test_single_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path / "in", archive()) / "task1"
    plain = folder(tmp_path / "plain", {"val.de": LINES["val.de"].encode()}) / "val.de"
    names = ["raw/train.en.gz", "raw/train.cs.gz", "raw/val.en.gz", "image_splits/val.txt"]
    inputs = [str(given / name) for name in names]
    assert main([*inputs, str(plain), "-o", str(tmp_path / "out")]) == 0
    kept = ("train.en", "train.cs", "val.en", "val.de", "val.images.txt")
    assert texts(tmp_path / "out") == {name: WRITTEN[name] for name in kept}
    captured = capsys.readouterr()
    assert captured.out.splitlines()[:2] == [
        "train       7 lines  en cs (Multi30k has 29,000)",
        "val         5 lines  en de images (Multi30k has 1,014)",
    ]
    assert captured.err == ""


def test_older_tar_archives(tmp_path: Path) -> None:
    training = {name: WRITTEN[name] for name in ("train.en", "train.de")}
    validation = {name: WRITTEN[name] for name in ("val.en", "val.de")}
    inputs = [
        str(tarred(tmp_path / "training.tar.gz", training)),
        str(tarred(tmp_path / "validation.tar.gz", validation)),
    ]
    assert main([*inputs, "-o", str(tmp_path / "out")]) == 0
    assert texts(tmp_path / "out") == {**training, **validation}


def test_test_sets_come_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = {
        f"task1/raw/test_2016_flickr.{language}.gz": gzip.compress(b"A dog.\nA cat.\n")
        for language in ("en", "de")
    }
    given = folder(tmp_path / "in", {**archive(), **tests})
    assert main([str(given), "-o", str(tmp_path / "out")]) == 0
    assert texts(tmp_path / "out").keys() - WRITTEN == {
        "test_2016_flickr.en",
        "test_2016_flickr.de",
    }
    assert capsys.readouterr().out.splitlines()[2] == "test_2016_flickr       2 lines  en de"


def test_what_is_written_is_read_as_pairs(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main([str(folder(tmp_path / "in", archive())), "-o", str(output)]) == 0
    source = PairSource(
        source=str(output / "val.en"), target=str(output / "val.cs"), languages=("en", "cs")
    )
    assert [pair.target_text for pair in read_pairs(source)] == LINES["val.cs"].splitlines()


def test_lines_about_photos_that_are_there_are_split_by_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flickr8k's names go on behind the number; no photo is in two parts, and no line is lost."""
    count, there = 60, range(0, 60, 2)
    given = {
        **{
            f"train.{language}": "".join(f"{language} {n}.\n" for n in range(count)).encode()
            for language in ("en", "de")
        },
        "train.images.txt": "".join(f"{n // 2 * 2}.jpg\n" for n in range(count)).encode(),
    }
    photos = folder(tmp_path / "photos", {f"{n}_a1b2.jpg": b"" for n in there})
    output, source = tmp_path / "out", folder(tmp_path / "in", given)
    command = [str(source), "-o", str(output), "--photos", str(photos)]
    assert main(command) == 0
    seen: dict[str, list[str]] = {}
    for part, size in (("train", 24), ("val", 1), ("test", 5)):
        names, english, german = (
            (output / "seen" / f"{part}.{ending}").read_text().splitlines()
            for ending in ("images.txt", "en", "de")
        )
        assert len(set(names)) == size
        assert all((photos / name).is_file() for name in names)
        for name, one, other in zip(names, english, german, strict=True):
            assert one.split()[1] == other.split()[1]
            assert int(name.partition("_")[0]) == int(one.split()[1].strip(".")) // 2 * 2
        seen[part] = names
    assert sum(map(len, seen.values())) == count
    assert len({name for names in seen.values() for name in names}) == len(there)
    written = texts(output / "seen")
    assert main(command) == 0
    assert texts(output / "seen") == written
    capsys.readouterr()
    few = folder(tmp_path / "few", {"2_a.jpg": b""})
    assert main([str(source), "-o", str(tmp_path / "other"), "--photos", str(few)]) == 1
    assert "holds 1 photos that lines are about, too few to be split" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_line_ends_and_the_lists_of_captions(tmp_path: Path) -> None:
    contents = {
        "train.en": b"\xef\xbb\xbfA dog.\r\nA\xe2\x80\xa8cat.\r\n",
        "train.de": b"Ein Hund.\nEine Katze.",
        "image_splits/train.txt": b"1.jpg#0\n2.jpg#3\n",
    }
    given = folder(tmp_path / "in", contents)
    assert main([str(given), "-o", str(tmp_path / "out")]) == 0
    assert texts(tmp_path / "out") == {
        "train.en": "A dog.\nA\u2028cat.\n".encode(),
        "train.de": b"Ein Hund.\nEine Katze.\n",
        "train.images.txt": b"1.jpg\n2.jpg\n",
    }


def test_the_manifest_tells_what_was_read_and_written(tmp_path: Path) -> None:
    contents = archive()
    assert main([str(folder(tmp_path / "in", contents)), "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["data_set"] == "Multi30k"
    assert "research" in manifest["licence"]
    assert {record["name"]: record["sha256"] for record in manifest["read"]} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
        if name.startswith(("task1/raw/", "task1/image_splits/"))
    }
    assert {record["name"] for record in manifest["written"]} == WRITTEN.keys()
    for record in manifest["written"]:
        content = WRITTEN[record["name"]]
        assert record["lines"] == content.count(b"\n")
        assert record["bytes"] == len(content)
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert str(tmp_path) not in json.dumps(manifest)


def test_no_folder_of_this_machine_in_the_manifest(tmp_path: Path) -> None:
    given = folder(tmp_path / "in", archive()) / "task1" / "raw"
    inputs = [str(given / f"train.{language}.gz") for language in LANGUAGES]
    assert main([*inputs, "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [r["name"] for r in manifest["read"]] == [f"raw/train.{code}.gz" for code in LANGUAGES]


def test_the_output_may_lie_in_the_input_and_be_written_again(tmp_path: Path) -> None:
    given = folder(tmp_path / "in", archive())
    for _ in range(2):
        assert main([str(given), "-o", str(given / "out")]) == 0
        assert texts(given / "out") == WRITTEN


def replaced(name: str, content: bytes) -> dict[str, bytes]:
    return {**archive(), f"task1/raw/{name}.gz": content}


WHOLE = gzip.compress(LINES["val.de"].encode())
TOKENISED = "".join(f"ein Hund {n} .\n" for n in range(5)).encode()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (replaced("val.de", WHOLE[:-9]), "task1/raw/val.de.gz: is damaged (Compressed file ended"),
        (replaced("val.de", b"no gzip"), "task1/raw/val.de.gz: is damaged (Not a gzipped file"),
        (replaced("val.de", gzip.compress(b"a\n\xe4\n")), "val.de.gz: line 2 is not UTF-8 text"),
        (
            replaced("val.de", gzip.compress(b"a.\n")),
            "the lines do not match: val.en has 5, val.de",
        ),
        (
            replaced("val.de", gzip.compress(TOKENISED)),
            "val.de.gz: is tokenised, most lines end in",
        ),
        ({**archive(), "old/val.de": b"Eins.\n"}, "val.de is there more than once (old/val.de and"),
        (
            {**archive(), "task1/image_splits/val.txt": b"1.jpg\n"},
            "the lines do not match: val.en has 5, val.de has 5, val.fr has 5, val.cs has 5, val.i",
        ),
        ({"train.en": b"A dog.\n"}, "of train there is only train.en: add its other languages"),
        ({"a.txt": b"", "b.md": b""}, "among the inputs, which have a.txt, b.md: give the archive"),
        ({}, "among the inputs, which have no files: give the archive's folder"),
    ],
)
def test_inputs_that_will_not_do(
    contents: dict[str, bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    assert main([str(folder(tmp_path / "in", contents)), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_archives_that_are_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for made, message in ((tarred, "no whole tar archive"), (zipped, "no whole ZIP archive")):
        path = made(tmp_path / "in", archive())
        path.write_bytes(path.read_bytes()[:-101])
        assert main([str(path), "-o", str(tmp_path / "out")]) == 1
        assert message in capsys.readouterr().err
    assert main([str(tmp_path / "gone"), "-o", str(tmp_path / "out")]) == 1
    assert "gone: no such file" in capsys.readouterr().err


def test_links_in_a_tar_archive_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as file:
        for name in ("train.en", "train.de"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            file.addfile(info)
    assert main([str(path), "-o", str(tmp_path / "out")]) == 1
    assert "among the inputs, which have no files" in capsys.readouterr().err


def test_endless_text_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_multi30k, "LARGEST_TEXT", 9999)
    contents = {"train.en.gz": gzip.compress(b"a\n" * 5001), "train.de": b"a\n" * 5001}
    for name in contents:
        given = folder(tmp_path / f"in {name}", {name: contents[name]})
        assert main([str(given), "-o", str(tmp_path / "out")]) == 1
        assert f"{name}: above 9,999 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "there",
    [{"photo.jpg": b""}, {"manifest.json": b"{"}, {"manifest.json": b'{"data_set": "COCO"}'}],
)
def test_other_folders_are_not_written_into(
    there: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = folder(tmp_path / "in", archive())
    output = folder(tmp_path / "out", there)
    assert main([str(given), "-o", str(output)]) == 1
    assert f"{output}: there is something else there; name a new folder" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in output.iterdir()} == there


def test_it_runs_as_a_script_and_explains_itself() -> None:
    command = [sys.executable, str(DATA / "prepare_multi30k.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "github.com/multi30k/dataset" in done.stdout
    assert done.stderr == ""
