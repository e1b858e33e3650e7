from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.ui import uploads as uploads_module
from captioner.ui.uploads import Renaming, Uploads


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    folder = tmp_path_factory.mktemp('"odd" ü')
    (folder / "a").mkdir()
    (folder / "a" / "dog.png").write_bytes(b"dog")
    (folder.parent / "secret").write_bytes(b"secret")
    return Uploads(folder)


def test_a_file_is_found_by_its_public_name(uploads: Uploads) -> None:
    assert uploads.path("uploads/a/dog.png") == str(uploads.folder / "a" / "dog.png")
    for name in ("a/dog.png", "uploads/a", "uploads/../secret", "uploads", None, 7, ["uploads/a"]):
        assert uploads.path(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "uploads/" + "a/../" * 200_000 + "a/dog.png",
        "uploads/" + "a/../" * 3 + "a/dog.png",
        "uploads/./a/dog.png",
        "uploads/a//dog.png",
        "uploads//a/dog.png",
        "uploads/a/dog.png/",
        "uploads/a\\..\\a/dog.png",
        "uploads/" + "a" * uploads_module.LONGEST_NAME,
    ],
    ids=lambda name: name[:30],
)
def test_a_name_is_not_followed_step_by_step(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def resolve(path: Path, strict: bool = False) -> Path:
        raise AssertionError(f"{len(str(path))} characters were followed")

    monkeypatch.setattr(Path, "resolve", resolve)
    assert uploads.path(name) is None


@given(st.lists(st.sampled_from(["..", ".", "a", "dog.png", "secret", "/", "\\", "\0", "~", ""])))
def test_no_name_leads_out_of_the_folder(uploads: Uploads, parts: list[str]) -> None:
    found = uploads.path("uploads/" + "/".join(parts))
    assert found is None or Path(found).read_bytes() == b"dog"


@given(st.binary(max_size=30), st.binary(max_size=30), st.integers(1, 200))
def test_the_folder_is_renamed_wherever_an_answer_is_cut(
    uploads: Uploads, before: bytes, after: bytes, size: int
) -> None:
    path = str(uploads.folder)
    spelt = [path, json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1], quote(path)]
    answer = before + b" ".join(f"{one}/x".encode() for one in spelt) + after
    renaming = Renaming(uploads.names)
    parts = [answer[start : start + size] for start in range(0, len(answer), size)]
    sent = [renaming(part, more=True) for part in parts]
    sent.append(renaming(b"", more=False))
    assert b"".join(sent) == before + b" ".join([b"uploads/x"] * 4) + after


_PROCESS = """
import sys
from captioner.ui import uploads
folder = uploads.claim()
assert folder == uploads.claim()
(folder / "a photo.png").write_bytes(b"")
print(folder, oct(folder.stat().st_mode), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("given", [True, False])
def test_the_folder_is_private_and_goes(tmp_path: Path, given: bool) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}
    if given:
        environment["GRADIO_TEMP_DIR"] = str(tmp_path / "of" / "gradio")
    ended = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        input="",
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    folder, mode = ended.stdout.split()
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert Path(folder).parent == (tmp_path / "of" / "gradio" if given else tmp_path)
    assert not Path(folder).exists()
