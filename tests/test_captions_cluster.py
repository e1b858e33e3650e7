"""`captioner caption --engine ray`; what needs Ray itself is skipped where it is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.captions.cluster import packed, unpacked
from captioner.cli import main
from captioner.cli.results import Results
from captioner.pictures.shards import Member, Row
from tests.commands import noisy_picture, one_error, read_objects

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install .[ray]"
)


@pytest.mark.parametrize(
    "photo",
    [
        "a/dog.jpg",
        "\udcff.jpg",
        Member.at("a.tar", "b/\udcff.jpg", 512, 99),
        Row("a.parquet", "dog", "image", 3, 7),
    ],
)
def test_photos_are_the_same_behind_the_way_to_an_actor(photo: Any) -> None:
    assert unpacked(packed(photo)) == photo


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--overlay", "s"), "--engine ray writes --jsonl, --csv and --write; leave --overlay out"),
        (("--sidecar", ".txt"), "--engine ray writes --jsonl, --csv and --write; leave --sidecar"),
        (("--in-place",), "--engine ray writes --jsonl, --csv and --write; leave --in-place out"),
    ],
)
def test_what_actors_do_not_write_is_refused(
    typed: Callable[..., int],
    here: Path,
    flags: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "a", "--engine", "ray", *flags) == 2
    assert message in one_error(capsys)


def test_flags_that_do_not_belong_together(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "--actors", 2) == 2
    assert one_error(capsys) == "captioner: --actors belongs to --engine ray; add it\n"
    assert typed("caption", "-", "--engine", "ray") == 2
    assert "--engine ray takes photos that are known from the start" in one_error(capsys)


def test_without_ray_the_extra_is_named(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert typed("caption", "a", "--engine", "ray") == 2
    assert one_error(capsys) == (
        "captioner: --engine ray takes Ray, which is not installed; pip install 'captioner[ray]'\n"
    )


def test_without_pyarrow_the_extra_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["caption", "t.parquet"]) == 2
    assert "t.parquet: reading Parquet takes pyarrow; pip install 'captioner[ray]'" in (
        capsys.readouterr().err
    )


def _bytes(number: int) -> bytes:
    buffer = io.BytesIO()
    noisy_picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def _table(path: Path, first: int, count: int, **more: list[Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": _bytes(first + n), "path": None} for n in range(count)]
    table = pyarrow.table({"image": images, **more})
    pyarrow.parquet.write_table(table, path, row_group_size=2)


@pytest.fixture
def many(here: Path) -> Path:
    """A folder, a list, a tar archive and two Parquet tables: 21 photos, and one that is none."""
    for number in range(10):
        noisy_picture(number).save(here / "a" / f"{number}.png")
    (here / "a" / "bad.jpg").write_text("no photo")
    (here / "list.jsonl").write_text('{"file": "b/dog.png"}\n')
    with tarfile.open(here / "t.tar", "w") as archive:
        for number in range(3):
            data = _bytes(30 + number)
            entry = tarfile.TarInfo(f"{number}.png")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    _table(here / "named.parquet", 40, 3, file_name=["x.png", "y.png", "z.png"])
    _table(here / "other.parquet", 50, 2)
    return here


INPUTS = ("a", "t.tar", "named.parquet", "other.parquet", "--list", "list.jsonl")


def _lines(path: Path) -> list[tuple[str, str, str | None]]:
    return [(v["file"], v["caption"], v["error"]) for v in read_objects(path)]


@needs_ray
def test_the_lines_are_those_of_one_process_also_where_an_actor_is_killed(
    typed: Callable[..., int], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = ("--sample", "--beam-size", 1, "--temperature", 3)
    assert typed("caption", *INPUTS, "--jsonl", "alone.jsonl", *drawn) == 1
    flags = (*drawn, "--engine", "ray", "--actors", 2, "--batch-size", 1)
    put, killed = Results.put, []

    def killing(self: Results, *values: Any) -> None:
        put(self, *values)
        if not killed:
            killed.extend(_actors()[:1])
            for process in killed:
                os.kill(process, signal.SIGKILL)

    import ray

    monkeypatch.setattr(Results, "put", killing)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        assert typed("caption", *INPUTS, "--jsonl", "ray.jsonl", "--csv", "r.csv", *flags) == 1
        assert len(killed) == 1
        assert _lines(many / "ray.jsonl") == _lines(many / "alone.jsonl")
        texts = {caption for _, caption, error in _lines(many / "ray.jsonl") if error is None}
        assert len(texts) > 5  # by the photos' numbers, which draw them
        assert (many / "r.csv").read_text().count("\n") == 23
    finally:
        ray.shutdown()


def _actors() -> list[int]:
    """The processes of Ray's actors that caption."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            name = (folder / "cmdline").read_bytes()
            if name.startswith(b"ray::") and b"Map" in name:
                found.append(int(folder.name))
    return sorted(found)


@needs_ray
def test_photos_of_a_table_are_those_of_its_bytes(many: Path) -> None:
    from captioner.pictures.folders import find_photos

    found = list(find_photos(["named.parquet", "other.parquet"]))
    names = [item.path for item in found]
    assert names == [
        "named.parquet/x.png",
        "named.parquet/y.png",
        "named.parquet/z.png",
        "other.parquet/000000000",
        "other.parquet/000000001",
    ]
    for item, number in zip(found, (40, 41, 42, 50, 51), strict=True):
        assert item.member is not None
        opened = Image.open(io.BytesIO(item.member.read()))
        assert opened.tobytes() == noisy_picture(number).tobytes()
    Path("cut.parquet").write_bytes(Path("other.parquet").read_bytes()[:-9])
    [item] = find_photos(["cut.parquet"])
    assert item.problem is not None
    assert item.problem.startswith("cut.parquet: no Parquet table that can be read (")
