"""Comparisons of systems: translation quality by the length of the source.

Without attention, all that the decoder knows of the source fits one vector, whatever its length:
the curve by which attention was introduced (Bahdanau, Cho, Bengio 2015, arXiv:1409.0473, figure 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from captioner import metrics
from captioner.errors import DataError, MetricError
from captioner.options import RESAMPLES
from captioner.pictures.figures import painted, shade
from captioner.pictures.ink import INK, LINE, MUTED

if TYPE_CHECKING:
    from captioner.translations.translation import Translation

BOUNDS = (8, 12, 16)  # most words of the source in the first sections; the last has no bound
JOINED = (2, 3)  # captions that make one source, beyond what any caption is long
# Told apart with every kind of colour blindness (Okabe and Ito 2008), and by their marks in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#56544f")
_MARKS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True)
class Section:
    """Sentences of like length with their reference translations."""

    name: str
    sources: tuple[str, ...]
    references: tuple[str, ...]
    joined: int = 1  # captions that make one source

    @property
    def mean_length(self) -> float:
        """Words of a source in the mean, as spaces part them."""
        return sum(len(source.split()) for source in self.sources) / len(self.sources)


def cut_by_length(
    sources: Sequence[str],
    references: Sequence[str],
    *,
    bounds: Sequence[int] = BOUNDS,
    joined: Sequence[int] = JOINED,
) -> tuple[Section, ...]:
    """Sections by length of the source, then all sentences joined several at a time.

    Joined are neighbours in their order, so that every sentence is there once; what is left over at
    the end is left out.

    Args:
        sources: raw sentences.
        references: their translations.
        bounds: most words of a source in each section but the last, ascending.
        joined: how many sentences make one.

    Returns:
        Sections in this order, without those that would be empty.

    Raises:
        DataError: the numbers of sentences differ, or there is none.
    """
    if len(sources) != len(references):
        raise DataError(
            f"{len(sources)} sources came with {len(references)} references: give one for each"
        )
    pairs = list(zip(sources, references, strict=True))
    sections = []
    edges = [0, *bounds, 10**9]
    for low, high in pairwise(edges):
        kept = [pair for pair in pairs if low < len(pair[0].split()) <= high]
        sections.append(_section(_range_name(low, high), kept, 1))
    for several in joined:
        whole = range(0, len(pairs) - several + 1, several)
        groups = [zip(*pairs[start : start + several], strict=True) for start in whole]
        kept = [(" ".join(mine), " ".join(theirs)) for mine, theirs in groups]
        sections.append(_section(f"{several} joined", kept, several))
    found = tuple(section for section in sections if section.sources)
    if not found:
        raise DataError("there is no sentence with a word to study: give at least one")
    return found


def _section(name: str, pairs: Sequence[tuple[str, str]], joined: int) -> Section:
    return Section(
        name, tuple(mine for mine, _ in pairs), tuple(yours for _, yours in pairs), joined
    )


def _range_name(low: int, high: int) -> str:
    if low == 0:
        return f"≤ {high}"
    return f"≥ {low + 1}" if high == 10**9 else f"{low + 1}–{high}"


def bleu_by_length(
    sources: Sequence[str],
    said: Sequence[str],
    references: Sequence[Sequence[str]],
    language: str,
    *,
    bounds: Sequence[int] = BOUNDS,
) -> dict[str, float]:
    """BLEU of translations that are there already, section by section.

    Args:
        sources: raw sentences.
        said: their translations.
        references: what people wrote of each.
        language: of the translations; its Moses tokens are compared, lower-cased.
        bounds: most words of a source in each section but the last, ascending.

    Returns:
        By the section's name, such as "9–12"; without those that would be empty.
    """
    counts = metrics.moses_bleu_counts(said, references, language)
    lengths = np.array([len(source.split()) for source in sources])
    found = {}
    for low, high in pairwise([0, *bounds, 10**9]):
        inside = (low < lengths) & (lengths <= high)
        if inside.any():
            found[_range_name(low, high)] = float(metrics.summed_bleu(counts[inside].sum(0)))
    return found


def translate_sections(
    translate: Callable[[Iterable[str]], Iterable[Translation]],
    sections: Sequence[Section],
    progress: Callable[[], object] = lambda: None,
) -> tuple[tuple[str, ...], ...]:
    """What a system says of every sentence, section by section; a failed one says nothing.

    Args:
        translate: sentences to their translations in order, such as `Translator.stream` with its
            languages filled in.
        sections: from `cut_by_length`.
        progress: called after every sentence.
    """
    sources = [source for section in sections for source in section.sources]
    texts = []
    for translation in translate(sources):
        texts.append(translation.text if translation.error is None else "")
        progress()
    said = iter(texts)
    return tuple(tuple(next(said) for _ in section.sources) for section in sections)


@dataclass(frozen=True, eq=False)
class LengthStudy:
    """BLEU of systems by length of the source. Y systems, C sections, K comparisons."""

    sections: tuple[Section, ...]
    systems: tuple[str, ...]
    bleu: np.ndarray  # (Y, C, 3): value, low and high end of its 95 % interval; fractions
    length_ratios: np.ndarray  # (Y, C): words of the output to words of the reference
    comparisons: tuple[tuple[str, str], ...]
    differences: np.ndarray  # (K, C, 3): BLEU of the first less that of the second
    recipe: str

    def table(self) -> str:
        """Markdown: BLEU in points with intervals, paired differences, length ratios, recipe."""
        own = [
            [s.name, str(len(s.sources)), f"{s.mean_length:.1f}", *map(_points, values)]
            for s, values in zip(self.sections, self.bleu.swapaxes(0, 1), strict=True)
        ]
        parts = [_markdown(["words in the source", "sentences", "mean", *self.systems], own)]
        if self.comparisons:
            heads = [f"{first} − {second}" for first, second in self.comparisons]
            parts += [
                "Difference, over the same resamples:",
                self._by_section(heads, self.differences),
            ]
        ratios = [[f"{ratio:.2f}" for ratio in row] for row in self.length_ratios]
        parts += ["Words of the output to words of the reference:"]
        parts += [_markdown(["words in the source", *self.systems], self._rows(ratios))]
        return "\n\n".join([*parts, self.recipe])

    def figure(self) -> Image.Image:
        """BLEU against the length of the source, a line a system, with 95 % intervals.

        `attention (short)` takes the colour of `attention`, dashed.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(6.4, 1.25 * len(self.sections)), 4.4))
        axes = figure.add_axes((0, 0, 1, 1))
        styles = _styles(self.systems)
        for number, (name, values) in enumerate(zip(self.systems, self.bleu, strict=True)):
            aside = 0.05 * (number - (len(self.systems) - 1) / 2)  # or intervals hide each other
            _draw_line(axes, 100 * values, aside, label=name, **styles[name])
        _dress(axes, self.sections)
        return painted(figure)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sections": [
                {"name": s.name, "sentences": len(s.sources), "mean_length": s.mean_length}
                for s in self.sections
            ],
            "systems": list(self.systems),
            "bleu": self.bleu.tolist(),
            "length_ratios": self.length_ratios.tolist(),
            "comparisons": [list(pair) for pair in self.comparisons],
            "differences": self.differences.tolist(),
            "recipe": self.recipe,
        }

    def _by_section(self, heads: Sequence[str], values: np.ndarray) -> str:
        cells = [[_points(value, signed=True) for value in row] for row in values]
        return _markdown(["words in the source", *heads], self._rows(cells))

    def _rows(self, cells: Sequence[Sequence[str]]) -> list[list[str]]:
        """Cells, a row a system, turned to a row a section under its name."""
        columns = zip(*cells, strict=True)
        return [[s.name, *column] for s, column in zip(self.sections, columns, strict=True)]


def study_lengths(
    sections: Sequence[Section],
    outputs: Mapping[str, Sequence[Sequence[str]]],
    language: str,
    *,
    comparisons: Sequence[tuple[str, str]] | None = None,
    bootstrap: int = RESAMPLES,
    seed: int = 0,
) -> LengthStudy:
    """Scores what systems said of sentences of various lengths.

    Args:
        sections: from `cut_by_length`.
        outputs: by name of the system, its translations, section by section.
        language: of the references, for their tokens.
        comparisons: pairs of systems whose difference is wanted; None compares the first system
            with each of the others.
        bootstrap: resamples of sentences for the intervals, at least 1; the same for all systems.
        seed: seed of the resampling.

    Raises:
        MetricError: outputs and sections do not match, a compared system is unknown, `bootstrap`
            is less than 1, or the package sacremoses is missing.
    """
    names = tuple(outputs)
    pairs = tuple(comparisons if comparisons is not None else ((names[0], n) for n in names[1:]))
    _check(sections, outputs, pairs, bootstrap)
    counts = [
        _counts(c, [outputs[name][i] for name in names], language) for i, c in enumerate(sections)
    ]
    sums = np.stack([each.sum(axis=0) for each in counts], axis=1)  # (Y, C, 9)
    values = metrics.summed_bleu(sums)  # (Y, C)
    draws = np.stack(
        [_draws(each, bootstrap, seed) for each in counts], axis=1
    )  # (Y, C, bootstrap)
    first, second = ([names.index(pair[side]) for pair in pairs] for side in (0, 1))
    return LengthStudy(
        sections=tuple(sections),
        systems=names,
        bleu=_with_interval(values, draws),
        length_ratios=sums[..., metrics.NGRAM_ORDER] / sums[..., -1],
        comparisons=pairs,
        differences=_with_interval(values[first] - values[second], draws[first] - draws[second]),
        recipe=f"{metrics.moses_recipe(language)} | bootstrap {bootstrap}, seed {seed}",
    )


def _counts(section: Section, outputs: Sequence[Sequence[str]], language: str) -> np.ndarray:
    """BLEU's counts (P, Y, 9) of what the systems said of a section's sentences."""
    wanted = [[tokens] for tokens in metrics.tokenise_moses(section.references, language)]
    several = [metrics.bleu(metrics.tokenise_moses(said, language), wanted)[1] for said in outputs]
    return np.stack(several, axis=1)


def _draws(counts: np.ndarray, bootstrap: int, seed: int) -> np.ndarray:
    """BLEU (Y, bootstrap) of the systems over the same resamples of the sentences (P, Y, 9)."""
    sums = metrics.resample(counts.reshape(len(counts), -1), bootstrap, seed)
    return metrics.summed_bleu(sums.reshape(bootstrap, *counts.shape[1:])).T


def _with_interval(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Values (..., C) with the 95 % interval of their draws (..., C, bootstrap): (..., C, 3)."""
    low, high = np.quantile(draws, (0.025, 0.975), axis=-1)
    return np.stack([values, low, high], axis=-1)


def _check(
    sections: Sequence[Section],
    outputs: Mapping[str, Sequence[Sequence[str]]],
    comparisons: Sequence[tuple[str, str]],
    bootstrap: int,
) -> None:
    if not outputs:
        raise MetricError("There is no system to study: give the outputs of at least one.")
    if bootstrap < 1:
        raise MetricError(f"bootstrap is {bootstrap}: the intervals need at least 1 resample.")
    expected = [len(section.sources) for section in sections]
    for name, said in outputs.items():
        if list(map(len, said)) != expected:
            raise MetricError(
                f"{name} has {list(map(len, said))} outputs in its sections, but {expected} were "
                "expected: one for each source."
            )
    for name in (name for pair in comparisons for name in pair if name not in outputs):
        raise MetricError(f"No system is called {name!r}: choose from {', '.join(outputs)}.")


# Table and figure


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _points(value: np.ndarray, signed: bool = False) -> str:
    """Hundredths with their interval: 38.1 [36.9, 39.3]."""
    here, low, high = (f"{100 * x:{'+' if signed else ''}.1f}" for x in value.tolist())
    return f"{here} [{low}, {high}]"


def _styles(systems: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, mark and line of each system, alike where names differ in what stands in brackets."""
    families = list(dict.fromkeys(name.partition(" (")[0] for name in systems))
    looks = dict(zip(families, cycle(zip(_COLOURS, _MARKS, strict=True)), strict=False))
    styles = {}
    for name in systems:
        family, special, _ = name.partition(" (")
        colour, mark = looks[family]
        styles[name] = {"color": colour, "marker": mark, "linestyle": "--" if special else "-"}
    return styles


def _draw_line(axes: Any, points: np.ndarray, aside: float, **style: Any) -> None:
    """One system: points (C, 3) with their intervals."""
    value, low, high = points.T
    places = np.arange(len(points)) + aside
    # A percentile interval may leave out the value itself, and a bar cannot be negative.
    bars = np.maximum([value - low, high - value], 0)
    axes.errorbar(
        places, value, bars, linewidth=1.8, markersize=5.5, elinewidth=1, capsize=2.5, **style
    )


def _dress(axes: Any, sections: Sequence[Section]) -> None:
    """Axes, names and legend around the lines."""
    muted = shade(MUTED)
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(shade(LINE))
    axes.grid(axis="y", color=shade(LINE), linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=10.5, labelcolor=muted)
    labels = [f"{s.name}\nmean {s.mean_length:.0f}" for s in sections]
    axes.set_xticks(range(len(sections)), labels)
    single = sum(section.joined == 1 for section in sections)
    if 0 < single < len(sections):  # from here on, no sentence was written so
        axes.axvline(single - 0.5, color=shade(LINE), linewidth=1.2)
    axes.set_xlabel("words in the source", fontsize=11, color=muted, labelpad=8)
    axes.set_ylabel("BLEU", fontsize=11, color=muted, labelpad=8)
    axes.set_ylim(bottom=0)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, frameon=False, fontsize=10.5
    )
    for text in legend.get_texts():
        text.set_color(shade(INK))
