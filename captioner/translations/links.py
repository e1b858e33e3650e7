"""Which source pieces each piece of a translation should look at, as a silver aligner says.

Word links come from `captioner.alignments`: those on which IBM Model 2 agrees with itself in both
directions (Liu et al. 2016 supervise attention by an aligner's links too).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from captioner.alignments import Link, align
from captioner.atomic import whole
from captioner.errors import ConfigError
from captioner.subwords import Subwords
from captioner.translations.pairs import Pair, PieceLink

LINKS_FILE = "links.json"
_LOG = logging.getLogger(__name__)
_ITERATIONS = 5  # of IBM Model 2


def read_or_align(
    pairs: Sequence[Pair], subwords: Subwords, path: Path, *, most: int, seed: int
) -> dict[Pair, list[PieceLink]]:
    """Links of at most so many pairs of each direction, from `path` if a run has left them there.

    Args:
        pairs: that are learned from.
        subwords: cut them into words, and these into pieces.
        path: where the links are kept, for a run that goes on.
        most: pairs of each direction; more are left out at random.
        seed: which of them.

    Raises:
        ConfigError: the file cannot be written.
    """
    directions: dict[tuple[str, str], list[Pair]] = {}
    for pair in dict.fromkeys(pairs):
        directions.setdefault((pair.source_language, pair.target_language), []).append(pair)
    found: dict[Pair, list[PieceLink]] = {}
    for (source, target), own in directions.items():
        chosen = np.random.default_rng(seed).permutation(len(own))[:most]
        some = [own[number] for number in sorted(chosen.tolist())]
        words = [
            (subwords.encode(pair.source_text).words, subwords.encode(pair.target_text).words)
            for pair in some
        ]
        name = hashlib.sha256(json.dumps([words, _ITERATIONS]).encode()).hexdigest()
        kept = _kept(path)
        if name not in kept:
            _LOG.info("linking the words of %d pairs, %s → %s", len(some), source, target)
            silver = align(words, iterations=_ITERATIONS)
            kept[name] = [sorted(links.sure) for links in silver]
            _keep(kept, path)
        for pair, links in zip(some, kept[name], strict=True):
            if in_pieces := _in_pieces(pair, links, subwords):
                found[pair] = in_pieces
    return found


def _in_pieces(pair: Pair, links: Sequence[Link], subwords: Subwords) -> list[PieceLink]:
    """Each piece of a linked word looks at all pieces of the words that it is linked to."""
    source, target = (subwords.encode(text).owners for text in (pair.source_text, pair.target_text))
    wanted: dict[int, set[int]] = {}
    for word, other in links:
        wanted.setdefault(word, set()).add(other)
    return [
        (place, tuple(p for p, owner in enumerate(source) if owner in wanted[word]))
        for place, word in enumerate(target)
        if word in wanted
    ]


def _kept(path: Path) -> dict[str, list[list[Link]]]:
    """What an earlier call left; nothing where the file is not what it wrote."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): [[(int(t), int(s)) for t, s in links] for links in several]
            for name, several in values.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(links: Mapping[str, Sequence[Sequence[Link]]], path: Path) -> None:
    try:
        with whole(path) as partial:
            partial.write_text(json.dumps(links), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); make room, or choose another --output"
        ) from error
