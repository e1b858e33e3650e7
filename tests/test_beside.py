from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.beside import Beside, Change, Wishes
from captioner.captions.caption import Caption
from captioner.errors import ConfigError, ImageError
from captioner.outputs import Guard
from captioner.pictures.embedding import packet_of
from captioner.pictures.xmp import ALT_TEXT, DESCRIPTION, texts_of, with_texts
from tests.commands import noisy_picture

SAID = "A close up of a dog."
BOTH = {DESCRIPTION: SAID, ALT_TEXT: "A dog."}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a photo of each kind that takes captions, and one that does not."""
    (tmp_path / "a").mkdir()
    for number, name in enumerate(("dog.jpg", "dog2.png", "dog3.webp", "dog4.tif", "dog5.gif")):
        noisy_picture(number).save(tmp_path / "a" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _caption(file: str, text: str = SAID, **more: Any) -> Caption:
    return Caption(text, (), 0.0, np.zeros((0, 2, 2), np.float32), file=file, **more)


def _deliver(file: str, text: str = SAID, **wishes: Any) -> list[Change]:
    guard = Guard([file], wishes.pop("overwrite", False))
    return Beside(Wishes(**wishes), guard).deliver(_caption(file, text))


def _texts(path: str) -> dict[str, str]:
    return texts_of(packet_of(Path(path).read_bytes()))


@pytest.mark.parametrize("suffix", [".txt", ".caption"])
def test_texts_beside_photos(here: Path, suffix: str) -> None:
    _deliver("a/dog.jpg", sidecar=suffix, prefix="sks, ", suffix=", 35mm")
    assert Path(f"a/dog{suffix}").read_text() == f"sks, {SAID}, 35mm\n"


def test_what_a_person_wrote_stays(here: Path) -> None:
    Path("a/dog.txt").write_text("Rex, by hand")
    for dry in (True, False):
        (change,) = _deliver("a/dog.jpg", sidecar=".txt", dry_run=dry)
        assert (change.data, change.kept) == (None, True)
    assert Path("a/dog.txt").read_text() == "Rex, by hand"
    (change,) = _deliver("a/dog.jpg", sidecar=".txt", replace=True, dry_run=True)
    assert change.data is not None
    assert Path("a/dog.txt").read_text() == "Rex, by hand"
    _deliver("a/dog.jpg", sidecar=".txt", replace=True)
    assert Path("a/dog.txt").read_text() == f"{SAID}\n"
    (change,) = _deliver("a/dog.jpg", sidecar=".txt")  # the same again
    assert (change.data, change.kept) == (None, False)


def test_an_empty_text_is_nobodys(here: Path) -> None:
    Path("a/dog.txt").write_text("\n")
    (change,) = _deliver("a/dog.jpg", sidecar=".txt")
    assert not change.kept


def test_a_sidecar_that_is_read_is_refused(here: Path) -> None:
    Path("a/dog.txt").write_text("a/dog.jpg\n")
    guard = Guard(["a/dog.jpg", "a/dog.txt"])
    with pytest.raises(ConfigError, match=r"^a/dog.txt is read by this very command"):
        Beside(Wishes(sidecar=".txt", replace=True), guard).deliver(_caption("a/dog.jpg"))


def test_xmp_sidecars(here: Path) -> None:
    _deliver("a/dog.jpg", sidecar=".xmp")
    assert texts_of(Path("a/dog.jpg.xmp").read_bytes()) == BOTH
    _deliver("a/dog.jpg", "A cat.", sidecar=".xmp")  # ours, so brought up to date
    assert texts_of(Path("a/dog.jpg.xmp").read_bytes())[DESCRIPTION] == "A cat."
    edited = Path("a/dog.jpg.xmp").read_bytes().replace(b"A cat.", b"Rex.")
    Path("a/dog.jpg.xmp").write_bytes(edited)
    (change,) = _deliver("a/dog.jpg", sidecar=".xmp")
    assert (change.kept, Path("a/dog.jpg.xmp").read_bytes()) == (True, edited)


def test_a_sidecar_of_adobes_is_completed(here: Path) -> None:
    packet = with_texts(None, {DESCRIPTION: "Rex."}).replace(b"wrote_description", b"x")
    Path("a/dog.xmp").write_bytes(packet)
    (change,) = _deliver("a/dog.jpg", sidecar=".xmp")
    assert change.kept
    assert texts_of(Path("a/dog.xmp").read_bytes()) == {DESCRIPTION: "Rex.", ALT_TEXT: "A dog."}
    assert not Path("a/dog.jpg.xmp").exists()
    Path("a/dog.xmp").write_bytes(b"<broken")
    with pytest.raises(ImageError, match=r"^a/dog.xmp: its XMP is broken"):
        _deliver("a/dog.jpg", sidecar=".xmp")


@pytest.mark.parametrize("name", ["dog.jpg", "dog2.png", "dog3.webp", "dog4.tif"])
def test_copies_hold_their_captions(here: Path, name: str) -> None:
    before = Path("a", name).read_bytes()
    os.utime(Path("a", name), (10**9, 10**9))
    _deliver(f"a/{name}", output="out")
    assert Path("a", name).read_bytes() == before
    assert _texts(f"out/a/{name}") == BOTH
    assert Path("out/a", name).stat().st_mtime == 10**9
    with Image.open(f"out/a/{name}") as copy, Image.open(f"a/{name}") as photo:
        assert copy.tobytes() == photo.tobytes()
    _deliver(f"a/{name}", "A cat.", output="out")  # its own copy may be replaced
    assert _texts(f"out/a/{name}")[DESCRIPTION] == "A cat."


def test_copies_replace_nothing_else(here: Path) -> None:
    Path("out/a").mkdir(parents=True)
    Path("out/a/dog.jpg").write_text("another file")
    with pytest.raises(ConfigError, match=r"^out/a/dog.jpg is there already and is no copy"):
        _deliver("a/dog.jpg", output="out")
    with pytest.raises(ConfigError, match=r"^a/dog.jpg is read by this very command, and an"):
        _deliver("a/dog.jpg", output=".")


def test_a_kind_that_holds_no_xmp_is_named(here: Path) -> None:
    with pytest.raises(ImageError, match=r"^a/dog5.gif: a caption is put into JPEG, PNG, WebP and"):
        _deliver("a/dog5.gif", output="out")
    assert not Path("out").exists()


def test_in_place_pixels_time_and_permissions_stay(here: Path) -> None:
    photo = Path("a/dog.jpg")
    os.utime(photo, (10**9, 10**9))
    photo.chmod(0o640)
    with Image.open(photo) as image:
        pixels = image.tobytes()
    _deliver("a/dog.jpg", in_place=True)
    status = photo.stat()
    assert (status.st_mtime, stat.S_IMODE(status.st_mode)) == (10**9, 0o640)
    with Image.open(photo) as image:
        assert image.tobytes() == pixels
    assert _texts("a/dog.jpg") == BOTH
    assert sorted(p.name for p in Path("a").iterdir()) == [
        *("dog.jpg", "dog2.png", "dog3.webp", "dog4.tif", "dog5.gif")
    ]
    before = photo.read_bytes()
    (change,) = _deliver("a/dog.jpg", in_place=True)
    assert (change.data, photo.read_bytes()) == (None, before)


@pytest.mark.parametrize(
    ("text", "kept"), [("Rex in the garden", True), ("OLYMPUS DIGITAL CAMERA", False), (" ", False)]
)
def test_a_text_in_the_exif_is_a_persons_too(here: Path, text: str, kept: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = text
    noisy_picture(9).save("a/dog.jpg", exif=exif)
    (change,) = _deliver("a/dog.jpg", in_place=True)
    assert change.kept is kept
    assert (DESCRIPTION in _texts("a/dog.jpg")) is not kept
    assert _texts("a/dog.jpg")[ALT_TEXT] == "A dog."
    _deliver("a/dog.jpg", in_place=True, replace=True)
    assert _texts("a/dog.jpg") == BOTH


def test_a_photo_whose_pixels_would_change_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("a/dog2.png").read_bytes()
    monkeypatch.setattr("captioner.beside.with_packet", lambda data, packet: other)
    before = Path("a/dog.jpg").read_bytes()
    with pytest.raises(ImageError, match=r"^a/dog.jpg: its pixels would change, so that it stays"):
        _deliver("a/dog.jpg", in_place=True)
    monkeypatch.setattr("captioner.beside.with_packet", lambda data, packet: data[:60])
    with pytest.raises(ImageError, match=r"^a/dog.jpg: whether its pixels stay cannot be seen"):
        _deliver("a/dog.jpg", in_place=True)
    assert Path("a/dog.jpg").read_bytes() == before


def test_an_interrupted_write_leaves_the_photo(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("captioner.beside.shutil.copystat", stop)
    before = Path("a/dog.jpg").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        _deliver("a/dog.jpg", in_place=True)
    assert Path("a/dog.jpg").read_bytes() == before
    assert len(list(Path("a").iterdir())) == 5


def test_a_read_only_photo_stays(here: Path) -> None:
    """Its folder would let it be replaced, and root may write anything."""
    photo, before = Path("a/dog.jpg"), Path("a/dog.jpg").read_bytes()
    photo.chmod(0o444)
    with pytest.raises(ImageError) as error:
        _deliver("a/dog.jpg", in_place=True)
    assert str(error.value) == (
        "a/dog.jpg: it is read-only, so that it stays as it is; allow it (chmod u+w), or write "
        "copies with --output DIR"
    )
    assert photo.read_bytes() == before
    _deliver("a/dog.jpg", output="out")
    assert _texts("out/a/dog.jpg") == BOTH


def test_links_lead_to_the_photo_and_other_names_keep_theirs(here: Path) -> None:
    Path("link.jpg").symlink_to("a/dog.jpg")
    before = Path("a/dog.jpg").read_bytes()
    os.link("a/dog.jpg", "backup.jpg")
    _deliver("link.jpg", in_place=True)
    assert Path("link.jpg").is_symlink()
    assert _texts("a/dog.jpg") == BOTH
    assert Path("backup.jpg").read_bytes() == before


def test_two_photos_do_not_share_a_text(here: Path) -> None:
    noisy_picture(7).save("a/dog.png")
    beside = Beside(Wishes(sidecar=".txt"), Guard())
    beside.deliver(_caption("a/dog.jpg"))
    with pytest.raises(ConfigError) as error:
        beside.deliver(_caption("a/dog.png", "Another."))
    assert str(error.value) == (
        "a/dog.png: a/dog.txt holds the text of a/dog.jpg; rename one of the two photos"
    )
    assert beside.kept == 0
    assert Path("a/dog.txt").read_text() == f"{SAID}\n"


def test_unsure_alt_texts_are_marked(here: Path) -> None:
    beside = Beside(Wishes(sidecar=".txt", alt_text=True), Guard())
    beside.deliver(_caption("a/dog.jpg", unsure=True))
    assert Path("a/dog.txt").read_text() == "A dog. (unsure)\n"


def test_a_photo_that_is_in_no_file(here: Path) -> None:
    with pytest.raises(ConfigError, match="is in no file of its own, so that nothing goes beside"):
        _deliver("shard.tar/dog.jpg", sidecar=".txt")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"prefix": "x"}, "--sidecar-prefix and --sidecar-suffix belong to a text file; add --sid"),
        ({"suffix": "x", "sidecar": ".xmp"}, "belong to a text file"),
        ({"replace": True}, "--replace belongs to --sidecar, --output and --in-place; add one"),
    ],
)
def test_wishes_that_go_nowhere(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wishes(**wishes)
