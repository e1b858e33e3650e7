"""Runs → tables: the core variants with intervals and in pairs, the others listed as working.

Shapes: S seeds, I items, D draws.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from captioner.options import RESAMPLES
from captioner.studies.budget import climbs
from captioner.studies.config import StudyConfig
from captioner.studies.runs import Run

_COLUMNS = (
    "variant",
    "seed",
    "score",
    "value",
    "seconds_an_item",
    "seconds_a_step",
    "steps",
    "parameters",
    "still_climbs",
    "settings",
)
_BANDS = ((0, 2), (2, 6), (6, 12), (12, 24))  # distances from a source's end, in pieces
Interval = tuple[float, float, float]  # value, low and high end of its 95 % interval


def by_variant(
    config: StudyConfig, runs: Sequence[Run], core: bool | None = None
) -> dict[str, list[Run]]:
    """The runs of the core variants, of the others, or of all, in the order of the config."""
    names = [each.name for each in config.variants if core is None or each.core == core]
    own = {name: [run for run in runs if run.variant == name] for name in names}
    return {name: found for name, found in own.items() if found}


def interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Mean of values (S, I) with an interval over resampled seeds and resampled items."""
    rng = np.random.default_rng(seed)
    seeds, items = values.shape
    draws = [
        values[rng.integers(seeds, size=seeds)][:, rng.integers(items, size=items)].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def differences(
    runs: dict[str, list[Run]], condition: str = ""
) -> list[tuple[str, str, Interval, int]]:
    """Of each pair of variants the first less the second, over the same items and seeds.

    Args:
        runs: of each variant.
        condition: one of `Outcome.conditions`; left out, the items as they are.

    Returns:
        Names, the difference with its interval, and the number of seeds that both have.
    """
    found = []
    for first, second in combinations(runs, 2):
        ours, theirs = (
            {run.seed: each for run in runs[name] if (each := _under(run, condition))}
            for name in (first, second)
        )
        shared = sorted(ours.keys() & theirs.keys())
        if shared:
            values = np.array([ours[seed] for seed in shared], float)
            values -= np.array([theirs[seed] for seed in shared], float)
            found.append((first, second, interval(np.nan_to_num(values)), len(shared)))
    return found


def _under(run: Run, condition: str) -> list[float]:
    """Of each item under a condition, or as it is; empty where that was not asked."""
    return run.outcome.conditions.get(condition, []) if condition else run.outcome.each


def table(config: StudyConfig, runs: Sequence[Run], command: str, machine: str) -> str:
    """Markdown: what was compared, in pairs, and what works; the recipe of the numbers."""
    core, others = by_variant(config, runs, True), by_variant(config, runs, False)
    first = runs[0]
    parts = ["<!-- Made by captioner study, which writes it anew. -->"]  # `outputs` knows it by it
    parts += [f"# {config.title or 'A comparison'}"]
    if core:
        parts += [_compared(core), _in_pairs(core, first.single), *_conditions(core)]
    if others:
        parts += [
            f"Tried once each, to show that it works: one seed's {first.score} ranks nothing.",
            _compared(others),
        ]
    parts += _reach(by_variant(config, runs))
    parts += [
        f"![{first.score} by updates and by time](curves.png)",
        f"Each run trains {config.minutes:g} minutes ({config.recipe}; learning rates rise over "
        f"{config.warmup:.0%} of the time and fall to its end), validation and features that are "
        "computed once not counted. On a CPU all times are the processor's, which what else a "
        f"machine does does not lengthen. Scored are {len(first.outcome.each)} validation items "
        f"that no weights were chosen by. Intervals: 95 %, of {RESAMPLES} resamples of seeds and "
        "of items. `climbs`: the score still rose by more than 2 % of itself over the last "
        f"{1 / config.points:.0%} of the time, so that more time would have changed it. {machine}",
        _settings(config),
        f"Made by\n\n```\n{command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _compared(runs: dict[str, list[Run]]) -> str:
    measures = list(dict.fromkeys(k for own in runs.values() for k in own[0].outcome.measures))
    any_run = next(iter(runs.values()))[0]
    heads = ["variant", "seeds", any_run.score, f"{any_run.single}, mean", *measures]
    heads += ["ms an item", "ms a step", "steps", "parameters", ""]
    rows = []
    for name, own in runs.items():
        scores = [run.outcome.score for run in own]
        spread = f" ± {np.std(scores, ddof=1):.3f}" if len(scores) > 1 else ""
        each = interval(np.nan_to_num(np.array([run.outcome.each for run in own], float)))
        rows.append(
            [
                name,
                str(len(own)),
                f"{np.mean(scores):.3f}{spread}",
                _shown(each),
                *(_mean([run.outcome.measures.get(m) for run in own]) for m in measures),
                f"{1000 * np.mean([run.outcome.seconds for run in own]):.1f}",
                f"{1000 * np.mean([run.step_seconds for run in own]):.0f}",
                f"{np.mean([run.steps for run in own]):.0f}",
                f"{own[0].parameters:,}",
                "climbs" if any(climbs(list(run.curve)) for run in own) else "",
            ]
        )
    return _markdown(heads, rows)


def _in_pairs(runs: dict[str, list[Run]], single: str) -> str:
    rows = [
        [f"{first} − {second}", str(seeds), _shown(value, signed=True), _verdict(value)]
        for first, second, value, seeds in differences(runs)
    ]
    return _markdown(["pair", "seeds", f"difference of the {single}, mean", ""], rows)


def _conditions(runs: dict[str, list[Run]]) -> list[str]:
    """Each variant under other conditions, against itself and against the others."""
    every = list(dict.fromkeys(c for own in runs.values() for c in own[0].outcome.conditions))
    if not every:
        return []
    alone, pairs = [], []
    for condition in every:
        plain = condition.partition(": ")[0]
        for name, own in runs.items():
            here = [_under(run, condition) for run in own]
            if not all(here):
                continue
            values = np.nan_to_num(np.array(here, float))
            there = [_under(run, plain) or run.outcome.each for run in own]
            less = ["", ""]
            if plain != condition:
                lost = interval(np.nan_to_num(np.array(there, float)) - values)
                less = [_shown(lost, signed=True), _verdict(lost)]
            alone.append([condition, name, str(len(own)), _shown(interval(values)), *less])
        if plain == condition:
            pairs += [
                [condition, f"{one} − {other}", str(seeds), _shown(v, signed=True), _verdict(v)]
                for one, other, v, seeds in differences(runs, condition)
            ]
    heads = ["condition", "variant", "seeds", "mean", "without it, less with it", ""]
    parts = ["## Under other conditions", _markdown(heads, alone)]
    if pairs:
        parts.append(_markdown(["condition", "pair", "seeds", "difference, mean", ""], pairs))
    return parts


def _reach(runs: dict[str, list[Run]]) -> list[str]:
    """How much of the last word's gradient comes to near and to far pieces of the source."""
    rows = []
    for name, own in runs.items():
        known = [each for run in own if (each := run.outcome.series.get("reach"))]
        if known:
            reach = np.array(known, float).mean(0)
            bands = [reach[low:high] for low, high in _BANDS]
            means = [_mean(band[np.isfinite(band)].tolist(), 2) for band in bands]
            rows.append([name, str(len(known)), *means])
    if not rows:
        return []
    heads = ["variant", "seeds", *(f"{low} to {high - 1}" for low, high in _BANDS)]
    return [
        "## How far the last word's gradient reaches",
        "The gradient of the last word's loss at a piece of the source, by the piece's distance "
        "from the source's end, as a multiple of the mean over its sentence: 1 is what each gets "
        "where distance means nothing.",
        _markdown(heads, rows),
        "![Gradient by distance, a panel a variant](gradients.png)",
    ]


def _verdict(value: Interval) -> str:
    return "noise" if value[1] <= 0 <= value[2] else ""


def _settings(config: StudyConfig) -> str:
    own = [
        f"- {each.name}: `{' '.join((each.recipe, *each.settings)).strip() or 'as the recipe'}`"
        for each in config.variants
    ]
    return "\n".join([f"All: `{' '.join(config.settings) or 'as the recipe'}`", "", *own])


def _shown(value: Interval, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return "{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]".format(*value, s=sign)


def _mean(values: Sequence[float | None], digits: int = 3) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if known else ""


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def results(runs: Sequence[Run]) -> str:
    """CSV: a line a run, with everything that is a number."""
    measures = list(dict.fromkeys(name for run in runs for name in run.outcome.measures))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_COLUMNS[:4], *measures, *_COLUMNS[4:]])
    for run in runs:
        outcome = run.outcome
        writer.writerow(
            [run.variant, run.seed, run.score, f"{outcome.score:.6g}"]
            + [outcome.measures.get(name, "") for name in measures]
            + [f"{outcome.seconds:.4g}", f"{run.step_seconds:.4g}", run.steps, run.parameters]
            + [climbs(list(run.curve)), " ".join(run.settings)]
        )
    return file.getvalue()
