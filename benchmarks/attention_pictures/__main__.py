"""See the package."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.outputs import write_text

from . import __doc__ as about
from . import memories
from .layout import TILE, packed, picture_of
from .rows import Asked, cells_look, drawn, each_head, plain, so_far
from .words import mixed, positions, word_looks

SENTENCE = "A brown dog is standing on the grass next to a man."
WORDS = ("brown", "dog", "on", "grass", "next", "man")
SPOTS = ("the dog's face 0.22 0.47", "the grass 0.80 0.70", "the man's leg 0.50 0.45")


class Runs:
    """The models of a study's first seed, each read once."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self._known: dict[str, Captioner] = {}

    def path(self, variant: str) -> Path:
        """Where a variant's weights lie."""
        return self.folder / f"{variant}-{self.seed}.safetensors"

    def __getitem__(self, variant: str) -> Captioner:
        if variant not in self._known:
            self._known[variant] = Captioner(Checkpoint.load(self.path(variant)))
        return self._known[variant]


@dataclass(frozen=True)
class Drawing:
    """A picture: its name, the variants it needs, and how it is made of them."""

    name: str
    variants: tuple[str, ...]
    make: Callable[[Runs, Asked], Image.Image]


def _rows(*rows: tuple[str, str], size: int = TILE) -> Callable[[Runs, Asked], Image.Image]:
    """Plain rows, of a variant and a title each."""

    def make(runs: Runs, asked: Asked) -> Image.Image:
        found = [plain(runs[variant], asked, title) for variant, title in rows]
        return picture_of(asked, found, asked.words, size)

    return make


def _hard(runs: Runs, asked: Asked) -> Image.Image:
    return picture_of(asked, [drawn(runs["hard"], asked, "hard")], asked.words, TILE)


def _coverage(runs: Runs, asked: Asked) -> Image.Image:
    own = runs["coverage"]
    return picture_of(
        asked, [plain(own, asked, "with coverage"), so_far(own, asked)], asked.words, TILE
    )


def _heads(variant: str, size: int) -> Callable[[Runs, Asked], Image.Image]:
    def make(runs: Runs, asked: Asked) -> Image.Image:
        return picture_of(asked, each_head(runs[variant], asked, "says"), asked.words, size)

    return make


def _refined(runs: Runs, asked: Asked) -> Image.Image:
    return picture_of(asked, cells_look(runs["refined-grid"], asked), (), 190)


def _scheduled(runs: Runs, asked: Asked) -> Image.Image:
    return mixed(runs["general-after"], asked)


def _masked(runs: Runs, asked: Asked) -> Image.Image:
    return word_looks(runs["transformer"], asked.source, asked.sentence)


def _positions(runs: Runs, asked: Asked) -> Image.Image:
    return positions(asked.sentence)


def _supervised(runs: Runs, asked: Asked) -> Image.Image:
    rows = [
        plain(runs["general-after"], asked, "never told"),
        plain(Captioner.load(), asked, "told where people are: the weights that come along"),
    ]
    return picture_of(asked, rows, asked.words, TILE)


DRAWINGS = (
    Drawing("bottleneck", ("bottleneck",), _rows(("bottleneck", "bottleneck"))),
    Drawing(
        "additive",
        ("additive-before",),
        _rows(("additive-before", "additive, asked before the step")),
    ),
    Drawing("hard", ("hard",), _hard),
    Drawing(
        "scores",
        ("general-after", "dot", "scaled-dot", "cosine", "location"),
        _rows(
            ("dot", "dot"),
            ("scaled-dot", "scaled dot"),
            ("general-after", "general"),
            ("cosine", "cosine"),
            ("location", "location"),
            size=112,
        ),
    ),
    Drawing(
        "input-feeding", ("input-feeding",), _rows(("input-feeding", "general, input feeding"))
    ),
    Drawing("local", ("local-m", "local-p"), _rows(("local-m", "local-m"), ("local-p", "local-p"))),
    Drawing("supervised", ("general-after",), _supervised),
    Drawing("scheduled", ("general-after",), _scheduled),
    Drawing("coverage", ("coverage",), _coverage),
    Drawing("sentinel", ("sentinel",), _rows(("sentinel", "sentinel"))),
    Drawing("heads", ("four-heads",), _heads("four-heads", 112)),
    Drawing("refined", ("refined-grid",), _refined),
    Drawing("positions", (), _positions),
    Drawing("transformer", ("transformer",), _heads("transformer", 84)),
    Drawing("masked", ("transformer",), _masked),
)


def made(
    runs: Runs, asked: Asked, names: Sequence[str] = ()
) -> Iterator[tuple[str, Image.Image | str]]:
    """Each picture by its name, or which runs it lacks."""
    for drawing in DRAWINGS:
        if names and drawing.name not in names:
            continue
        missing = [each for each in drawing.variants if not runs.path(each).is_file()]
        yield (
            drawing.name,
            (
                ", ".join(str(runs.path(each)) for each in missing)
                if missing
                else drawing.make(runs, asked)
            ),
        )


def _memories(folder: Path, asked: Asked, seed: int) -> Image.Image | str:
    missing = memories.missing(folder, seed)
    if missing:
        return ", ".join(map(str, missing))
    rows = memories.memories(folder, asked, seed=seed)
    return picture_of(asked, rows, memories.WORDS, 112)


def shown(page: str, drawn: Sequence[str], folder: str) -> str:
    """A page (Markdown) with the pictures that are there in the place of its notes of them.

    Args:
        page: its text; `<!-- picture NAME: TEXT -->` keeps the place of a picture not drawn yet.
        drawn: names of those that are.
        folder: of the pictures, as the page names it.
    """

    def put(note: re.Match[str]) -> str:
        name, text = note.groups()
        return f"![{text}]({folder}/{name}.webp)" if name in drawn else note[0]

    return re.sub(r"<!-- picture ([a-z-]+): (.*?) -->", put, page, flags=re.DOTALL)


def main(arguments: list[str] | None = None) -> None:
    """Draws what can be drawn, and says what was left out."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder in which the study keeps its runs")
    parser.add_argument("--photo", type=Path, default=Path("docs/attention/photo.webp"))
    parser.add_argument("--sentence", default=SENTENCE)
    parser.add_argument("--words", nargs="+", default=WORDS, help="of the sentence, that are shown")
    parser.add_argument(
        "--spots", nargs="+", default=SPOTS, help="names and places (x y, shares of the photo)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the runs (default: 1)")
    names = [*(each.name for each in DRAWINGS), memories.NAME]
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument(
        "--multimodal",
        type=Path,
        metavar="DIR",
        help="folder in which `captioner study multimodal` keeps its runs, for memories.webp",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--pages",
        nargs="+",
        type=Path,
        default=(),
        metavar="FILE.md",
        help="pages beside the output's folder that show them",
    )
    typed = parser.parse_args(arguments)
    spots = tuple(
        (name, float(x), float(y)) for name, x, y in (each.rsplit(" ", 2) for each in typed.spots)
    )
    photo = Image.open(typed.photo).convert("RGB")
    asked = Asked(photo, typed.photo, typed.sentence, tuple(typed.words), spots)
    typed.output.mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    pictures = made(Runs(typed.runs, typed.seed), asked, typed.only)
    if typed.multimodal and memories.NAME in typed.only:
        pictures = chain(
            pictures, [(memories.NAME, _memories(typed.multimodal, asked, typed.seed))]
        )
    for name, found in pictures:
        if isinstance(found, str):
            print(f"{name}: left as it is; there is no {found}")
            continue
        data = packed(found)
        (typed.output / f"{name}.webp").write_bytes(data)
        drawn.append(name)
        print(f"{name}.webp: {found.width}×{found.height}, {len(data) / 1000:.0f} kB")
    for page in typed.pages:
        text = page.read_text(encoding="utf-8")
        write_text(page, shown(text, drawn, typed.output.name))


if __name__ == "__main__":
    main()
