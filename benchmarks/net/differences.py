"""What differs between two kept codes, and what of it is too much."""

from __future__ import annotations

import difflib
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kept import Kept

LOG_PROBABILITY = 1e-4  # largest difference, in float32
SAME = 0.998  # share of the sentences
ATTENTION = 1e-3  # largest difference of a weight
SCORE = 1e-3
LOSS = 1e-3  # relative, where nothing is drawn
_FLAG = re.compile(r"(?<![\w-])--[a-zA-Z][\w.-]*[\w]")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    part: str
    what: str
    found: str
    beyond: bool = False  # the tolerances
    detail: tuple[str, ...] = ()  # printed below the table


def compare(before: Kept, after: Kept) -> list[Row]:
    """All rows; a part that only one of the two has is a row too.

    Raises:
        ValueError: the two were not kept from the same photos and sentences.
    """
    for name in ("photos", "sentences"):
        if before.about[name] != after.about[name]:
            raise ValueError(
                f"the two were kept from other {name}: {before.about[name]} and "
                f"{after.about[name]}; keep both with the same"
            )
    found: list[Row] = []
    for part in dict.fromkeys((*before.parts, *after.parts)):
        if part not in before.parts or part not in after.parts:
            found.append(Row(part, "", f"kept {'after' if part in after.parts else 'before'} only"))
        elif part in ("captions", "translations"):
            found += _answers(part, before, after)
        else:
            found += _PARTS[part](before.parts[part], after.parts[part])
    return found


def table(rows: Sequence[Row]) -> str:
    """The rows as a table, and below it what takes more lines."""
    lines = ["| part | what | difference | |", "|---|---|---|---|"]
    lines += [f"| {r.part} | {r.what} | {r.found} | {'BEYOND' * r.beyond} |" for r in rows]
    for row in rows:
        if row.detail:
            lines += ["", f"{row.part} · {row.what}", *(f"    {line}" for line in row.detail)]
    return "\n".join(lines)


# Captions and translations


@dataclass
class _Tally:
    """What was found of the sentences of one kind."""

    sentences: int = 0
    others: list[str] = field(default_factory=list)  # that are not the same, both
    log_probability: float = 0.0
    attention: float = 0.0
    gates: float = 0.0
    alternatives: int = 0  # words whose alternatives are others
    probability: float = 0.0  # of an alternative
    words: int = 0
    remarks: list[str] = field(default_factory=list)  # errors, warnings and guesses that differ

    @property
    def beyond(self) -> bool:
        """Whether numbers differ by too much; sentences are judged over all kinds."""
        return self.log_probability > LOG_PROBABILITY or self.attention > ATTENTION

    def __str__(self) -> str:
        same = self.sentences - len(self.others)
        text = f"{same} of {self.sentences} sentences the same"
        if self.words:
            text += (
                f"; log p ±{self.log_probability:.1e}; attention ±{self.attention:.1e}; other "
                f"alternatives at {self.alternatives} of {self.words} words, else "
                f"±{self.probability:.1e}"
            )
        if self.gates:
            text += f"; gates ±{self.gates:.1e}"
        return text + (f"; {len(self.remarks)} other remarks" if self.remarks else "")


def _answers(part: str, before: Kept, after: Kept) -> Iterator[Row]:
    for name in dict.fromkeys((*before.parts[part], *after.parts[part])):
        one, other = before.parts[part].get(name, {}), after.parts[part].get(name, {})
        reason = one.get("skipped", "" if one else "not kept")
        if "kinds" not in one or "kinds" not in other:
            lost = "kinds" in one
            reason = other.get("skipped", "not kept") if lost else reason
            yield Row(part, name, f"not {'after' if lost else 'before'}: {reason}", beyond=lost)
            continue
        if one["sha256"] != other["sha256"]:
            yield Row(part, name, "the weights are others")
        sentences = same = 0
        for kind in dict.fromkeys((*one["kinds"], *other["kinds"])):
            if kind not in one["kinds"] or kind not in other["kinds"]:
                lost = kind in one["kinds"]
                where = "before" if lost else "after"
                yield Row(part, f"{name}, {kind}", f"{where} only", beyond=lost)
                continue
            place = f"{part}/{name}/{kind}"
            tally = _Tally()
            pairs = zip(
                _with_looks(one["kinds"][kind], before.looks[place]),
                _with_looks(other["kinds"][kind], after.looks[place]),
                strict=True,
            )
            for pair in pairs:
                _count(tally, *pair)
            sentences += tally.sentences
            same += tally.sentences - len(tally.others)
            detail = tuple(tally.others[:6] + tally.remarks[:6])
            yield Row(part, f"{name}, {kind}", str(tally), tally.beyond, detail)
        share = same / max(1, sentences)
        allowed = max(1, math.floor(sentences * (1 - SAME)))
        text = f"{same} of {sentences} sentences the same ({share:.2%})"
        yield Row(part, f"{name}, all", text, beyond=sentences - same > allowed)


Looked = tuple[dict[str, Any], NDArray[np.float32]]


def _with_looks(answers: Sequence[dict[str, Any]], weights: NDArray[np.float32]) -> list[Looked]:
    """Every sentence, the other ones of an n-best list too, with its attention."""
    found = []
    place = 0

    def take(answer: dict[str, Any]) -> None:
        nonlocal place
        size = math.prod(answer.get("shape", [0]))
        found.append((answer, weights[place : place + size]))
        place += size

    for answer in answers:
        take(answer)
        for other in answer.get("n_best", ()):
            take(other)
    return found


def _count(tally: _Tally, before: Looked, after: Looked) -> None:
    (one, look), (other, new_look) = before, after
    tally.sentences += 1
    for name in ("error", "warning", "guessed", "source_language", "source_words"):
        if one.get(name) != other.get(name):
            tally.remarks.append(f"{one.get('text')}: {name} {one.get(name)} → {other.get(name)}")
    if one.get("words") != other.get("words") or one.get("text") != other.get("text"):
        tally.others.append(f"{one.get('text')} → {other.get('text')}")
        return
    if "words" not in one:
        return
    tally.words += len(one["words"])
    numbers = [
        (one["end"], other["end"]),
        *zip(one["log_probs"], other["log_probs"], strict=True),
    ]
    tally.log_probability = max(tally.log_probability, *(_apart(*pair) for pair in numbers))
    if look.shape == new_look.shape:
        tally.attention = max(tally.attention, _largest(look, new_look))
    else:
        tally.attention = math.inf
    for name in ("gates", "end_mass"):
        if name in one and name in other:
            tally.gates = max(tally.gates, _largest(*map(np.asarray, (one[name], other[name]))))
    for own, new in zip(one["alternatives"], other["alternatives"], strict=True):
        if [text for text, _ in own] != [text for text, _ in new]:
            tally.alternatives += 1
        else:
            apart = [abs(p - q) for (_, p), (_, q) in zip(own, new, strict=True)]
            tally.probability = max(tally.probability, *apart, 0.0)


def _apart(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return abs(one - other)


def _largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else math.inf


# What users see


def _names(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    lost, gained = _lost(before, after)
    yield _row("names", "public names", lost, gained)
    parameters, changed = [], []
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        gone = [p for p in one["parameters"] if p not in other["parameters"]]
        parameters += [f"{name}({p})" for p in gone]
        if one["said"] != other["said"]:
            changed.append(f"{name}{one['said']} → {other['said']}")
    yield _row("names", "parameters", parameters, [])
    found = f"{len(changed)} of {len(before)} changed" if changed else "equal"
    yield Row("names", "signatures", found, detail=tuple(sorted(changed)))


def _helps(before: dict[str, str], after: dict[str, str]) -> Iterator[Row]:
    lost, gained = _lost(before, after)
    yield _row("help", "commands", lost, gained)
    for typed in sorted(before.keys() & after.keys()):
        if before[typed] == after[typed]:
            continue
        flags = [dict.fromkeys(_FLAG.findall(text)) for text in (before[typed], after[typed])]
        lost, gained = _lost(*flags)
        row = _row("help", typed, lost, gained, equal="other words")
        yield Row("help", typed, row.found, row.beyond, _diff(before[typed], after[typed]))
    same = sum(before[typed] == after.get(typed) for typed in before)
    yield Row("help", "all", f"{same} of {len(before)} texts equal")


def _diff(before: str, after: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _outputs(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    yield from _fields("fields", before["fields"], after["fields"])
    for title, numbers in before["scores"].items():
        new = after["scores"].get(title, {})
        lost, gained = _lost(numbers, new)
        row = _row("scores", title, lost, gained)
        apart = {name: abs(numbers[name] - new[name]) for name in numbers.keys() & new.keys()}
        worst = max(apart.values(), default=0.0)
        found = f"{row.found}; ±{worst:.1e} over {len(apart)} numbers"
        yield Row("scores", title, found, row.beyond or worst > SCORE)
    for title, text in (before["tables"] | before["scenes"]).items():
        new_text = (after["tables"] | after["scenes"]).get(title, "")
        found = "equal" if text == new_text else "other lines"
        yield Row("text", title, found, not new_text, _diff(text, new_text))
    yield from _errors(before["errors"], after["errors"])


def _errors(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    equal = 0
    for typed, one in before.items():
        other = after.get(typed, {"code": None, "err": ""})
        if one == other:
            equal += 1
            continue
        codes = "" if one["code"] == other["code"] else f"exit {one['code']} → {other['code']}"
        found = codes or "other words"
        yield Row("errors", typed, found, bool(codes), _diff(one["err"], other["err"]))
    yield Row("errors", "all", f"{equal} of {len(before)} equal")


def _fields(part: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    lost, gained = _lost(before, after)
    yield _row(part, "outputs", lost, gained)
    for title in (title for title in before if title in after):
        one, other = before[title], after[title]
        lost, gained = _lost(one, other)
        others = [name for name in one.keys() & other.keys() if one[name] != other[name]]
        unlike = [name for name in others if not {*one[name]} & {*other[name]}]
        row = _row(part, title, lost, gained)
        types = tuple(sorted(f"{n}: {one[n]} → {other[n]}" for n in others))
        found = row.found + (f"; {len(types)} of other types" if types else "")
        yield Row(part, title, found, row.beyond or bool(unlike), (*row.detail, *types))


def _page(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    one, other = before["endpoints"], after["endpoints"]
    lost, gained = _lost(one, other)
    yield _row("page", "endpoints", lost, gained)
    for name in (name for name in one if name in other):
        old, new = one[name], other[name]
        lost, gained = _lost(old["parameters"], new["parameters"])
        changed = [
            f"{p}: {old['parameters'][p]} → {new['parameters'][p]}"
            for p in old["parameters"].keys() & new["parameters"].keys()
            if old["parameters"][p] != new["parameters"][p]
        ]
        if old["returns"] != new["returns"]:
            changed.append(f"returns {old['returns']} → {new['returns']}")
        row = _row("page", name, lost, gained)
        yield Row("page", name, row.found, row.beyond, (*row.detail, *changed))
    yield from _fields("page fields", before["fields"], after["fields"])
    for title in dict.fromkeys((*before["errors"], *after["errors"])):
        said = [kept["errors"].get(title, "answered") for kept in (before, after)]
        if said[0] != said[1]:
            yield Row("page", title, f"{said[0]} → {said[1]}", title not in before["errors"])


def _lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names that are gone, and those that are new."""
    lost = [name for name in before if name not in after]
    return lost, [name for name in after if name not in before]


def _row(
    part: str, what: str, lost: Sequence[str], gained: Sequence[str], equal: str = "equal"
) -> Row:
    told = [
        f"{len(names)} {verb}: {', '.join(names[:5])}{', …' * (len(names) > 5)}"
        for names, verb in ((lost, "LOST"), (gained, "gained"))
        if names
    ]
    detail = (*(f"lost {n}" for n in lost[5:]), *(f"gained {n}" for n in gained[5:]))
    return Row(part, what, "; ".join(told) or equal, bool(lost), detail)


# Training and speed


def _losses(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    for run, one in before.items():
        other = after.get(run, {"error": "not kept"})
        if "error" in one or "error" in other:
            said = [kept.get("error", "trained") for kept in (one, other)]
            yield Row("losses", run, " → ".join(said), "error" not in one)
            continue
        pairs = [
            (float(old["loss"]), float(new["loss"]))
            for old, new in zip(one["rows"], other["rows"], strict=True)
        ]
        worst = max(abs(old - new) / max(abs(old), 1e-9) for old, new in pairs)
        found = f"{len(pairs)} losses, relative ±{worst:.1e}"
        steady = run.endswith("steady")
        detail = (
            tuple(
                f"{row['phase']} {row['epoch']}: {old:.6f} → {new:.6f}"
                for row, (old, new) in zip(one["rows"], pairs, strict=True)
            )
            if worst > LOSS
            else ()
        )
        yield Row("losses", run, found, steady and not worst <= LOSS, detail)


def _rates(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    for name in (name for name in before if name in after):
        yield Row("a second", name, ratio(before[name], after[name]))


def ratio(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> str:
    """How two codes' rates compare: as they were, and by the yardstick beside each."""
    one, other = (statistics.median(rate for rate, _ in rows) for rows in (before, after))
    by = [statistics.median(rate / beside for rate, beside in rows) for rows in (before, after)]
    spread = [
        f"{min(r[0] for r in rows):.3g} to {max(r[0] for r in rows):.3g}"
        for rows in (before, after)
    ]
    return (
        f"×{other / one:.2f} (×{by[1] / by[0]:.2f} by the yardstick); {one:.3g} → {other:.3g} "
        f"({spread[0]} → {spread[1]})"
    )


_PARTS = {
    "names": _names,
    "help": _helps,
    "outputs": _outputs,
    "page": _page,
    "losses": _losses,
    "rates": _rates,
    "latencies": _rates,
}
