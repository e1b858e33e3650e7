"""Alignments as translators' tools read them: `0-0 1-2`, a source token and a target token each.

The format of Pharaoh (Koehn 2004), which fast_align, eflomal and others write: tokens are what
spaces part in the two texts, counted from 0. S source words, T target words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from captioner.subwords import clean


def token_links(
    texts: tuple[str, str],
    words: tuple[Sequence[str], Sequence[str]],
    alignment: NDArray[np.float32],
    end_mass: NDArray[np.float32],
) -> list[tuple[int, int]]:
    """Each target token with the source token that it looked at most, in their order.

    A token of several words (`dog.`) looks as their mean does. One that looked at the source's end
    above all has no link, as scores of alignments count it.

    Args:
        texts: source and translation.
        words: of both, punctuation marks among them.
        alignment: (T, S), rows sum to 1.
        end_mass: (T,) what each word's look left to the end.

    Returns:
        (source token, target token), sorted.
    """
    if not all(map(len, words)):
        return []
    source, target = (_owners(text, own) for text, own in zip(texts, words, strict=True))
    shares = alignment * (1 - end_mass)[:, None]  # (T, S) of a whole look
    looked = np.zeros((max(target) + 1, max(source) + 1))
    np.add.at(looked, (np.array(target)[:, None], np.array(source)[None]), shares)
    left = np.bincount(target, end_mass)  # of each target token, summed as `looked` is
    return sorted(
        (int(row.argmax()), token)
        for token, row in enumerate(looked)
        if row.max() > 0 and row.sum() >= left[token]
    )


def _owners(text: str, words: Sequence[str]) -> list[int]:
    """The token of each word: the one that its first letter stands in.

    Where words are not the text's own letters (unreadable ones), each word is a token.
    """
    tokens = clean(text).split()
    if "".join(tokens) != "".join(words):
        return list(range(len(words)))
    of_letters = [number for number, token in enumerate(tokens) for _ in token]
    places = np.cumsum([0, *map(len, words[:-1])])
    return [of_letters[place] for place in places.tolist()]
