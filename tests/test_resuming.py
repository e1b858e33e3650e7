from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from captioner.errors import ConfigError, DataError
from captioner.resuming import (
    Earlier,
    check_note,
    is_torn,
    mend,
    note_settings,
    written_before,
)


def line(file: str, error: str | None = None) -> bytes:
    return json.dumps({"file": file, "caption": "a dog", "error": error}).encode() + b"\n"


ONE, TWO = line("one.jpg"), line("two.jpg", "no such file")


def mended(path: Path, data: bytes) -> tuple[Earlier, int]:
    path.write_bytes(data)
    seen: list[Mapping[str, Any]] = []
    earlier = Earlier(seen.append)
    with path.open("r+b") as file:
        cut = mend(file, "all.jsonl.partial", earlier)
        assert file.tell() == path.stat().st_size  # new lines come behind
    assert earlier.count == len(seen)
    return earlier, cut


@pytest.mark.parametrize(
    "torn",
    [b"", b"{", ONE[:-1], ONE[:20], b"\0" * 300, b'{"file": "\n', b'{"file": 7, "error": null}\n'],
)
def test_what_is_behind_the_last_whole_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    earlier, cut = mended(tmp_path / "all", ONE + TWO + torn)
    assert (tmp_path / "all").read_bytes() == ONE + TWO
    assert (earlier.count, earlier.failed, cut) == (2, 1, len(torn))


def test_a_file_of_nothing_whole_is_empty(tmp_path: Path) -> None:
    assert mended(tmp_path / "all", ONE[:9])[0].count == 0
    assert (tmp_path / "all").read_bytes() == b""


def test_a_line_that_is_damaged_in_the_midst_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    data = ONE + b"garbage\n" + TWO
    with pytest.raises(DataError) as refused:
        mended(tmp_path / "all", data)
    assert str(refused.value) == (
        "all.jsonl.partial: line 2 holds no object as captioner writes them, and more lines "
        "follow; mend it or take it out, or begin anew without --resume"
    )
    assert (tmp_path / "all").read_bytes() == data


def test_each_object_is_taken_once_however_its_photo_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    earlier, _ = mended(tmp_path / "all", ONE + ONE + TWO)
    assert earlier.take("./one.jpg")
    assert earlier.take(str(tmp_path / "one.jpg"))
    assert not earlier.take("one.jpg")
    assert not earlier.take("three.jpg")
    assert earlier.others == 1


def test_a_torn_first_line_is_known_from_what_others_wrote(tmp_path: Path) -> None:
    for data, torn in ((ONE[:30], True), (b"{", True), (ONE, False), (b"notes", False)):
        (tmp_path / "all").write_bytes(data)
        assert is_torn(tmp_path / "all") is torn, data


def test_a_hundred_thousand_lines_take_little_memory(tmp_path: Path) -> None:
    """A hundred thousand photos are gone on with in some tens of MB."""
    path = tmp_path / "all"
    with path.open("wb") as file:
        for number in range(100_000):
            file.write(b'{"file": "photos/holiday-%06d.jpg", "error": null}\n' % number)
    earlier = Earlier()
    tracemalloc.start()
    with path.open("r+b") as file:
        mend(file, "all", earlier)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert earlier.count == 100_000
    assert most < 50 * 2**20


SETTINGS = {"beam_size": 5, "checkpoint": "ab", "to": None, "write": ["a.json"]}


def test_the_same_weights_and_options_may_go_on(tmp_path: Path) -> None:
    note_settings(tmp_path / "note", SETTINGS)
    check_note(tmp_path / "note", SETTINGS)
    assert written_before(tmp_path / "note") == ("a.json",)


def test_other_ones_may_not(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl.run"
    note_settings(path, SETTINGS)
    with pytest.raises(ConfigError) as refused:
        check_note(path, {**SETTINGS, "beam_size": 3})
    assert str(refused.value) == (
        "--resume: beam_size was 5 in the run that wrote the lines which are there, and is 3 now; "
        "take the old one again, or begin anew without --resume"
    )


@pytest.mark.parametrize("damage", ["", "{", "[1]", "7", "[" * 9999, "\udcff", "9" * 5000])
def test_a_damaged_note_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "all.jsonl.run"
    path.write_bytes(damage.encode(errors="surrogateescape"))
    assert written_before(path) == ()
    with pytest.raises(ConfigError, match=r"all\.jsonl\.run is damaged; begin anew without"):
        check_note(path, SETTINGS)
    path.unlink()
    with pytest.raises(ConfigError, match=r"all\.jsonl\.run is missing, which says with which"):
        check_note(path, SETTINGS)
