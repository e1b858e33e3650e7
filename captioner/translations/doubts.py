"""What a translation should not be relied on for: words hardly known, names and numbers lost.

A word that training texts held often is one piece; the rarer it is, the more pieces spell it. One
that is spelled by several, and that the likeliest answer renders by a word of next to no
probability, was guessed: "lion" becomes "Mann".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from captioner.subwords import Pieces, Subwords
from captioner.text import UNK
from captioner.words import Word

_GUESSED = 0.05  # probability of an answer's word below which it is a guess
_NUMBER = re.compile(r"\d+(?:[.,:\s]\d+)*")  # 12, 3,000, 3 000, 15:30
_MOST = 5  # words that are named


def lost_words(
    source: Pieces,
    words: Sequence[Word],
    texts: tuple[str, str],
    alignment: NDArray[np.float32],
    subwords: Subwords,
    *,
    names: bool = True,
) -> str | None:
    """What to say of the words that an answer guesses or leaves out; None if there is none.

    What stands in the answer as it is, is copied, and nothing is said of it.

    Args:
        source: a sentence in pieces, W words.
        words: of the answer.
        texts: source and answer, as people read them.
        alignment: (answer's words, W), rows sum to 1.
        subwords: that both are spelled in.
        names: whether a capital inside of a sentence means a name, as German has it not.
    """
    said = {word.text.casefold() for word in words}
    looked = alignment.argmax(1).tolist() if len(words) and source.words else []
    guessed, gone = [], []
    for place, word in enumerate(source.words):
        own = [p for p, o in zip(source.ids, source.owners, strict=True) if o == place]
        unknown = UNK in own
        if not word[0].isalpha() or word.casefold() in said or not (len(own) > 1 or unknown):
            continue
        answers = [w for w, at in zip(words, looked, strict=True) if at == place]
        answers = [w for w in answers if w.text[0].isalnum()]
        worst = min(answers, key=lambda w: w.prob or 0.0, default=None)
        spelled = unknown or any(map(subwords.is_byte, own))
        if worst is not None and (unknown or (worst.prob or 0.0) < _GUESSED):
            guessed.append(f"{word!r} (which became {worst.text!r})")
        elif worst is None and (spelled or (names and place and word[0].isupper())):
            gone.append(repr(word))
    gone += _numbers_gone(*texts)
    told = []
    if guessed:
        told.append(f"these weights hardly know {_listed(guessed)}")
    if gone:
        told.append(f"the answer leaves out {_listed(gone)}")
    return f"{'; '.join(told)}: do not rely on it" if told else None


def _numbers_gone(source: str, answer: str) -> list[str]:
    """Numbers of two digits and more that an answer does not hold, however it parts them."""
    said = list(map(_digits, _NUMBER.findall(answer)))
    wanted = [text for text in _NUMBER.findall(source) if len(_digits(text)) > 1]
    return [repr(text) for text in wanted if not any(_digits(text) in one for one in said)]


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST
    return ", ".join(words[:_MOST]) + (f" and {more} more" if more > 0 else "")
