"""`captioner doctor`: what a bug report should say about the machine that it is from."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner import tasks
from captioner.cli.display import columns, one_line
from captioner.errors import CaptionerError

_BROWSERS = ("chromium", "chromium-browser")  # one of them drives the tests of the page
_SPARED = ("openvino",)  # what captioner asks for, and can do without
_PATIENCE = 20  # seconds that another program may take to say its version
_TASKS = (tasks.CAPTION, tasks.TRANSLATE)  # whose weights come along
_FORMATS = {"WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}  # as Pillow calls them


@dataclass(frozen=True)
class Fact:
    """One line of the table."""

    section: str
    name: str
    value: str
    wrong: bool = False  # whether captioner cannot do what it should


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "doctor",
        usage="captioner doctor [--json]",
        description="Shows what a bug report needs: versions, weights and whether they are whole, "
        "devices, fonts,\nprograms and extras. It names no folder of yours and sends nothing "
        "anywhere. The exit code is 1\nwhere something is missing that captioner cannot do "
        "without, or is damaged.",
    )
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows what is installed and works; returns how much of what is needed does not."""
    found = list(facts())
    if arguments.json:
        print(json.dumps(_nested(found), indent=2, ensure_ascii=False))
    else:
        rows = [[f.section, f.name, f"{f.value}{'  <- wrong' if f.wrong else ''}"] for f in found]
        print(columns(rows))
    return sum(fact.wrong for fact in found)


def facts() -> Iterator[Fact]:
    """Everything that is shown; what cannot be found out says why."""
    for look in (_system, _packages, _weights, _devices, _runtimes, _fonts, _pictures, _programs):
        try:
            yield from map(_tidy, look())
        except Exception as error:  # whatever is broken, the rest of the report is wanted
            about = f"cannot be looked at ({type(error).__name__}: {error})"
            yield _tidy(Fact(look.__name__.strip("_"), "", about, wrong=True))


def _nested(found: list[Fact]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for fact in found:
        values.setdefault(fact.section, {})[fact.name] = fact.value
    return {**values, "wrong": [f"{f.section} {f.name}".strip() for f in found if f.wrong]}


def _tidy(fact: Fact) -> Fact:
    """On one line, and without the name of somebody's home."""
    value = fact.value.replace(str(Path.home()), "~") if Path.home() != Path("/") else fact.value
    return Fact(fact.section, fact.name, one_line(value), fact.wrong)


def _system() -> Iterator[Fact]:
    import captioner

    yield Fact("system", "captioner", captioner.__version__)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Fact("system", "Python", python)
    yield Fact("system", "platform", platform.platform())


def _packages() -> Iterator[Fact]:
    """Every package that captioner's own metadata ask for, those of the extras too."""
    from packaging.markers import Marker  # comes with matplotlib

    try:
        wanted = importlib.metadata.requires("captioner") or []
    except importlib.metadata.PackageNotFoundError:
        yield Fact("packages", "captioner", "runs from its folder and is not installed")
        return
    for text in wanted:
        name, _, condition = text.partition(";")
        if condition and "extra" not in condition and not Marker(condition).evaluate():
            continue  # for other machines
        parts = re.match(r"([\w.-]+)(\[.*\])?\s*(.*)", name.strip())
        extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        if parts is not None and parts[1] != "captioner":  # an extra that names others
            section = f"extra {extra[1]}" if extra else "packages"
            needed = extra is None and parts[1] not in _SPARED
            yield _package(section, parts[1], parts[3].strip(" ()"), needed=needed)


def _package(section: str, name: str, versions: str, *, needed: bool) -> Fact:
    from packaging.specifiers import SpecifierSet  # comes with matplotlib

    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Fact(section, name, "not installed", wrong=needed)
    if SpecifierSet(versions).contains(version, prereleases=True):
        return Fact(section, name, version)
    return Fact(section, name, f"{version}, where {versions} is wanted", wrong=True)


def _weights() -> Iterator[Fact]:
    """The checkpoints that came along, read to the end."""
    from captioner import storage

    for task in _TASKS:
        try:
            path = storage.default_path(task)
            header, _ = storage.read(path, [tasks.TASKS[task].checkpoint()], with_tensors=True)
        except CaptionerError as error:
            yield Fact("weights", task, str(error), wrong=True)
            continue
        state = "checksum right" if "sha256" in header else "no checksum to compare"
        size = path.stat().st_size / 1e6
        yield Fact("weights", task, f"{path.name}, {size:.1f} MB, {state}")


def _devices() -> Iterator[Fact]:
    import torch

    from captioner import devices

    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux says how many of them are ours
        cores = len(os.sched_getaffinity(0))
    yield Fact("devices", "auto", str(devices.pick("auto")))
    yield Fact("devices", "CPU", f"{cores} cores, torch computes in {torch.get_num_threads()}")
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        about = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        yield Fact("devices", f"cuda:{number}", about)
    if not torch.cuda.device_count():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without"
        yield Fact("devices", "cuda", f"none; torch is {built}")
    if torch.backends.mps.is_available():
        yield Fact("devices", "mps", "there")


def _runtimes() -> Iterator[Fact]:
    """What computes photos' features on a CPU; nothing is missing where torch does it."""
    from captioner.runtimes import library

    if not library.is_installed():
        yield Fact("runtimes", "auto", "torch, for openvino is not installed")
        return
    try:
        number_type = {"bf16": "bfloat16", "f32": "float32"}[library.precision()]
    except Exception as error:  # a library that does not start here
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        yield Fact("runtimes", "auto", f"torch, for openvino does not start ({reason})")
        return
    yield Fact("runtimes", "auto", f"openvino, which computes in {number_type} on this CPU")


def _fonts() -> Iterator[Fact]:
    """Whether heat maps can be lettered."""
    from captioner.pictures.figures import drawable

    for name, letter in (("Latin", "ß"), ("Greek", "ω"), ("Cyrillic", "ж"), ("Korean", "한")):
        there = drawable(letter) == letter
        missing = "missing: pip install koreanize-matplotlib"
        yield Fact("fonts", name, "drawn" if there else missing, wrong=not there)


def _pictures() -> Iterator[Fact]:
    from PIL import features

    for name, feature in _FORMATS.items():
        yield Fact("pictures", name, "read" if features.check(feature) else "not in this Pillow")
    heic = importlib.util.find_spec("pillow_heif") is not None
    yield Fact("pictures", "HEIC", "read" if heic else "not read: pip install pillow-heif")


def _programs() -> Iterator[Fact]:
    java, meteor = shutil.which("java"), importlib.util.find_spec("pycocoevalcap")
    yield Fact("programs", "Java", _said(java, "-version") if java else "none")
    lacking = [name for name, there in (("Java", java), ("pycocoevalcap", meteor)) if not there]
    about = f"lacks {' and '.join(lacking)}" if lacking else "can be computed"
    yield Fact("programs", "METEOR", about)
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    about = _said(browser, "--version") if browser else "none; only tests of the page need one"
    yield Fact("programs", "Chromium", about)


def _said(program: str, flag: str) -> str:
    """The first line of what a program says about its version."""
    try:
        done = subprocess.run(
            [program, flag], capture_output=True, text=True, timeout=_PATIENCE, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"there, and does not start ({type(error).__name__})"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines and not done.returncode else "there, and does not start"
