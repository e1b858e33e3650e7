from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner.ui.album import Album


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    made = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(made):
        path.write_bytes(bytes(number))
    return list(map(str, made))


def _album(size: int) -> tuple[Album[str], list[str]]:
    asked: list[str] = []

    def make(photo: str) -> str:
        if not Path(photo).is_file():
            raise FileNotFoundError(photo)
        asked.append(photo)
        return f"{Path(photo).name} {len(asked)}"

    return Album(make, size), asked


def test_only_the_last_photos_are_kept(paths: list[str]) -> None:
    album, asked = _album(2)
    first, second, third = paths
    assert album[first] == album[first] == "0.png 1"
    assert [album[photo] for photo in (second, first, third, first)] == [
        "1.png 2",
        "0.png 1",
        "2.png 3",
        "0.png 1",
    ]
    assert album[second] == "1.png 4"  # it had made room for the third
    assert asked == [first, second, third, second]
    assert len(album.made) == 2


def test_a_file_that_was_written_again_is_another_photo(paths: list[str]) -> None:
    album, _ = _album(3)
    path = Path(paths[1])
    assert album[str(path)] == "1.png 1"
    status = path.stat()
    path.write_bytes(b"longer")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # by its size alone
    assert album[str(path)] == "1.png 2"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # by its time alone
    assert album[str(path)] == "1.png 3"


def test_a_file_that_is_gone_is_not_there(paths: list[str]) -> None:
    album, _ = _album(3)
    assert album[paths[0]]
    Path(paths[0]).unlink()
    for photo in (paths[0], "\0"):
        with pytest.raises((FileNotFoundError, ValueError)):
            album[photo]
    assert len(album.made) == 1  # what could not be made is not kept


def test_threads_share_an_album(paths: list[str]) -> None:
    album, _ = _album(2)
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda photo: album[photo].split()[0], paths * 200))
    assert names == ["0.png", "1.png", "2.png"] * 200
    assert len(album.made) == 2
