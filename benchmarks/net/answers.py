"""What captioners and translators say, how sure they are of each word, and where they look.

A sentence is kept as its words with their log probabilities, the end's, the alternatives at each
place, and the shape of its attention; the weights themselves go into one array a kind, end to end.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import reach

SENTENCES = (
    "A dog runs over the log.",
    "A man jumps over the red ball.",
    "The cat jumps over a dog.",
    "A red ball.",
    "A man and a zyzzyva are near the water.",  # no vocabulary has that beetle
)
"""What is explained about every photo, in turn; and what is translated where nothing is given."""

PREFIX = "a man"
N_BEST = 3
SEED = 7
FEW = 5  # for the kinds that are asked of less, one in so many

Looks = dict[str, NDArray[np.float32]]
Kinds = dict[str, Callable[[], Iterable[Any]]]


def few(items: Sequence[Any]) -> Sequence[Any]:
    """A fifth of them, at least one."""
    return items[: max(1, len(items) // FEW)]


def of_captioners(
    names: Sequence[str], translator: str, photos: Sequence[Path], looks: Looks
) -> dict[str, Any]:
    """Captions of the photos by each checkpoint, in many ways.

    Args:
        names: files of checkpoints, or `shipped`.
        translator: what translates the captions.
        photos: their files.
        looks: takes the maps.
    """
    from captioner import Captioner, Translator

    translators = Translator.load(str(reach.weights(translator, "translate")))
    to = reach.directions(translators)[0][1]

    def kinds(captioner: Any) -> Kinds:
        paths = [str(photo) for photo in photos]
        part = few(paths)
        return {
            "best": lambda: captioner.stream(paths, n_best=N_BEST),
            "explained": lambda: captioner.stream_explained(
                zip(paths, itertools.cycle(SENTENCES), strict=False)
            ),
            "greedy": lambda: captioner.stream(part, beam_size=1),
            "sampled": lambda: captioner.stream(part, sample=True, seed=SEED, n_best=2),
            "prefix": lambda: captioner.stream(part, prefix=PREFIX),
            "translated": lambda: captioner.stream(part, to=to),
        }

    def load(path: str) -> Any:
        # As torch computes it, exactly; the code before graph runtimes knows no other.
        known = signature(Captioner.load).parameters
        plain: dict[str, Any] = {"runtime": "torch"} if "runtime" in known else {}
        return Captioner.load(path, translator=translators, **plain)

    return {
        Path(name).stem: _all_of(name, "caption", load, kinds, looks, f"captions/{Path(name).stem}")
        for name in names
    }


def of_translators(
    names: Sequence[str], sentences: dict[str, list[str]], looks: Looks
) -> dict[str, Any]:
    """Translations by each checkpoint, in all its directions.

    Args:
        names: files of checkpoints, or `shipped`.
        sentences: by their language; directions from another are left out.
        looks: takes the alignments.
    """
    from captioner import Translator

    def kinds(translator: Any) -> Kinds:
        found: Kinds = {}
        for source, to in reach.directions(translator):
            if source in sentences:
                ways = _ways(translator, sentences[source], source, to)
                found |= {f"{source}-{to} {kind}": way for kind, way in ways.items()}
        return found

    return {
        Path(name).stem: _all_of(
            name, "translate", Translator.load, kinds, looks, f"translations/{Path(name).stem}"
        )
        for name in names
    }


def _ways(translator: Any, texts: Sequence[str], source: str, to: str) -> Kinds:
    part = few(texts)
    given = {"to": to, "source_language": source}
    said: list[tuple[str, str]] = []

    def best() -> Iterator[Any]:
        for found in translator.stream(texts, n_best=N_BEST, **given):
            said.append((found.source, found.text))
            yield found

    return {
        "best": best,
        "explained": lambda: translator.stream_explained(said, **given),  # asked after the best
        "greedy": lambda: translator.stream(part, beam_size=1, **given),
        "sampled": lambda: translator.stream(part, sample=True, seed=SEED, n_best=2, **given),
        "guessed": lambda: translator.stream(part, to=to),
        "two sentences": lambda: translator.stream(
            [f"{one} {other}" for one, other in itertools.pairwise([*part, part[0]])], **given
        ),
    }


def _all_of(
    name: str,
    task: str,
    load: Callable[[str], Any],
    kinds: Callable[[Any], Kinds],
    looks: Looks,
    place: str,
) -> dict[str, Any]:
    """All kinds of answers of one checkpoint, or why there are none."""
    from captioner import CaptionerError

    path = reach.weights(name, task)
    try:
        model = load(str(path))
    except CaptionerError as error:
        return {"skipped": str(error).replace(str(path), path.name)}
    found = {}
    for kind, ask in kinds(model).items():
        weights: list[NDArray[np.float32]] = []
        try:
            found[kind] = [_sentence(answer, weights) for answer in ask()]
        except CaptionerError as error:
            found[kind] = [{"error": str(error)}]
        looks[f"{place}/{kind}"] = np.concatenate([np.zeros(0, np.float32), *weights])
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "kinds": found}


def _sentence(answer: Any, weights: list[NDArray[np.float32]]) -> dict[str, Any]:
    """A caption or a translation as plain values; its attention joins `weights`."""
    look = answer.maps if hasattr(answer, "maps") else answer.alignment
    weights.append(np.asarray(look, np.float32).ravel())
    known = [word.log_prob for word in answer.words if word.log_prob is not None]
    values: dict[str, Any] = {
        "text": answer.text,
        "words": [word.text for word in answer.words],
        "log_probs": [word.log_prob for word in answer.words],
        "end": float(answer.log_prob) - sum(known),
        "alternatives": [word.alternatives for word in answer.words],
        "shape": list(look.shape),
        "error": answer.error,
    }
    if getattr(answer, "gates", None) is not None:
        values["gates"] = answer.gates.tolist()
    for name in ("source_words", "source_language", "guessed", "warning"):
        if hasattr(answer, name):
            values[name] = getattr(answer, name)
    if hasattr(answer, "end_mass"):
        values["end_mass"] = answer.end_mass.tolist()
    values["n_best"] = [_sentence(other, weights) for other in answer.n_best]
    return values
