"""The scripts in data/: official archives in, the folder that `captioner.datasets` reads out."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.datasets import Photo, read_coco, read_flickr8k

DATA = Path(__file__).resolve().parents[1] / "data"
sys.path.insert(0, str(DATA))

import archives  # noqa: E402
import prepare_coco  # noqa: E402
import prepare_flickr8k  # noqa: E402


def jpeg(seed: int, width: int = 101, height: int = 67) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize((width, height)).save(file, "JPEG", quality=95)
    return file.getvalue()


def zipped(path: Path, contents: Mapping[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Flickr8k: 13 photos, 7 of them for training, and the token file's odd name.

NAMES = [f"{1000 + i}_{i:010x}.jpg" for i in range(13)]
LISTS = {"train": NAMES[:7], "dev": NAMES[7:10], "test": NAMES[10:]}
TOKENS = "".join(f"{name}#{k}\tA dog {name} , {k} .\n" for name in NAMES for k in range(5))
TEXTS = {
    "Flickr8k.token.txt": TOKENS + "2258277193_586949ec62.jpg.1#0\tpeople waiting\n",
    "readme.txt": "Hello",
    **{f"Flickr_8k.{split}Images.txt": "\n".join(names) for split, names in LISTS.items()},
}
PHOTOS = {f"Flicker8k_Dataset/{name}": jpeg(i) for i, name in enumerate(NAMES)}
UNCAPTIONED = {
    "Flicker8k_Dataset/": b"",
    "Flicker8k_Dataset/999_0123456789.jpg": jpeg(999),
    "__MACOSX/Flicker8k_Dataset/._1000_0000000000.jpg": b"resource fork",
}


@pytest.fixture
def flickr(tmp_path: Path) -> list[str]:
    """The two archives."""
    photos = zipped(tmp_path / "Flickr8k_Dataset.zip", {**PHOTOS, **UNCAPTIONED})
    return [str(photos), str(zipped(tmp_path / "Flickr8k_text.zip", TEXTS))]


def captions(photos: list[Photo]) -> dict[str, tuple[str, ...]]:
    return {photo.path.name: photo.captions for photo in photos}


def test_flickr8k_archives_become_what_its_own_files_say(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert prepare_flickr8k.main([*flickr, "-o", str(output)]) == 0
    assert tree(output / "images") == {Path(name).name: content for name, content in PHOTOS.items()}
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(TOKENS)
    for split, official in (("train", "train"), ("val", "dev"), ("test", "test")):
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(LISTS[official]))
        expected = read_flickr8k(tokens, output / "images", listed)
        assert read_coco(output / f"captions_{split}.json", output / "images") == expected
    assert capsys.readouterr().out.splitlines() == [
        "split  photos  captions  a photo",
        "train       7        35        5",
        "val         3        15        5",
        "test        3        15        5",
        "total      13        65        5",
        f"Flickr8k, photos as they were: {output}",
    ]


def test_the_manifest_tells_what_was_read_and_written(flickr: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    prepare_flickr8k.main([*flickr, "-o", str(output)])
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["data_set"] == "Flickr8k"
    assert manifest["photos_stored"] == "as they were"
    for record, path in zip(manifest["read"], flickr, strict=False):
        content = Path(path).read_bytes()
        assert record == {
            "name": Path(path).name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert [record["name"] for record in manifest["read"][2:]] == [
        "Flickr8k.token.txt",
        *(f"Flickr_8k.{split}Images.txt" for split in LISTS),
    ]
    for record in manifest["written"]:
        content = (output / record["name"]).read_bytes()
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        assert record["bytes"] == len(content)
    assert [(r["photos"], r["captions"]) for r in manifest["written"]] == [
        (7, 35),
        (3, 15),
        (3, 15),
    ]
    assert manifest["photos"][NAMES[4]] == {
        "bytes": len(jpeg(4)),
        "sha256": hashlib.sha256(jpeg(4)).hexdigest(),
        "width": 101,
        "height": 67,
        "source_crc32": f"{zlib.crc32(jpeg(4)):08x}",
    }
    assert sorted(manifest["photos"]) == sorted(NAMES)


def test_folders_give_what_archives_give(flickr: list[str], tmp_path: Path) -> None:
    flags = ["--squash", "37"]
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out"), *flags]) == 0
    folder = tmp_path / "unpacked"
    for archive in flickr:
        zipfile.ZipFile(archive).extractall(folder)
    for _ in range(2):  # the output inside of the input is not taken for input
        assert prepare_flickr8k.main([str(folder), "-o", str(folder / "out"), *flags]) == 0
    from_archives, from_folder = tree(tmp_path / "out"), tree(folder / "out")
    manifests = [json.loads(files.pop("manifest.json")) for files in (from_archives, from_folder)]
    assert from_archives == from_folder
    assert manifests[0]["photos"] == manifests[1]["photos"]
    assert manifests[1]["read"][0]["folder"] == "unpacked"


@pytest.mark.parametrize(
    ("flags", "size"),
    [(["--squash", "37"], (37, 37)), (["--side", "41"], (62, 41)), (["--side", "67"], (101, 67))],
)
def test_photos_can_be_stored_shrunk(
    flickr: list[str], tmp_path: Path, flags: list[str], size: tuple[int, int]
) -> None:
    output = tmp_path / "out"
    assert prepare_flickr8k.main([*flickr, "-o", str(output), *flags]) == 0
    for i, name in enumerate(NAMES):
        with Image.open(output / "images" / name) as photo:
            assert photo.size == size
            assert photo.format == "JPEG"
            original = Image.open(io.BytesIO(jpeg(i))).resize(size, Image.Resampling.BOX)
            difference = np.asarray(photo, float) - np.asarray(original, float)
            assert np.abs(difference).mean() < 6  # of 255
    document = json.loads((output / "captions_val.json").read_text())
    assert {(image["width"], image["height"]) for image in document["images"]} == {size}
    if size == (101, 67):  # small enough already: not encoded anew
        assert (output / "images" / NAMES[2]).read_bytes() == jpeg(2)


# Interrupts and second runs.


def interrupted_after(
    monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException
) -> Callable[[], None]:
    """Lets `count` files be written and fails at the next; returns what ends that."""
    inner = archives.write_whole
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) > count:
            raise error
        inner(path, content)

    monkeypatch.setattr(archives, "write_whole", write)
    return lambda: monkeypatch.setattr(archives, "write_whole", inner)


@pytest.mark.parametrize("flags", [[], ["--squash", "37"]])
@pytest.mark.parametrize("count", [0, 1, 5, 12, 13, 15, 16])
def test_an_interrupted_run_goes_on_to_what_an_uninterrupted_one_gives(
    flickr: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
    flags: list[str],
) -> None:
    whole, parted = str(tmp_path / "whole"), str(tmp_path / "parted")
    assert prepare_flickr8k.main([*flickr, "-o", whole, *flags]) == 0
    monkeypatch.setattr(archives, "CHUNK", 2)
    mend = interrupted_after(monkeypatch, count, KeyboardInterrupt())
    assert prepare_flickr8k.main([*flickr, "-o", parted, *flags]) == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err
    assert not (tmp_path / "parted" / "manifest.json").exists()
    mend()
    (tmp_path / "parted" / "images" / ".torn.jpg.12.partial").write_bytes(b"half")
    with (tmp_path / "parted" / "journal.jsonl").open("a") as journal:
        journal.write('{"photo": "1000_00')  # as a power cut leaves it
    assert prepare_flickr8k.main([*flickr, "-o", parted, *flags]) == 0
    assert tree(tmp_path / "parted") == tree(tmp_path / "whole")


def test_a_full_disk_is_reported_and_the_run_goes_on_later(
    flickr: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mend = interrupted_after(monkeypatch, 5, OSError(28, "No space left on device"))
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out")]) == 1
    assert "No space left on device; the same command goes on" in capsys.readouterr().err
    mend()
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out")]) == 0


@pytest.fixture
def read_members(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that are read from the archives from now on."""
    names: list[str] = []
    inner = archives._made

    def made(content: bytes, chosen: archives.Options) -> Any:
        names.append(next(Path(n).name for n, c in PHOTOS.items() if c == content))
        return inner(content, chosen)

    monkeypatch.setattr(archives, "_made", made)
    return names


def test_a_second_run_stores_only_what_is_missing_or_changed(
    flickr: list[str], tmp_path: Path, read_members: list[str]
) -> None:
    output = tmp_path / "out"
    command = [*flickr, "-o", str(output), "--squash", "37"]
    assert prepare_flickr8k.main(command) == 0
    expected = tree(output)
    read_members.clear()
    assert prepare_flickr8k.main(command) == 0
    assert read_members == []
    (output / "images" / NAMES[3]).unlink()
    damaged = bytearray((output / "images" / NAMES[5]).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (output / "images" / NAMES[5]).write_bytes(damaged)
    assert prepare_flickr8k.main(command) == 0
    assert sorted(read_members) == [NAMES[3], NAMES[5]]
    assert tree(output) == expected


def test_a_resumed_run_stores_only_what_is_missing(
    flickr: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_members: list[str],
) -> None:
    monkeypatch.setattr(archives, "CHUNK", 1)
    command = [*flickr, "-o", str(tmp_path / "out")]
    mend = interrupted_after(monkeypatch, 5, KeyboardInterrupt())
    assert prepare_flickr8k.main(command) == 130
    assert read_members == NAMES[:6]
    mend()
    read_members.clear()
    assert prepare_flickr8k.main(command) == 0
    assert read_members == NAMES[5:]


def test_a_photo_that_changed_in_the_archive_is_stored_anew(
    flickr: list[str], tmp_path: Path, read_members: list[str]
) -> None:
    output = tmp_path / "out"
    assert prepare_flickr8k.main([*flickr, "-o", str(output)]) == 0
    read_members.clear()
    swapped = {**PHOTOS, f"Flicker8k_Dataset/{NAMES[1]}": jpeg(2)}
    zipped(Path(flickr[0]), swapped)
    assert prepare_flickr8k.main([*flickr, "-o", str(output)]) == 0
    assert len(read_members) == 1
    assert (output / "images" / NAMES[1]).read_bytes() == jpeg(2)


def test_a_resumed_run_does_not_read_the_archives_for_their_checksums_again(
    flickr: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend = interrupted_after(monkeypatch, 5, KeyboardInterrupt())
    prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out")])
    mend()
    monkeypatch.setattr(archives, "_sha256", lambda path: pytest.fail(f"read {path}"))
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out")]) == 0


# What goes wrong.


def refused(
    script: Any, arguments: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line a refused command says."""
    capsys.readouterr()
    assert script.main([*arguments, "-o", str(output)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()[-1:]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("name", "attribute", "message"),
    [
        ("../evil.jpg", 0, "has a name that leads out of the archive"),
        ("a/../../evil.txt", 0, "has a name that leads out of the archive"),
        ("/etc/cron.d/evil", 0, "has a name that leads out of the archive"),
        ("C:/evil.jpg", 0, "has a name that leads out of the archive"),
        ("..\\evil.jpg", 0, "has a name that leads out of the archive"),
        (f"Flicker8k_Dataset/{NAMES[0]}x.jpg", 0o120777 << 16, "is a link"),
    ],
)
def test_archives_that_reach_out_are_refused(
    flickr: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    attribute: int,
    message: str,
) -> None:
    with zipfile.ZipFile(flickr[0], "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = attribute
        archive.writestr(info, "/etc/passwd")
    before = tree(tmp_path)
    line = refused(prepare_flickr8k, flickr, tmp_path / "out", capsys)
    assert f"{flickr[0]}: the member {name!r} {message}; no official archive has that" in line
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_huge_and_encrypted_members_are_refused(
    flickr: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(archives, "LARGEST_PHOTO", 97)
    line = refused(prepare_flickr8k, flickr, tmp_path / "out", capsys)
    assert f"claims {len(jpeg(0)):,} bytes, above 97" in line
    content = Path(flickr[1]).read_bytes()
    flags = content.index(b"PK\x01\x02") + 8
    Path(flickr[1]).write_bytes(content[:flags] + b"\x01" + content[flags + 1 :])
    assert "is encrypted" in refused(prepare_flickr8k, flickr[1:], tmp_path / "out", capsys)


def test_damaged_members_are_named(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path(flickr[0]).read_bytes()
    place = content.index(jpeg(3)) + 500
    Path(flickr[0]).write_bytes(content[:place] + b"\0\xff" + content[place + 2 :])
    output = tmp_path / "out"
    line = refused(prepare_flickr8k, flickr, output, capsys)
    assert f"1 photos could not be stored, first {NAMES[3]} ({flickr[0]}: the member" in line
    assert "is damaged (Bad CRC-32" in line
    assert prepare_flickr8k.main([*flickr, "-o", str(output), "--allow-missing"]) == 0
    assert "could not be stored" in capsys.readouterr().err
    train = read_coco(output / "captions_train.json", output / "images")
    assert [photo.path.name for photo in train] == [n for n in LISTS["train"] if n != NAMES[3]]
    assert NAMES[3] not in json.loads((output / "manifest.json").read_text())["photos"]
    zipped(Path(flickr[0]), PHOTOS)
    assert prepare_flickr8k.main([*flickr, "-o", str(output)]) == 0
    assert len(read_coco(output / "captions_train.json", output / "images")) == 7


def test_members_that_are_no_photos_are_named(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zipped(Path(flickr[0]), {**PHOTOS, f"Flicker8k_Dataset/{NAMES[8]}": "<html>not found</html>"})
    line = refused(prepare_flickr8k, flickr, tmp_path / "out", capsys)
    assert f"1 photos could not be stored, first {NAMES[8]} (" in line


def test_archives_that_are_cut_short(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path(flickr[0]).read_bytes()
    Path(flickr[0]).write_bytes(content[: len(content) // 2])
    line = refused(prepare_flickr8k, flickr, tmp_path / "out", capsys)
    assert f"{flickr[0]}: no whole ZIP archive" in line
    assert f"it has {len(content) // 2:,} bytes: compare that with" in line
    missing = refused(prepare_flickr8k, [str(tmp_path / "x.zip")], tmp_path / "out", capsys)
    assert "x.zip: no such file; name the archives where your browser stored them" in missing


def test_checksums_are_compared(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(Path(flickr[0]).read_bytes()).hexdigest()
    good = ["--sha256", f"Flickr8k_Dataset.zip={digest.upper()}"]
    assert prepare_flickr8k.main([*flickr, *good, "-o", str(tmp_path / "good")]) == 0
    bad = [*flickr, "--sha256", f"Flickr8k_Dataset.zip={'0' * 64}"]
    line = refused(prepare_flickr8k, bad, tmp_path / "out", capsys)
    assert f"its SHA-256 is {digest}, not {'0' * 64}: the file is damaged, or another" in line
    other = [*flickr, "--sha256", f"photos.zip={digest}"]
    line = refused(prepare_flickr8k, other, tmp_path / "out", capsys)
    assert "--sha256 is given for photos.zip, but the inputs are Flickr8k_Dataset.zip, Fl" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sha256", "abc"], "'abc' is not NAME=HEX with 64 hexadecimal digits"),
        (["--side", "7"], "'7' is no number of pixels from 32 to 4096"),
        (["--squash", "1e3"], "'1e3' is no number of pixels from 32 to 4096"),
        (["--squash", "64", "--side", "64"], "not allowed with argument"),
    ],
)
def test_flags_are_checked(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        prepare_flickr8k.main(["x.zip", "-o", "out", *flags])
    assert message in capsys.readouterr().err


def test_other_folders_and_other_settings_are_left_alone(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear diary")
    line = refused(prepare_flickr8k, flickr, mine, capsys)
    assert f"{mine}: there is something else there; name a new folder" in line
    assert tree(mine) == {"letter.txt": b"dear diary"}
    (mine / "manifest.json").write_text("{}")
    line = refused(prepare_flickr8k, flickr, mine, capsys)
    assert "manifest.json: was not written by this script, or is damaged" in line
    (mine / "manifest.json").unlink()
    (mine / "journal.jsonl").write_text('{"dear": "diary"}')
    line = refused(prepare_flickr8k, flickr, mine, capsys)
    assert "journal.jsonl: was not written by this script, or is damaged" in line
    output = tmp_path / "out"
    assert prepare_flickr8k.main([*flickr, "-o", str(output), "--squash", "37"]) == 0
    before = tree(output)
    line = refused(prepare_flickr8k, flickr, output, capsys)
    assert f"{output}: holds Flickr8k with photos squashed to 37 × 37 pixels, JPEG quality" in line
    assert "but asked for is Flickr8k with photos as they were: name a new folder" in line
    assert tree(output) == before
    inside = refused(prepare_flickr8k, [str(output / "images")], output, capsys)
    assert f"lies inside the output {output}; name another output folder" in inside


def test_the_disk_is_measured_first(
    flickr: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(
        archives.shutil, "disk_usage", lambda path: archives.shutil._ntuple_diskusage(1, 1, 0)
    )
    line = refused(prepare_flickr8k, flickr, tmp_path / "out", capsys)
    assert "GB are needed and 0.0 GB are free: name an output on another disk, or store" in line
    assert list((tmp_path / "out" / "images").iterdir()) == []
    monkeypatch.undo()
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out"), "--side", "37"]) == 0


def test_missing_texts_and_photos_are_named(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(prepare_flickr8k, flickr[:1], tmp_path / "out", capsys)
    assert "Flickr8k.token.txt not found among the inputs, which have no text: add Fl" in line
    line = refused(prepare_flickr8k, flickr[1:], tmp_path / "out", capsys)
    assert f"13 photos are not among the inputs, first {NAMES[0]}: give the archives or" in line
    bare = str(zipped(tmp_path / "bare.zip", {"Flickr8k.token.txt": TOKENS}))
    line = refused(prepare_flickr8k, [flickr[0], bare], tmp_path / "out", capsys)
    assert (
        "Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt, Flickr_8k.testImages.txt not" in line
    )
    broken = zipped(tmp_path / "broken.zip", {**TEXTS, "Flickr8k.token.txt": "a.jpg, a dog"})
    line = refused(prepare_flickr8k, [flickr[0], str(broken)], tmp_path / "out", capsys)
    assert line.startswith("error: Flickr8k.token.txt: line 1 is 'a.jpg, a dog', expected")
    line = refused(prepare_flickr8k, [*flickr, str(broken)], tmp_path / "out", capsys)
    assert "Flickr8k.token.txt is there more than once (Flickr8k.token.txt and Fl" in line
    assert not (tmp_path / "out").exists()


def test_a_split_without_a_list_is_left_out(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {name: text for name, text in TEXTS.items() if "test" not in name}
    zipped(Path(flickr[1]), texts)
    assert prepare_flickr8k.main([*flickr, "-o", str(tmp_path / "out")]) == 0
    assert "no Flickr_8k.testImages.txt: no captions_test.json" in capsys.readouterr().err
    assert not (tmp_path / "out" / "captions_test.json").exists()
    assert not (tmp_path / "out" / "images" / NAMES[12]).exists()


def test_two_photos_of_one_name_are_refused(
    flickr: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = str(zipped(tmp_path / "same.zip", {NAMES[0]: jpeg(0)}))
    assert prepare_flickr8k.main([*flickr, same, "-o", str(tmp_path / "same")]) == 0
    other = str(zipped(tmp_path / "other.zip", {NAMES[0]: jpeg(5)}))
    line = refused(prepare_flickr8k, [*flickr, other], tmp_path / "out", capsys)
    assert f"two different photos are called {NAMES[0]} (Flicker8k_Dataset/{NAMES[0]} and" in line


# COCO.


def coco(numbers: range, pattern: str) -> str:
    images = [{"id": n, "file_name": pattern.format(n), "license": 3} for n in numbers]
    annotations = [
        {"id": 7 * n + k, "image_id": n, "caption": f"caption {k} of {n}\n"}
        for n in numbers
        for k in range(5)
    ]
    return json.dumps({"info": {}, "images": images, "annotations": annotations})


TRAIN, VAL = range(11, 18), range(23, 28)


@pytest.fixture
def coco_archives(tmp_path: Path) -> dict[str, str]:
    paths = {}
    for year, prefix in (("2014", "COCO_{}2014_"), ("2017", "")):
        texts = {}
        for split, numbers in (("train", TRAIN), ("val", VAL)):
            pattern = prefix.format(split) + "{:012}.jpg"
            photos = {f"{split}{year}/{pattern.format(n)}": jpeg(n) for n in numbers}
            paths[f"{split}{year}"] = str(zipped(tmp_path / f"{split}{year}.zip", photos))
            texts[f"annotations/captions_{split}{year}.json"] = coco(numbers, pattern)
            texts[f"annotations/instances_{split}{year}.json"] = "{}"
        paths[f"texts{year}"] = str(zipped(tmp_path / f"annotations_trainval{year}.zip", texts))
    splits = dict.fromkeys(TRAIN, "train") | dict(
        zip(VAL, ["restval", "val", "test", "restval", "val"], strict=True)
    )
    document = {
        "images": [
            {
                "filepath": "train2014" if n in TRAIN else "val2014",
                "filename": f"COCO_{'train' if n in TRAIN else 'val'}2014_{n:012}.jpg",
                "split": split,
                "sentences": [{"raw": f"caption {k} of {n}"} for k in range(5)],
            }
            for n, split in splits.items()
        ]
    }
    karpathy = {"dataset_coco.json": json.dumps(document), "dataset_flickr8k.json": "{}"}
    paths["karpathy"] = str(zipped(tmp_path / "caption_datasets.zip", karpathy))
    return paths


def splits_in(output: Path) -> dict[str, list[str]]:
    return {
        path.stem.removeprefix("captions_"): [
            p.photo_id for p in read_coco(path, output / "images")
        ]
        for path in sorted(output.glob("captions_*.json"))
    }


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_coco_takes_the_official_splits(
    coco_archives: dict[str, str], tmp_path: Path, year: str
) -> None:
    output = tmp_path / "out"
    inputs = [coco_archives[f"{name}{year}"] for name in ("train", "val", "texts")]
    assert prepare_coco.main([*inputs, "-o", str(output)]) == 0
    assert splits_in(output) == {"train": [str(n) for n in TRAIN], "val": [str(n) for n in VAL]}
    document = json.loads((output / "captions_val.json").read_text())
    assert [image["id"] for image in document["images"]] == list(VAL)
    assert document["annotations"][6] == {"id": 7, "image_id": 24, "caption": "caption 1 of 24"}


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_coco_takes_karpathys_splits_for_the_photos_of_either_year(
    coco_archives: dict[str, str], tmp_path: Path, year: str
) -> None:
    output = tmp_path / "out"
    inputs = [coco_archives[name] for name in (f"train{year}", f"val{year}", "karpathy")]
    assert prepare_coco.main([*inputs, "-o", str(output), "--squash", "37"]) == 0
    assert splits_in(output) == {
        "train": [*(str(n) for n in TRAIN), "23", "26"],
        "val": ["24", "27"],
        "test": ["25"],
    }
    for split in ("train", "val", "test"):
        for photo in read_coco(output / f"captions_{split}.json", output / "images"):
            assert photo.path.is_file()
            assert photo.captions[3] == f"caption 3 of {photo.photo_id}"


def test_coco_asks_for_the_year_where_both_are_there(
    coco_archives: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [coco_archives[name] for name in ("val2017", "texts2014", "texts2017", "karpathy")]
    line = refused(prepare_coco, inputs[:3], tmp_path / "out", capsys)
    assert "captions of 2014 and 2017 are both there: choose with --year 2014 or 2017" in line
    chosen = [*inputs, "--year", "2017", "--allow-missing", "-o", str(tmp_path / "out")]
    assert prepare_coco.main(chosen) == 0
    assert splits_in(tmp_path / "out") == {"val": [str(n) for n in VAL]}
    assert "7 photos are not among the inputs, first 000000000011.jpg: left out" in (
        capsys.readouterr().err
    )


def test_coco_names_what_is_missing(
    coco_archives: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [coco_archives["val2014"], coco_archives["texts2014"]]
    line = refused(prepare_coco, inputs, tmp_path / "out", capsys)
    assert "7 photos are not among the inputs, first COCO_train2014_000000000011.jpg: give" in line
    line = refused(prepare_coco, inputs[:1], tmp_path / "out", capsys)
    assert "captions_train2014.json not found among the inputs, which have no text: add" in line
    none = [coco_archives["texts2014"], "--allow-missing"]
    line = refused(prepare_coco, none, tmp_path / "out", capsys)
    assert "none of the photos with captions could be stored: nothing to write" in line


# As people start them.


@pytest.mark.parametrize("script", ["prepare_flickr8k.py", "prepare_coco.py"])
def test_help_teaches(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / script), "--help"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    for word in ("example", "Nothing is downloaded", "https://", "manifest.json", "--squash N"):
        assert word in shown.stdout


def test_a_script_runs_outside_of_the_checkout(flickr: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / "prepare_flickr8k.py"), *flickr, "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "total      13        65        5" in done.stdout
    assert done.stderr == ""
    assert sorted(tree(tmp_path / "out" / "images")) == sorted(NAMES)
