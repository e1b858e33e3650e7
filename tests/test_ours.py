"""data/ours.py: what scripts that prepare data share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from captioner.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from ours import told

INTERRUPTED = "interrupted; the same command begins again\n"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (DataError("a.gz: no lines"), 1, "error: a.gz: no lines\n"),
        (OSError(28, "No space left"), 1, "error: [Errno 28] No space left\n"),
        (KeyboardInterrupt(), 130, INTERRUPTED),
    ],
)
def test_an_end_before_time_is_told(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> str:
        raise raised

    assert told(work) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", said)


def test_what_was_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(lambda: "12 lines") == 0
    assert capsys.readouterr() == ("12 lines\n", "")


def test_faults_of_the_script_itself_are_not_told_away() -> None:
    with pytest.raises(ZeroDivisionError):
        told(lambda: str(1 / 0))
