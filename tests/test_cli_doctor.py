from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

import captioner
from captioner import storage
from captioner.cli import doctor, main
from captioner.cli.doctor import Fact, facts


def _told(section: str) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts() if fact.section == section}


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a browser takes seconds."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def light(weights: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tiny weights in the place of those that came along."""
    monkeypatch.setattr(doctor, "_TASKS", ("caption",))
    monkeypatch.setattr(storage, "default_path", lambda task: Path(weights))
    return weights


def test_a_table_and_the_same_as_json(light: str, capsys: pytest.CaptureFixture[str]) -> None:
    installed = importlib.metadata.version("torch")
    assert main(["doctor"]) == 0
    table = capsys.readouterr().out
    assert re.search(rf"^packages +torch +{re.escape(installed)}$", table, re.MULTILINE)
    assert main(["doctor", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values.pop("wrong") == []
    assert values["system"]["captioner"] == captioner.__version__
    assert values["devices"]["CPU"].endswith(f"torch computes in {torch.get_num_threads()}")
    for section, own in values.items():
        for name, value in own.items():
            line = rf"^{re.escape(section)} +{re.escape(name)} +{re.escape(value)}$"
            assert re.search(line, table, re.MULTILINE)


def test_every_package_of_the_metadata_is_named(light: str) -> None:
    names = [fact.name for fact in facts() if fact.section.startswith(("packages", "extra"))]
    wanted = importlib.metadata.requires("captioner") or []
    assert names
    assert names == [
        re.split(r"[^\w.-]", text)[0] for text in wanted if not text.startswith("captioner")
    ]


def test_what_is_missing_too_old_or_only_an_extra(
    light: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name in ("absent", "optional", "openvino"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    elsewhere = "elsewhere>=1; platform_machine == 'abacus'"
    here = "good>=1; platform_machine != 'abacus'"
    more = 'optional>=1; extra == "more"'
    wanted = ["absent>=1", "old<7,>=6.31", here, elsewhere, "openvino>=1", more]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert _told("packages") == {
        "absent": Fact("packages", "absent", "not installed", wrong=True),
        "old": Fact("packages", "old", "1.2, where <7,>=6.31 is wanted", wrong=True),
        "good": Fact("packages", "good", "1.2"),
        "openvino": Fact("packages", "openvino", "not installed"),
    }
    assert _told("extra more")["optional"] == Fact("extra more", "optional", "not installed")
    assert main(["doctor"]) == 1
    assert re.search(r"^packages +absent +not installed  <- wrong$", capsys.readouterr().out, re.M)


def test_damaged_and_missing_weights_are_wrong(
    light: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Path(light).name
    assert _told("weights")["caption"].value.startswith(f"{name}, ")
    assert _told("weights")["caption"].value.endswith(" MB, checksum right")
    content = bytearray(Path(light).read_bytes())
    content[-1] ^= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    monkeypatch.setattr(storage, "default_path", lambda task: damaged)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)  # whose name is nobody's business
    found = _told("weights")["caption"]
    assert found.wrong
    assert found.value.startswith("~/damaged.safetensors: damaged, its content is not what was")


def test_what_breaks_leaves_the_rest_of_the_report(
    light: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1 / 0)
    [found] = [fact for fact in facts() if fact.wrong]
    assert found.value == "cannot be looked at (ZeroDivisionError: division by zero)"
    assert _told("fonts")["Korean"].value == "drawn"


def test_programs_are_asked_for_their_version(
    light: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _told("programs")["Java"].value == "none"
    assert _told("programs")["METEOR"].value.startswith("lacks Java")
    texts = {"java": "echo 'java 99' >&2", "chromium": "exit 3"}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))
    found = _told("programs")
    assert found["Java"].value == "java 99"
    assert found["Chromium"].value == "there, and does not start"
