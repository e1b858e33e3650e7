"""Sentences as subwords: one vocabulary of pieces for all languages, and the words they belong to.

Byte-pair encoding (Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with
Subword Units", §3.2), learned on all languages together. A space is written into the piece that
follows it, so that joining the pieces gives back the sentence without any rules (Kudo and
Richardson 2018, "SentencePiece", §3.2).
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from captioner.errors import CheckpointError, ConfigError, DataError
from captioner.text import SPECIALS, UNK

SPACE = "▁"  # stands for the space before a word, as in SentencePiece
UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # what an unknown piece looks like
_JOINERS = "\u200c\u200d"  # invisible, but letters and emoji change by them
_INNER = "'\N{RIGHT SINGLE QUOTATION MARK}-"  # between letters, they are part of a word
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_KNOWN_WORDS = 2**16  # words whose pieces are remembered; a big corpus repeats a few thousand


@dataclass(frozen=True)
class Pieces:
    """One sentence cut into subwords: S pieces of W words."""

    ids: tuple[int, ...]  # (S,)
    owners: tuple[int, ...]  # (S,) which word a piece belongs to: 0 to W − 1, ascending, none out
    words: tuple[str, ...]  # (W,) as written, see `cut_words`


def clean(text: str) -> str:
    """The text as pieces can spell it: NFC, one space between words, nothing invisible.

    Control characters and spaces of all kinds become a space, soft hyphens and direction marks
    vanish, half a character (a lone surrogate) becomes U+FFFD, and `▁`, which stands for the space
    in pieces, an underscore. Cleaning twice changes nothing more.
    """
    if not text.isprintable():  # rarely true: no character that needs a closer look
        text = "".join(map(_visible, text))
    return " ".join(unicodedata.normalize("NFC", text.replace(SPACE, "_")).split())


def _visible(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cs":
        return UNREADABLE
    if kind == "Cf":
        return char if char in _JOINERS else ""
    return " " if kind == "Cc" else char


def cut_words(text: str) -> list[str]:
    """The words of a cleaned text; punctuation marks and symbols are words of their own.

    Apostrophes and hyphens between letters are no punctuation: `L'homme rit.` becomes L'homme, rit
    and the full stop.
    """
    return ["".join(parts) for chunk in text.split() for parts in _grouped(_parts(chunk))]


def _grouped(parts: list[str]) -> list[list[str]]:
    """The parts of a stretch without spaces, those of a word together."""
    groups: list[list[str]] = []
    inside = False  # a word whose next part belongs to it
    for number, part in enumerate(parts):
        around = parts[number - 1 : number] + parts[number + 1 : number + 2]
        inner = part in _INNER and len(around) == 2 and all(map(_lettered, around))
        if groups and (inside or inner):
            groups[-1].append(part)
        else:
            groups.append([part])
        inside = inner
    return groups


def _lettered(part: str) -> bool:
    return part[0].isalnum()


def _parts(chunk: str) -> list[str]:
    """What pieces never reach across, in a stretch without spaces: runs of letters, and marks.

    Accents and joiners stay with what they follow.
    """
    if chunk.isalnum():
        return [chunk]
    parts: list[str] = []
    inside = False  # a word, which the next letter goes on
    for char in chunk:
        kind = unicodedata.category(char)[0]
        if parts and (kind == "M" or char in _JOINERS or (inside and kind not in "PS")):
            parts[-1] += char
        else:
            parts.append(char)
            inside = kind not in "PS"
    return parts


def _spelt(text: str) -> Iterator[list[str]]:
    """The words of a cleaned text, in the parts that pieces spell, the first after its space."""
    for chunk in text.split():
        groups = _grouped(_parts(chunk))
        groups[0][0] = SPACE + groups[0][0]
        yield from groups


class Subwords:
    """The pieces that a translation model reads and writes, each with its number.

    Padding, start, end and the unknown piece come first, with the numbers they have in every
    vocabulary; then a start token for each language, then the pieces.
    """

    def __init__(
        self, pieces: Sequence[str], merges: Sequence[tuple[str, str]], languages: Sequence[str]
    ) -> None:
        """Takes what training found; see `train` and `from_json`.

        Args:
            pieces: without the special and start tokens, in the order of their numbers.
            merges: pairs of pieces that are joined, the first ones first.
            languages: codes of the languages (`en`, `de`), in the order of their start tokens.

        Raises:
            ConfigError: a language is no code, or there twice.
            CheckpointError: a piece is there twice, or a merge speaks of no piece.
        """
        self.languages = _checked(languages)
        self.merges = tuple(merges)
        starts = (f"<2{language}>" for language in languages)
        self.pieces: tuple[str, ...] = (*SPECIALS, *starts, *pieces)
        self._cut = lru_cache(_KNOWN_WORDS)(_cutter(self.pieces, self.merges))

    @classmethod
    def train(cls, texts: Iterable[str], size: int, languages: Sequence[str]) -> Subwords:
        """Learns the pieces from sentences of all languages.

        Args:
            texts: as many of each language as it shall have a say.
            size: numbers in all, special and start tokens included; fewer if the text has no more
                to merge. Half of them at most are single characters: rarer ones are unknown.
            languages: codes of the languages that sentences are translated into.

        Raises:
            ConfigError: the size is too small, or a language is no code.
            DataError: the texts hold no word.
        """
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        reserved = len(SPECIALS) + len(_checked(languages))
        if size < 2 * reserved:
            raise ConfigError(
                f"{size} subwords are too few: {reserved} are special tokens; ask for a few "
                "thousand"
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
        trainer = trainers.BpeTrainer(
            vocab_size=size - reserved,
            limit_alphabet=size // 2 - reserved,
            min_frequency=2,
            show_progress=False,
        )
        lines = ("\n".join(itertools.chain(*_spelt(clean(text)))) for text in texts)
        tokenizer.train_from_iterator(lines, trainer)
        learned = json.loads(tokenizer.to_str())["model"]
        if not learned["vocab"]:
            raise DataError("no subwords to learn: the texts hold no word")
        pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
        return cls(pieces, [(left, right) for left, right in learned["merges"]], languages)

    def encode(self, text: str) -> Pieces:
        """The cleaned text as pieces; a run of unknown characters in a word is one `UNK`."""
        ids: list[int] = []
        owners: list[int] = []
        words: list[str] = []
        for parts in _spelt(clean(text)):
            cut = list(itertools.chain(*map(self._cut, parts)))
            ids.extend(cut)
            owners.extend([len(words)] * len(cut))
            words.append("".join(parts).removeprefix(SPACE))
        return Pieces(tuple(ids), tuple(owners), tuple(words))

    def decode(self, ids: Sequence[int]) -> tuple[str, Pieces]:
        """The text that people read, and its pieces with the words they make up.

        `decode(encode(text).ids)` is `(clean(text), encode(text))` where all characters are known;
        an unknown piece reads `�`. Special and start tokens are left out, of the pieces too.
        """
        kept = [number for number in ids if number == UNK or number >= self._first]
        spelt = [UNREADABLE if number == UNK else self.pieces[number] for number in kept]
        words, owners = _joined(spelt)
        if not words:
            return "", Pieces((), (), ())
        text = " ".join("".join(spelt).replace(SPACE, " ").split())
        return text, Pieces(tuple(kept), tuple(owners), tuple(words))

    def start(self, language: str) -> int:
        """The first token of a sentence in that language.

        Raises:
            ConfigError: there is no such language here.
        """
        if language not in self.languages:
            spoken = ", ".join(self.languages)
            raise ConfigError(f"{language!r} is no language of this model; it writes {spoken}")
        return len(SPECIALS) + self.languages.index(language)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first tokens of all languages' sentences, which no sentence holds further on."""
        return tuple(range(len(SPECIALS), self._first))

    def to_json(self) -> str:
        """The whole vocabulary as one line of JSON."""
        ordinary = self.pieces[self._first :]
        merges = [f"{left} {right}" for left, right in self.merges]
        content = {"languages": self.languages, "pieces": ordinary, "merges": merges}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Subwords:
        """The vocabulary that `to_json` wrote.

        Raises:
            CheckpointError: it did not write that.
        """
        try:
            content = json.loads(text)
            languages, pieces, merges = (content[k] for k in ("languages", "pieces", "merges"))
            pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
            if not all(isinstance(entry, str) and entry for entry in (*languages, *pieces)):
                raise TypeError("a piece is no text")
            return cls(pieces, pairs, languages)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the subwords are damaged: {error}") from None

    @property
    def _first(self) -> int:
        """The number of the first piece."""
        return len(SPECIALS) + len(self.languages)

    def __len__(self) -> int:
        return len(self.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and (self.pieces, self.merges) == (
            other.pieces,
            other.merges,
        )

    def __hash__(self) -> int:
        return hash((self.pieces, self.merges))


def _joined(spelt: Sequence[str]) -> tuple[list[str], list[int]]:
    """The words that pieces make up, and the word of each piece; a lone space is the next one's."""
    chunks = "".join(spelt).split(SPACE)
    cut = ["".join(parts) for chunk in chunks for parts in _grouped(_parts(chunk))]
    owner_of = [number for number, word in enumerate(cut) for _ in word]  # of each letter
    words: list[str] = []
    owners: list[int] = []
    place, current = 0, -1
    for piece in spelt:
        letters = piece.replace(SPACE, "")
        # A word begins with a piece, never inside of one, or it would have none of its own.
        if letters and owner_of[place] != current:
            words.append(letters)
            current = owner_of[place]
        elif letters:
            words[-1] += letters
        place += len(letters)
        owners.append(len(words) - (1 if letters else 0))
    return words, [min(owner, len(words) - 1) for owner in owners]


def _checked(languages: Sequence[str]) -> tuple[str, ...]:
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            raise ConfigError(f"{language!r} is no language code; expected one like en, de, fr")
        if languages.count(language) > 1:
            raise ConfigError(f"the language {language!r} is there twice; name it once")
    return tuple(languages)


def _cutter(pieces: Sequence[str], merges: Sequence[tuple[str, str]]) -> Any:
    """A function from a spelt word to the numbers of its pieces."""
    from tokenizers import models

    numbers = {piece: number for number, piece in enumerate(pieces)}
    if len(numbers) != len(pieces):
        twice = next(piece for number, piece in enumerate(pieces) if numbers[piece] != number)
        raise CheckpointError(f"the subwords are damaged: {twice!r} is there twice")
    for pair in merges:
        if not numbers.keys() >= {*pair, "".join(pair)}:
            raise CheckpointError(f"the subwords are damaged: no pieces for the merge {pair}")
    model = models.BPE(vocab=numbers, merges=list(merges), unk_token=SPECIALS[UNK], fuse_unk=True)
    return lambda word: tuple(token.id for token in model.tokenize(word))
