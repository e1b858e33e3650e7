"""Sentences as words, and words as numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from captioner.errors import CheckpointError

PAD, BOS, EOS, UNK = range(4)  # the same four numbers in every vocabulary
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")

_CLITIC = r"'(?:s|re|ve|ll|d|m)\b"
_JOINED = r"[^\W_]+(?:(?:[-'./]|(?<=\d)[,:](?=\d))[^\W_]+)*"  # t-shirt, u.s, 1/2, 3:30, 1,000
_WORD = f"{_CLITIC}|{_JOINED}"  # some annotation files have the clitic apart: man 's
_CUT = re.compile(rf"(?<=[^\W_])(?=(?:n't|{_CLITIC})+$)|(?<=^can)(?=not$)")  # is-n't, can-not

_GAP = re.compile(r"[.!?…][\"'”’»)]*(\s+)[\"'“‘„«»(¿¡]*")  # where a sentence may end
_SHORTENED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|[^\W\d_])\.$")  # a full stop that ends none


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import RegexpTokenizer  # slow to import, and captioning does without

    return RegexpTokenizer(_WORD)


def tokenise(sentence: str) -> list[str]:
    """Lower-cased words without punctuation, hyphens kept, clitics split as in the Penn Treebank.

    "The man's T-shirt isn't red." becomes the, man, 's, t-shirt, is, n't, red. It follows the Penn
    Treebank tokeniser of the COCO evaluation (Stanford CoreNLP, then punctuation removed), short
    of its symbols (#, &), brackets and the full stop of abbreviations, which are stripped here; so
    the words that a model learns are the words that it is scored by.
    """
    plain = unicodedata.normalize("NFC", sentence).lower().replace("’", "'")
    return [part for word in _tokenizer().tokenize(plain) for part in _CUT.split(word)]


def detokenise(words: Sequence[str]) -> str:
    """The sentence as people write it: clitics joined, a capital first, a full stop last.

    `["a", "man", "'s", "dog"]` → `A man's dog.`; no words give an empty text.
    """
    text = ""
    for word in words:
        joined = word.startswith("'") or word == "n't"
        text += word if joined or not text else f" {word}"
    return text[:1].upper() + text[1:] + "." if text else ""


def sentences(text: str) -> list[str]:
    """The sentences of a text, which end with a line, or with a mark that a capital follows.

    `A dog runs. A cat sleeps.` are two; `Dr. Who` and `3.5 m` are in one piece.
    """
    found = []
    for line in text.splitlines():
        start = 0
        for gap in _GAP.finditer(line):
            said = line[start : gap.start() + 1]
            if line[gap.end() : gap.end() + 1].isupper() and not _SHORTENED.search(said):
                found.append(line[start : gap.start(1)])
                start = gap.end(1)
        found.append(line[start:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def is_harmless(word: str) -> bool:
    """Whether a word holds nothing that a terminal would obey, and no half of a character."""
    return word.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in word)


class Vocabulary:
    """The words a model can say, each with its number; four special tokens come first."""

    def __init__(self, words: Sequence[str]) -> None:
        """Takes the words without the special tokens, in the order of their numbers."""
        self.words: tuple[str, ...] = (*SPECIALS, *words)
        self._index = {word: number for number, word in enumerate(self.words)}
        if len(self._index) != len(self.words):
            twice = next(w for w, n in Counter(self.words).items() if n > 1)
            raise CheckpointError(f"the vocabulary lists {twice!r} twice; every word stands once")

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> Vocabulary:
        """The words that the captions hold `min_count` times or more, most frequent first."""
        counts = Counter(word for caption in captions for word in tokenise(caption))
        kept = [w for w, count in counts.items() if count >= min_count and is_harmless(w)]
        return cls(sorted(kept, key=lambda word: (-counts[word], word)))

    def extended(self, captions: Iterable[str], min_count: int = 1) -> Vocabulary:
        """This vocabulary with the captions' new words behind its own, whose numbers stay."""
        new = (word for word in Vocabulary.build(captions, min_count).ordinary if word not in self)
        return Vocabulary((*self.ordinary, *new))

    @property
    def ordinary(self) -> tuple[str, ...]:
        """The words without the special tokens."""
        return self.words[len(SPECIALS) :]

    def encode(self, words: Iterable[str]) -> list[int]:
        """Numbers of the words; `UNK` for a word that is not in the vocabulary."""
        return [self._index.get(word, UNK) if word not in SPECIALS else UNK for word in words]

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """Words of the numbers."""
        return [self.words[token] for token in tokens]

    def __contains__(self, word: str) -> bool:
        return word in self._index and word not in SPECIALS

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)
