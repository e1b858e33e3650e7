"""What a longer sentence costs: time and memory of translators against the length.

    python -m benchmarks.lengths runs/study-family-translations/general-after-1.safetensors \
        runs/study-family-translations/local-p-1.safetensors \
        runs/study-family-translations/transformer-1.safetensors -o docs/lengths

Of a source of n pieces with a translation of n pieces: the time of one training step (forwards and
back), what it keeps for the way back, and the time of writing the n pieces one after the other. A
recurrent decoder's attention looks at n pieces n times, and a Transformer's words at one another
besides (Vaswani et al. 2017, table 1). Pieces are drawn: what they say costs nothing.

Times are the processor's, on one core, the least of several: what else a machine does can only
lengthen them. Kept are the numbers that torch's autograd saves, each storage once, the weights
apart.

`lengths.md` and `lengths.png` are written.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from captioner import intervals
from captioner.bars import bar, is_seen
from captioner.outputs import draw, write_text
from captioner.pictures.figures import painted, shade
from captioner.pictures.ink import INK, LINE, MUTED
from captioner.text import EOS
from captioner.translations.translator import Translator

LENGTHS = (8, 16, 32, 64, 128, 256)
BATCH = 4  # sentences of a training step
_COLOURS = ("#1f5fa8", "#c2570c", "#3d7a3a", "#7a3d8f", "#555555")


@dataclass(frozen=True)
class Cost:
    """Of one sentence."""

    training: float  # seconds
    kept: float  # MiB for the way back
    writing: float  # seconds


def costs(translator: Translator, length: int, rounds: int = 3, batch: int = BATCH) -> Cost:
    """What a sentence of so many pieces costs, with a translation of as many.

    Args:
        translator: whose model is asked; its weights stay as they are.
        length: pieces, at least 2.
        rounds: of which each time is the least, after one that is not counted.
        batch: sentences of a training step, over which it is shared.
    """
    model: Any = copy.deepcopy(translator.model).requires_grad_(True)  # loaded to be read only
    drawn = torch.Generator().manual_seed(length)
    size = model.decoder.vocabulary_size
    low = size // 2  # the second half holds pieces alone
    source = torch.randint(low, size, (batch, length), generator=drawn)
    source[:, -1] = EOS
    said = torch.randint(low, size, (batch, length + 1), generator=drawn)
    lengths = torch.full((batch,), length)

    def train() -> None:
        memory = model.encoder(source, lengths)
        logits = model.decoder.unroll(said[:, :-1], lengths, memory).padded_logits()
        F.cross_entropy(logits.flatten(0, 1), said[:, 1:].flatten()).backward()
        model.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def write() -> None:
        memory, state = model.decoder.start(model.encoder(source[:1], lengths[:1]))
        tokens = said[:1, :1]
        for _ in range(length):
            step = model.decoder.step(tokens, state, memory)
            tokens, state = step.logits.argmax(dim=-1), step.state

    with torch.enable_grad():
        training, kept = _least(train, rounds), _kept(train, model.parameters())
    return Cost(training / batch, kept / batch / 2**20, _least(write, rounds))


def _least(work: Callable[[], object], rounds: int) -> float:
    work()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def _kept(work: Callable[[], object], weights: Any) -> int:
    """Bytes that a step's way back needs, each storage once."""
    own = {weight.untyped_storage().data_ptr() for weight in weights}
    # What is saved is held, or another tensor's storage could come to lie at its place.
    held: dict[int, Tensor] = {}

    def pack(saved: Tensor) -> Tensor:
        held.setdefault(saved.untyped_storage().data_ptr(), saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        work()
    return sum(one.untyped_storage().nbytes() for place, one in held.items() if place not in own)


def measure(
    translators: Mapping[str, Translator], lengths: Sequence[int], rounds: int
) -> dict[str, list[Cost]]:
    """Every system's costs, a list in the order of the lengths."""
    found: dict[str, list[Cost]] = {name: [] for name in translators}
    with bar(total=len(found) * len(lengths), desc="lengths", disable=not is_seen()) as moved:
        for length in lengths:
            for name, translator in translators.items():
                found[name].append(costs(translator, length, rounds))
                moved.update()
    return found


_MEASURES: dict[str, Callable[[Cost], float]] = {
    "training, ms a sentence": lambda cost: 1000 * cost.training,
    "kept for the way back, MiB": lambda cost: cost.kept,
    "writing, ms a sentence": lambda cost: 1000 * cost.writing,
}


def table(lengths: Sequence[int], found: Mapping[str, Sequence[Cost]]) -> str:
    """Markdown: a table a measure, a row a system, and by how much twice the length costs more."""
    parts = []
    for title, of in _MEASURES.items():
        heads = [title, *(f"{length} pieces" for length in lengths), "the last doubling"]
        rows = {}
        for name, own in found.items():
            values = [of(cost) for cost in own]
            more = f"× {values[-1] / values[-2]:.1f}" if len(values) > 1 else ""
            rows[name] = [*(f"{value:.3g}" for value in values), more]
        parts.append(intervals.table(heads, rows))
    return "\n\n".join(parts) + "\n"


def figure(lengths: Sequence[int], found: Mapping[str, Sequence[Cost]]) -> Image.Image:
    """A panel a measure, both axes by doublings: what grows with the square is twice as steep."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(12.5, 3.6))
    for axes, (title, of) in zip(drawn.subplots(1, len(_MEASURES)), _MEASURES.items(), strict=True):
        for colour, (name, own) in zip(_COLOURS, found.items(), strict=False):
            values = [of(cost) for cost in own]
            axes.plot(lengths, values, marker="o", markersize=4.5, color=colour, label=name)
        _dress(axes, title, lengths)
    first = drawn.axes[0].legend(loc="upper left", frameon=False, fontsize=10)
    for text in first.get_texts():
        text.set_color(shade(INK))  # type: ignore[arg-type]
    drawn.tight_layout()
    return painted(drawn)


def _dress(axes: Any, title: str, lengths: Sequence[int]) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(shade(LINE))
    axes.grid(axis="y", color=shade(LINE), linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.tick_params(length=0, pad=6, labelsize=10, labelcolor=shade(MUTED), which="both")
    axes.set_xlabel("pieces of source and translation", fontsize=10.5, color=shade(MUTED))
    axes.set_title(title, fontsize=11, color=shade(INK), loc="left")


def _name(path: Path) -> str:
    """What a system is called: a study's runs have their seed behind it."""
    return re.sub(r"-\d+$", "", path.stem)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, and writes them where that is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoints", nargs="+", type=Path, metavar="FILE", help="translators, named by file"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default: 3)")
    typed = parser.parse_args(arguments)
    if min(typed.lengths) < 2:
        parser.error(f"--lengths {min(typed.lengths)}: expected at least 2 pieces")
    torch.set_num_threads(1)
    translators = {_name(path): Translator.load(path) for path in typed.checkpoints}
    if len(translators) < len(typed.checkpoints):
        names = ", ".join(map(_name, typed.checkpoints))
        parser.error(f"each system needs a name of its own, without its seed; these are {names}")
    found = measure(translators, typed.lengths, typed.rounds)
    text = table(typed.lengths, found)
    print(text)
    if typed.output:
        write_text(typed.output / "lengths.md", f"# Time and memory against length\n\n{text}")
        draw(figure(typed.lengths, found), typed.output / "lengths.png")


if __name__ == "__main__":
    main()
