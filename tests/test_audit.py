from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import captioner.audit
from captioner.audit import Counts, Finding, audit, summary, table
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.text import Vocabulary

SENTENCES = (
    "A dog runs over the grass .",
    "The dog runs .",
    "a dog on grass",
    "Grass and a dog",
    "The dog is over there .",
)


def draw(path: Path, seed: int, size: tuple[int, int] = (79, 67), orientation: int = 1) -> Path:
    """A JPEG of coloured blocks; every seed gives another one."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)
    picture.save(path, "JPEG", exif=exif)
    return path


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, list[Photo]]:
    """Two training photos and three to validate on, with nothing to complain of."""
    paths = [draw(tmp_path / f"{i}_0123456789.jpg", i) for i in range(101, 106)]
    photos = [
        Photo(path.name.split("_")[0], path, tuple(f"{s} {i}" for s in SENTENCES))
        for i, path in enumerate(paths, 11)
    ]
    return {"train": photos[:2], "val": photos[2:]}


def found(findings: Sequence[Finding], message: str) -> Finding:
    """The only finding that says so."""
    (finding,) = [f for f in findings if message in f.message]
    assert finding.remedy
    assert "\n" not in str(finding)
    return finding


def grave(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return [(f.severity, f.split, f.message) for f in findings if f.severity != "info"]


def look(splits: Mapping[str, Sequence[Photo]], limit: int = 10) -> list[Finding]:
    return audit(splits, min_count=1, limit=limit)


@pytest.fixture
def calm(splits: dict[str, list[Photo]]) -> dict[str, list[Photo]]:
    """The same, with the words of validation known from training."""
    captions = tuple(f"{sentence} 11 12 13 14 15" for sentence in SENTENCES)
    return {
        split: [replace(photo, captions=captions) for photo in photos]
        for split, photos in splits.items()
    }


def test_good_data_raise_no_complaint(calm: dict[str, list[Photo]]) -> None:
    findings = look(calm)
    assert grave(findings) == []
    assert all(finding.remedy for finding in findings)
    subjects = [f.subject for f in findings if f.split == "val"]
    assert subjects == ["captions", "captions", "captions a photo", "vocabulary"]


def test_missing_pictures(calm: dict[str, list[Photo]]) -> None:
    path = calm["val"][1].path
    path.unlink()
    findings = look(calm)
    finding = found(findings, "there is no such file")
    assert (finding.severity, finding.split, finding.subject) == ("error", "val", str(path))
    assert "put the file there" in finding.remedy
    assert findings[0] == finding
    assert len(grave(findings)) == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 no picture", None])
def test_pictures_that_do_not_open(calm: dict[str, list[Photo]], content: bytes | None) -> None:
    path = calm["train"][0].path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    ((severity, split, message),) = grave(look(calm))
    assert (severity, split) == ("error", "train")
    assert message
    assert str(path) not in message


@pytest.mark.parametrize(
    "name", ["x" * 5000, "x/" * 3000 + "y.jpg", "x" * 300 + ".jpg", "a\0b.jpg"]
)
def test_names_that_no_disk_takes(calm: dict[str, list[Photo]], name: str) -> None:
    bad = replace(calm["val"][0], path=Path(name))
    findings = look({"train": calm["train"], "val": [bad]})
    assert all(len(finding.subject) < 1000 for finding in findings)
    problem = grave(findings)
    assert [entry[:2] for entry in problem] == [("error", "val")]
    reasons = ("cannot be read (File name too long)", "cannot be read (embedded null byte)")
    assert problem[0][2].startswith(reasons)


def test_too_little_memory_is_that_pictures_error(
    calm: dict[str, list[Photo]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(path: Path) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(Path, "read_bytes", exhausted)
    assert {message for _, _, message in grave(look(calm))} == {"no room"}


def test_looking_warns_of_nothing_and_needs_one_opening(tmp_path: Path) -> None:
    """A telephone's photo above Pillow's own limit, turned, is neither warned of nor lost."""
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("L", (10_000, 9_500)).save(path, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings = look({"train": [Photo("1", path, SENTENCES)]})
    assert grave(findings) == []
    assert found(findings, "turned upright").subject == str(path)


def test_a_folder_in_a_pictures_place(calm: dict[str, list[Photo]]) -> None:
    calm["train"][0].path.unlink()
    calm["train"][0].path.mkdir()
    ((severity, _, message),) = grave(look(calm))
    assert severity == "error"
    assert "folder" in message


def test_tiny_pictures(calm: dict[str, list[Photo]]) -> None:
    draw(calm["val"][0].path, 999, (173, 61))
    finding = found(look(calm), "173 × 61 pixels, the shorter side below 64")
    assert (finding.severity, finding.subject) == ("warning", str(calm["val"][0].path))


@pytest.mark.parametrize("orientation", range(10))
def test_turned_pictures(calm: dict[str, list[Photo]], orientation: int) -> None:
    draw(calm["val"][0].path, 999, orientation=orientation)
    findings = look(calm)
    turned = [f.subject for f in findings if "turned upright" in f.message]
    assert turned == ([str(calm["val"][0].path)] if 2 <= orientation <= 8 else [])
    assert grave(findings) == []


def test_exif_that_cannot_be_read_spoils_no_picture(calm: dict[str, list[Photo]]) -> None:
    path = calm["val"][0].path
    content = path.read_bytes()
    start = content.index(b"Exif\0\0") + 6
    path.write_bytes(content[:start] + b"\xff" * 7 + content[start + 7 :])
    assert grave(look(calm)) == []


@pytest.mark.parametrize(
    ("captions", "severity", "message"),
    [
        ((*SENTENCES[:4], " . "), "warning", "the caption ' . ' holds no word"),
        ((*SENTENCES, "a  DOG on grass!"), "warning", "has the caption 'a  DOG on grass!' twice"),
        ((*SENTENCES, "dog " * 53), "warning", "a caption of 53 words, above 50"),
        (SENTENCES[:3], "warning", "3 to 5, 4.33 on average; 1 of 3 photos have fewer than 5"),
    ],
)
def test_captions(
    calm: dict[str, list[Photo]], captions: tuple[str, ...], severity: str, message: str
) -> None:
    calm["val"][2] = replace(calm["val"][2], captions=captions)
    findings = look(calm)
    assert grave(findings) == [(severity, "val", found(findings, message).message)]


def test_training_photos_may_have_few_captions(calm: dict[str, list[Photo]]) -> None:
    calm["train"][1] = replace(calm["train"][1], captions=SENTENCES[:1])
    findings = look(calm)
    assert grave(findings) == []
    assert found(findings, "1 to 5, 3.00 on average").subject == "captions a photo"


def test_captions_of_several_photos_are_counted(splits: dict[str, list[Photo]]) -> None:
    for i in range(3):
        captions = (*splits["val"][i].captions, "Two cats!" if i else "three cats", "a cow", ".")
        splits["val"][i] = replace(splits["val"][i], captions=captions)
    finding = found(look(splits), "2 are written for several photos, 'a cow' for 3")
    assert (finding.severity, finding.split) == ("info", "val")


def test_lengths(splits: dict[str, list[Photo]]) -> None:
    words = [len(s.replace(".", "").split()) + 1 for s in SENTENCES]
    message = f"{sum(words) / 5:.1f} words on average, {max(words)} at most"
    assert [f.split for f in look(splits) if f.message == message] == ["train", "val"]


def test_coverage_counts_the_words_that_training_lacks(splits: dict[str, list[Photo]]) -> None:
    # Every caption ends in its photo's number, which only the split itself knows.
    splits["val"][1] = replace(splits["val"][1], captions=("a unicorn", "one unicorn", "x", "y"))
    text = [c.replace(".", "").lower().split() for p in splits["val"] for c in p.captions]
    total = sum(map(len, text))
    unknown = 5 + 2 + 1 + 1 + 1 + 5  # 13, unicorn, one, x, y, 15
    finding = found(look(splits), "unicorn (2)")
    assert finding.message == (
        f"{1 - unknown / total:.2%} of {total} words are among the 12 of train; 6 others, "
        "most frequent: 13 (5), 15 (5), unicorn (2), one (1), x (1), y (1)"
    )
    assert (finding.severity, finding.split, finding.subject) == ("warning", "val", "vocabulary")


def test_coverage_listens_to_min_count_and_to_a_given_vocabulary(
    calm: dict[str, list[Photo]],
) -> None:
    captions = (*calm["train"][0].captions[:4], "the dog is over there rarely")
    calm["train"][0] = replace(calm["train"][0], captions=captions)
    strict = audit(calm, min_count=2)
    assert [f.split for f in strict if "rarely (1)" in f.message] == ["train"]
    words = Vocabulary(["dog", "grass"])
    given = [f for f in audit(calm, vocabulary=words) if f.subject == "vocabulary"]
    assert [f.severity for f in given] == ["warning", "warning"]
    assert all("words are among the 2 of the given vocabulary" in f.message for f in given)


def test_without_a_split_called_train_the_first_is_learnt_from(
    calm: dict[str, list[Photo]],
) -> None:
    renamed = {"learning": calm["train"], "other": calm["val"]}
    assert sum("of learning" in f.message for f in look(renamed)) == 2


def test_photo_ids_in_two_splits(calm: dict[str, list[Photo]]) -> None:
    photo = calm["train"][0]
    resized = draw(photo.path.with_name("101.jpg"), 101, (97, 89))
    calm["val"].append(replace(photo, path=resized))
    finding = found(look(calm), "1 photo ids are in both, 0 of them with the same content")
    assert (finding.severity, finding.split, finding.subject) == ("error", "train, val", "101")
    assert finding.remedy.startswith("take them out of train, or the scores on val are flattered")


def test_names_of_any_camera_are_errors_only_with_the_same_content(
    calm: dict[str, list[Photo]], tmp_path: Path
) -> None:
    other = draw(tmp_path / "IMG_1.jpg", 7)
    calm["train"].append(Photo("IMG_1", draw(tmp_path / "IMG_1.jpeg", 8), SENTENCES))
    calm["val"].append(Photo("IMG_1", other, SENTENCES))
    assert found(look(calm), "1 photo ids are in both").severity == "warning"
    draw(other, 8)
    findings = look(calm)
    assert found(findings, "1 photo ids are in both, 1 of them").severity == "error"
    assert len(grave(findings)) == 1  # not reported as a copy too
    other.unlink()
    (tmp_path / "IMG_1.jpeg").unlink()
    assert found(look(calm), "1 photo ids are in both, 0 of them").severity == "warning"


def test_the_same_content_under_two_names(calm: dict[str, list[Photo]], tmp_path: Path) -> None:
    photo = calm["train"][1]
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photo.path.read_bytes())
    across = {**calm, "test": [Photo("copy", copy, photo.captions)]}
    finding = found(look(across), "1 files have the same content under different names")
    assert (finding.severity, finding.split) == ("error", "train, test")
    assert finding.subject == f"{photo.path} and {copy}"
    within = {**calm, "train": [*calm["train"], Photo("copy", copy, photo.captions)]}
    assert grave(look(within)) == [("warning", "train", f"the same file content as {photo.path}")]


def test_a_photo_twice_in_a_split(calm: dict[str, list[Photo]]) -> None:
    photo = calm["val"][0]
    calm["val"].append(photo)
    message = f"the photo id 103 is that of {photo.path} too"
    assert grave(look(calm)) == [("warning", "val", message)]


def test_unreadable_pictures_are_not_taken_for_copies(calm: dict[str, list[Photo]]) -> None:
    for photos in calm.values():
        for photo in photos:
            photo.path.unlink()
    assert {message for _, _, message in grave(look(calm))} == {"there is no such file"}


def test_many_findings_of_a_kind_are_counted(splits: dict[str, list[Photo]]) -> None:
    gone = [Photo(f"{i}", Path(f"/nowhere/{i}.jpg"), SENTENCES) for i in range(13)]
    exactly = [f for f in look({**splits, "gone": gone}, limit=13) if f.severity == "error"]
    assert [f.subject for f in exactly] == [f"/nowhere/{i}.jpg" for i in range(13)]
    findings = [f for f in look({**splits, "gone": gone}, limit=5) if f.severity == "error"]
    assert [f.subject for f in findings] == [*(f"/nowhere/{i}.jpg" for i in range(5)), "8 more"]
    assert findings[-1].message == "missing pictures, 13 in all"
    assert findings[-1].remedy == findings[0].remedy


def test_errors_first_then_warnings(calm: dict[str, list[Photo]]) -> None:
    calm["train"][0].path.unlink()
    calm["val"].append(calm["val"][0])
    order = [finding.severity for finding in look(calm)]
    assert order == sorted(order, key=["error", "warning", "info"].index)
    assert len(set(order)) == 3


def test_pictures_are_opened_once_and_progress_ends_at_the_total(
    calm: dict[str, list[Photo]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    steps: list[tuple[int, int]] = []
    inner = captioner.audit._look
    monkeypatch.setattr(captioner.audit, "_CHUNK", 2)
    monkeypatch.setattr(
        captioner.audit, "_look", lambda path: (opened.append(path), inner(path))[1]
    )
    both = {**calm, "again": calm["train"]}
    audit(both, progress=lambda done, total: steps.append((done, total)))
    assert sorted(opened) == sorted(p.path for photos in calm.values() for p in photos)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (5 + 7 * 5, 5 + 7 * 5)


def test_nothing_to_look_at() -> None:
    with pytest.raises(DataError, match="nothing to look at: name a file of captions"):
        audit({})
    with pytest.raises(DataError, match="nothing to look at in the split 'val': name a file"):
        audit({"train": [Photo("1", Path("1.jpg"), ("x",))], "val": []})


def test_summary_and_table() -> None:
    def photos(*sizes: int) -> list[Photo]:
        return [Photo(str(i), Path(f"{i}.jpg"), ("x",) * n) for i, n in enumerate(sizes)]

    counts = summary({"train": photos(*[5] * 1013), "val": photos(2, 7, 3), "test": []})
    assert counts == [
        Counts("train", 1013, 5065, 5, 5),
        Counts("val", 3, 12, 2, 7),
        Counts("test", 0, 0, 0, 0),
    ]
    assert table(counts).splitlines() == [
        "split  photos  captions  a photo",
        "train   1,013     5,065        5",
        "val         3        12   2 to 7",
        "test        0         0        0",
        "total   1,016     5,077   0 to 7",
    ]
    assert len(table(counts[:1]).splitlines()) == 2


def test_a_finding_is_one_line() -> None:
    finding = Finding("error", "val", "a.jpg", "there is no such file", "put it there")
    assert str(finding) == "error: val: a.jpg: there is no such file; put it there"


def test_the_audit_needs_no_torch() -> None:
    code = "import sys, captioner.audit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_line_says_nothing_that_names_no_photo(tmp_path: Path) -> None:
    """Pillow remarks on damaged metadata by warnings and by logging, without a file's name."""
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (79, 67)).save(images / "a.tif")
    data = (images / "a.tif").read_bytes()
    (images / "b.tif").write_bytes(data[:40])  # its directory of tags is cut short
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert samples in data
    (images / "c.tif").write_bytes(data.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 99, 0)))
    names = ["a.tif", "b.tif", "c.tif"]
    captions = tmp_path / "captions.txt"
    captions.write_text("".join(f"{name}#0\ta dog\n" for name in names))
    code = "import sys; from captioner.cli import run; sys.exit(run())"
    command = ["data", "check", "--captions", str(captions), "--images", str(images)]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert "errors, to be mended" in done.stdout
    assert [line for line in done.stderr.splitlines() if "entry" not in line] == []
