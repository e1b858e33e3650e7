"""`python -m benchmarks.net`: keep, compare, pace."""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from . import __doc__ as about
from . import answers, differences, kept, learning, rates, reach, surface

RATES = ("rates", "latencies")
PARTS = ("captions", "translations", "names", "help", "outputs", "page", "losses", *RATES)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
_FEW_PHOTOS = 6  # that commands are tried on
_CHILD = """
import sys
sys.path.append(sys.argv.pop(1))  # behind everything that this Python has
from benchmarks.net.__main__ import _end, main, signal
signal.signal(signal.SIGTERM, _end)
sys.exit(main(sys.argv[1:]))
"""


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns 1 where `compare` finds too much, 2 where nothing can be done."""
    typed = _parser().parse_args(arguments)
    try:
        return int(typed.run(typed))
    except (ValueError, OSError) as error:
        print(f"net: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.net",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="keep|compare|pace")
    keep = commands.add_parser("keep", help="what this code says and shows, into FILE")
    keep.add_argument("file", type=Path, metavar="FILE")
    _add_inputs(keep)
    keep.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS)
    )
    keep.add_argument(
        "--python", metavar="PROGRAM", help="another environment's, whose captioner is looked at"
    )
    keep.add_argument("--overwrite", action="store_true", help="replace FILE")
    keep.add_argument("--add", action="store_true", help="put the parts beside those in FILE")
    keep.set_defaults(run=_keep)
    compare = commands.add_parser("compare", help="a table of what differs between two files")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.set_defaults(run=_compare)
    pace = commands.add_parser("pace", help="times two environments by turns")
    pace.add_argument("programs", nargs=2, metavar="PYTHON", help="of the environments")
    _add_inputs(pace)
    pace.set_defaults(run=_pace)
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--sentences",
        nargs="+",
        default=(),
        metavar="LANGUAGE=FILE",
        help="texts to translate, one a line; FILE.tsv:2 is the second column",
    )
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=(reach.SHIPPED,),
        metavar="FILE",
        help="captioners; the first one is used for all but captions (default: shipped)",
    )
    parser.add_argument("--translator", default=reach.SHIPPED, metavar="FILE")
    parser.add_argument(
        "--count", type=int, default=300, metavar="N", help="photos, and sentences a direction"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of a rate")


def _keep(typed: argparse.Namespace) -> int:
    if typed.file.exists() and not (typed.overwrite or typed.add):
        raise ValueError(f"{typed.file} is there; --overwrite replaces it, --add adds to it")
    typed.file.resolve().parent.mkdir(parents=True, exist_ok=True)
    if typed.python:
        return _in(typed.python, _retyped(typed, typed.file, typed.only))
    photos = _photos(typed.photos, typed.count)
    sentences = _sentences(typed.sentences, typed.count)
    found = kept.Kept(about=_about(photos, sentences))
    if typed.add:
        there = kept.read(typed.file)
        if there.about != found.about:
            raise ValueError(
                f"{typed.file} was kept of {there.about}, this is {found.about}; --add takes the "
                "same code with the same photos and sentences"
            )
        found = there
    print(f"net: {found.about['code']}, {found.about['commit']}", file=sys.stderr)
    for part, make in _makers(typed, photos, sentences, found).items():
        if part in typed.only:
            began = time.perf_counter()
            found.parts[part] = make()
            print(f"net: {part}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    kept.write(found, typed.file)
    for part in ("captions", "translations"):
        for name, one in found.parts.get(part, {}).items():
            if "skipped" in one:
                print(f"net: {name} left out: {one['skipped']}", file=sys.stderr)
    return 0


def _makers(
    typed: argparse.Namespace,
    photos: Sequence[Path],
    sentences: dict[str, list[str]],
    found: kept.Kept,
) -> dict[str, Callable[[], Any]]:
    """What makes each part."""
    from captioner import Translator

    names = [_absolute(name) for name in typed.checkpoint]
    translator = _absolute(typed.translator)
    weights = reach.weights(names[0])
    translating = reach.weights(translator, "translate")
    ways = reach.directions(Translator.load(str(translating)))
    few, to = photos[:_FEW_PHOTOS], ways[0][1]
    return {
        "captions": lambda: answers.of_captioners(names, translator, photos, found.looks),
        "translations": lambda: answers.of_translators([translator], sentences, found.looks),
        "names": surface.names,
        "help": surface.helps,
        "outputs": lambda: surface.outputs(few, weights, translating, ways),
        "page": lambda: surface.page(photos[0], weights, translating, to),
        "losses": lambda: learning.losses(photos, weights, translating, ways),
        "rates": lambda: rates.measured(photos, weights, translating, to, typed.rounds),
        "latencies": lambda: rates.of_the_page(photos[0], weights, translating, typed.rounds),
    }


def _absolute(name: str) -> str:
    return name if name == reach.SHIPPED else str(Path(name).resolve())


def _about(photos: Sequence[Path], sentences: dict[str, list[str]]) -> dict[str, Any]:
    code = reach.package()  # before torch, or captioner cannot choose how its threads wait
    import torch

    seen = hashlib.sha256()
    for photo in photos:
        seen.update(photo.read_bytes())
    said = hashlib.sha256(repr(sentences).encode())
    counts = ", ".join(f"{len(own)} {language}" for language, own in sentences.items())
    return {
        "code": str(code),
        "commit": reach.commit(code.parent),
        "photos": f"{len(photos)} ({seen.hexdigest()[:12]})",
        "sentences": f"{counts} ({said.hexdigest()[:12]})",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def _photos(folders: Sequence[Path], count: int) -> list[Path]:
    """As many of each folder, by even steps through its names."""
    each = -(-count // len(folders))
    found = []
    for folder in folders:
        paths = sorted(p for p in folder.resolve().iterdir() if p.suffix.lower() in _SUFFIXES)
        found += _spread(paths, each)
    if len(found) < 2:
        raise ValueError(f"there are {len(found)} photos in {', '.join(map(str, folders))}; 2 do")
    return found[:count]


def _sentences(typed: Sequence[str], count: int) -> dict[str, list[str]]:
    """By language, as many of each file, by even steps through its lines."""
    files: dict[str, list[list[str]]] = {}
    for text in typed:
        language, equals, name = text.partition("=")
        if not equals:
            raise ValueError(f"--sentences is {text}; expected LANGUAGE=FILE")
        column = re.search(r":(\d+)$", name)
        path = Path(name[: column.start()] if column else name)
        lines = path.read_text(encoding="utf-8").splitlines()
        place = int(column[1]) - 1 if column else 0
        every = [line.split("\t")[place] for line in lines if line.strip()]
        files.setdefault(language, []).append(list(dict.fromkeys(every)))
    found = {}
    for language, several in files.items():
        each = -(-count // len(several))
        found[language] = [line for own in several for line in _spread(own, each)][:count]
    return found or {"en": list(answers.SENTENCES)[:count]}


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _compare(typed: argparse.Namespace) -> int:
    before, after = kept.read(typed.before), kept.read(typed.after)
    rows = differences.compare(before, after)
    for name, one in (("before", before), ("after", after)):
        about = one.about
        print(f"{name}: {about['commit'] or about['code']}, torch {about['torch']}")
    print(f"photos: {before.about['photos']}; sentences: {before.about['sentences']}\n")
    print(differences.table(rows))
    beyond = [row for row in rows if row.beyond]
    print(f"\n{len(beyond)} of {len(rows)} rows are beyond tolerances")
    return int(bool(beyond))


def _pace(typed: argparse.Namespace) -> int:
    """Each round measures both; the one that was second is first in the next."""
    found: list[dict[str, list[list[float]]]] = [{}, {}]
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(typed.rounds):
            for number in (0, 1) if turn % 2 == 0 else (1, 0):
                file = Path(folder) / f"{turn} {number}.net"
                typed.rounds = 1
                code = _in(typed.programs[number], _retyped(typed, file, RATES))
                if code:
                    return code
                parts = kept.read(file).parts
                for name, rows in (parts["rates"] | parts["latencies"]).items():
                    found[number].setdefault(name, []).extend(rows)
    print("| a second | by the second environment, to the first |\n|---|---|")
    for name in found[0].keys() & found[1].keys():
        print(f"| {name} | {differences.ratio(found[0][name], found[1][name])} |")
    return 0


def _retyped(typed: argparse.Namespace, file: Path, only: Sequence[str]) -> list[str]:
    """The arguments of the same `keep`, for another process in another folder."""
    sentences = [
        f"{language}={Path(name).resolve()}" for language, _, name in map(_cut, typed.sentences)
    ]
    return [
        *("keep", str(file.resolve()), "--photos", *(str(f.resolve()) for f in typed.photos)),
        *(("--sentences", *sentences) if sentences else ()),
        *("--checkpoint", *map(_absolute, typed.checkpoint)),
        *("--translator", _absolute(typed.translator), "--count", str(typed.count)),
        *("--rounds", str(typed.rounds), "--only", *only),
        *(f"--{name}" for name in ("overwrite", "add") if getattr(typed, name, False)),
    ]


def _cut(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _in(program: str, arguments: Sequence[str]) -> int:
    """Runs this script by another Python, which need not have it."""
    root = Path(__file__).resolve().parent.parent.parent
    # -P: the captioner of its environment, not that of the folder where this is typed.
    line = [program, "-P", "-c", _CHILD, str(root), *arguments]
    process = subprocess.Popen(line)
    try:
        return process.wait()
    finally:
        process.terminate()  # it stops the page that it serves; one that has ended hears nothing
        process.wait()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # by way of every `finally`


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
