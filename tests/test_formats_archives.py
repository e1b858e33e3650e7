from __future__ import annotations

import gzip
import io
import random
import sys
import tarfile
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner.errors import ConfigError, DataError
from captioner.formats import archives, registry, webdataset
from captioner.formats.archives import Parts, members, opened

NAMES = ("shard.tar", "shard.tar.gz", "shard.tar.bz2", "shard.tar.xz")


def _packed(path: Path, files: dict[str, bytes]) -> Path:
    mode = "w:" if path.suffix == ".tar" else f"w:{path.suffix[1:]}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_captions_and_photos_of_compressed_archives(tmp_path: Path, name: str) -> None:
    path = _packed(tmp_path / name, {"7.jpg": b"a photo", "7.txt": "Ein Hund – 개.".encode()})
    found = registry.read(path)
    assert found.format.name == "webdataset"
    assert [(e.name, e.captions) for e in found.entries] == [("7.jpg", ("Ein Hund – 개.",))]
    webdataset.unpack(path, ["7.jpg"], tmp_path / "photos")
    assert (tmp_path / "photos/7.jpg").read_bytes() == b"a photo"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["forwards", "backwards", "any", "twice"])
def test_parts_may_be_asked_for_in_any_order_by_many(tmp_path: Path, name: str, order: str) -> None:
    rng = random.Random(1)
    files = {f"{number}.jpg": rng.randbytes(rng.randrange(3000)) for number in range(60)}
    parts, starts = Parts(_packed(tmp_path / name, files)), []
    with opened(tmp_path / name) as archive:
        for member, _ in members(tmp_path / name, archive):
            parts.add(member.offset_data, member.size)
            starts.append((member.offset_data, files[member.name]))
    asked = {"backwards": starts[::-1], "any": rng.sample(starts, 60), "twice": starts + starts}
    wanted = asked.get(order, starts)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda pair: parts.read(pair[0]), wanted))
    assert got == [data for _, data in wanted]


def test_one_pass_serves_all_who_ask_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a shard of ten thousand photos would be decompressed ten thousand times."""
    opens = []
    real = archives.content
    monkeypatch.setattr(archives, "content", lambda path: opens.append(path) or real(path))
    path = _packed(tmp_path / "a.tar.gz", {f"{n}.jpg": bytes([n]) * 999 for n in range(200)})
    parts = Parts(path)
    for number in range(200):
        parts.add(512 + 1536 * number, 999)
    order = [n + (1 if n % 2 == 0 else -1) for n in range(200)]  # two threads that overtake
    begun = []
    monkeypatch.setattr(
        archives._Bounded,
        "_begin",
        lambda self, own=archives._Bounded._begin: begun.append(own(self)),
    )
    assert [parts.read(512 + 1536 * n) for n in order] == [bytes([n]) * 999 for n in order]
    assert len(opens) == len(begun) == 1


def test_a_bomb_is_refused_before_it_goes_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_ROOM", 2**20)
    path = _packed(tmp_path / "bomb.tar.gz", {"a.jpg": bytes(3 * 2**20), "b.jpg": b"b"})
    assert path.stat().st_size < 5000
    with pytest.raises(DataError, match=r"bomb\.tar\.gz: unpacks to more than 100 times its size"):
        registry.read(path, "webdataset")
    assert archives.is_tar(path)  # its first member alone says so
    parts = Parts(path)
    parts.add(3 * 2**20 + 1024, 1)
    with pytest.raises(DataError, match="unpacks to more than 100 times"):
        parts.read(3 * 2**20 + 1024)


def test_names_and_kinds_that_are_no_photos(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("./a.jpg", "._a.jpg", ".git/b.jpg", "@eaDir/a.jpg", "x/__MACOSX/a.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    with opened(path) as archive:
        assert [name for _, name in members(path, archive)] == ["a.jpg"]


@pytest.mark.parametrize(
    "name", ["/etc/a.jpg", "../a.jpg", "a/../../b.jpg", "C:/a.jpg", "a\x01.jpg"]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    path = _packed(tmp_path / "a.tar.gz", {name: b"x"})
    with pytest.raises(DataError, match="expected a name inside the folder of photos"):
        registry.read(path, "webdataset")


@pytest.mark.parametrize("cut", [-2000, 60, 20])
def test_a_compressed_archive_that_is_cut_short(tmp_path: Path, cut: int) -> None:
    whole = _packed(tmp_path / "a.tar.gz", {"a.jpg": random.Random(0).randbytes(4000)})
    whole.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(
        DataError, match=r"a\.tar\.gz: no tar archive that can be read; it may be cut"
    ):
        registry.read(whole, "webdataset")


def test_zstandard_needs_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    for module in ("compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as error:
        registry.read(path)
    assert str(error.value) == (
        f"{path}: is compressed with Zstandard, which is read with zstandard: "
        "pip install 'captioner[zstd]', or decompress it: zstd -d"
    )
    plain = _packed(tmp_path / "plain.tar", {"a.jpg": b"x", "a.txt": b"A cat."}).read_bytes()
    path.write_bytes(b"\x28\xb5\x2f\xfd" + gzip.compress(plain))
    library = types.SimpleNamespace(
        open=lambda file: (file.read(4), gzip.GzipFile(fileobj=file))[1]
    )
    monkeypatch.setitem(sys.modules, "zstandard", library)
    assert registry.read(path).entries[0].captions == ("A cat.",)


def test_an_archive_is_written_uncompressed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"archives are written uncompressed.*; name it \.tar$"):
        registry.of_output(tmp_path / "a.tar.gz")
