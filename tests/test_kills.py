"""A few of the kills and damaged files of benchmarks/kills.py and benchmarks/fuzz.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fuzz

ROOT = Path(__file__).resolve().parent.parent


def test_killed_at_random_moments_and_gone_on_with_nothing_is_lost_or_done_twice() -> None:
    """Real processes; a hundred kills are tried by hand, and their numbers are in the docs."""
    trials = ["captions", "training", "--kills", "3", "--photos", "6"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", *trials],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    captions, training = map(json.loads, ran.stdout.splitlines())
    for found in (captions, training):
        assert sum(found["kills"].values()) == 3
        assert found["rounds"] >= 1
        assert found["wrong"] == []
    assert captions["done again, most behind one kill"] <= 4  # the photos of a batch


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_damaged_files_give_a_result_or_one_of_our_errors(name: str, tmp_path: Path) -> None:
    """Thousands of cases are tried by hand; those that found something once stay."""
    seeds = fuzz.TARGETS[name].seeds()
    for number in (*range(12), *fuzz.FOUND.get(name, ())):
        what = fuzz.attempt(name, number, seeds, tmp_path)
        assert not (what or "").startswith("!"), f"{name} {number}: {what}"
