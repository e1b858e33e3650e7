"""Sentences as subwords: one vocabulary of pieces for all languages, and the words they belong to.

Byte-pair encoding (Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with
Subword Units", §3.2), learned on all languages together. A space is written into the piece that
follows it, so that joining the pieces gives back the sentence without any rules (Kudo and
Richardson 2018, "SentencePiece", §3.2). A character without a piece is spelled by the bytes of its
UTF-8, as in SentencePiece, so that nothing is lost that somebody writes.
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
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))  # pieces that spell what has none
_JOINERS = "\u200c\u200d"  # invisible, but letters and emoji change by them
_INNER = "'\N{RIGHT SINGLE QUOTATION MARK}-"  # between letters, they are part of a word
_CLOSING = '"”’»」』）)'  # between a noun and its particle
_KOREAN = re.compile("[\uac00-\ud7a3]+")
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
    and the full stop. Nor is a closing quote before a Korean particle, which belongs to its noun:
    `"톰"은 갔다` becomes ", 톰"은 and 갔다.
    """
    spelt = ["".join(parts) for parts in _spelt(text)]
    words = [word.removeprefix(SPACE) for word in spelt]
    return _with_particles(words, [word.startswith(SPACE) for word in spelt], [])[0]


def _with_particles(
    words: Sequence[str], spaced: Sequence[bool], owners: Sequence[int]
) -> tuple[list[str], list[int]]:
    """The words, a Korean particle behind a closing quote in one with its noun; who owns a piece.

    What pieces a text is cut into does not depend on it: checkpoints have learned theirs.

    Args:
        words: W words, quotes by themselves.
        spaced: W, whether a space stands before.
        owners: of each piece the word.
    """
    joined: list[str] = []
    number_of: list[int] = []
    for number, word in enumerate(words):
        belongs = (
            number > 1
            and _KOREAN.fullmatch(word)
            and words[number - 1] in _CLOSING
            and words[number - 2][-1:].isalnum()
            and not spaced[number]
            and not spaced[number - 1]
        )
        if belongs:
            quote = joined.pop()
            joined[-1] += quote + word
            number_of[-1] = len(joined) - 1
        else:
            joined.append(word)
        number_of.append(len(joined) - 1)
    return joined, [number_of[owner] for owner in owners]


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
    vocabulary; then a start token for each language, then the pieces: with `byte_fallback`, the
    256 bytes first.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        merges: Sequence[tuple[str, str]],
        languages: Sequence[str],
        byte_fallback: bool = False,
    ) -> None:
        """Takes what training found; see `train` and `from_json`.

        Args:
            pieces: without the special and start tokens, in the order of their numbers.
            merges: pairs of pieces that are joined, the first ones first.
            languages: codes of the languages (`en`, `de`), in the order of their start tokens.
            byte_fallback: spell unknown characters by `BYTES`, which are among the pieces;
                otherwise they are the unknown piece.

        Raises:
            ConfigError: a language is no code, or there twice.
            CheckpointError: a piece is there twice, a merge speaks of no piece, or a byte lacks.
        """
        self.byte_fallback = byte_fallback
        self.languages = _checked(languages)
        self.merges = tuple(merges)
        starts = (f"<2{language}>" for language in languages)
        self.pieces: tuple[str, ...] = (*SPECIALS, *starts, *pieces)
        self._cut = lru_cache(_KNOWN_WORDS)(_cutter(self.pieces, self.merges, byte_fallback))
        first = self.pieces.index(BYTES[0]) if byte_fallback else 0
        self._bytes = range(first, first + len(BYTES)) if byte_fallback else range(0)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        size: int,
        languages: Sequence[str],
        *,
        byte_fallback: bool = True,
    ) -> Subwords:
        """Learns the pieces from sentences of all languages.

        Args:
            texts: as many of each language as it shall have a say.
            size: numbers in all, special and start tokens and the bytes included; fewer if the text
                has no more to merge. Half of those without the bytes at most are single characters:
                rarer ones are spelled by bytes.
            languages: codes of the languages that sentences are translated into.
            byte_fallback: whether there are bytes; without them rarer characters are unknown.

        Raises:
            ConfigError: the size is too small, or a language is no code.
            DataError: the texts hold no word.
        """
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        reserved = len(SPECIALS) + len(_checked(languages))
        room = size - len(BYTES) if byte_fallback else size
        if room < 2 * reserved:
            bytes_too = f" and {len(BYTES)} bytes" if byte_fallback else ""
            raise ConfigError(
                f"{size} subwords are too few: {reserved} are special tokens{bytes_too}; ask for a "
                f"few thousand{', or set byte_fallback = false' if byte_fallback else ''}"
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
        trainer = trainers.BpeTrainer(
            vocab_size=room - reserved,
            limit_alphabet=room // 2 - reserved,
            min_frequency=2,
            initial_alphabet=[SPACE] if byte_fallback else [],
            show_progress=False,
        )
        lines = ("\n".join(itertools.chain(*_spelt(clean(text)))) for text in texts)
        tokenizer.train_from_iterator(lines, trainer)
        learned = json.loads(tokenizer.to_str())["model"]
        if not learned["vocab"].keys() - {SPACE}:
            raise DataError("no subwords to learn: the texts hold no word")
        pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
        merges = [(left, right) for left, right in learned["merges"]]
        return cls([*(BYTES if byte_fallback else ()), *pieces], merges, languages, byte_fallback)

    def encode(self, text: str) -> Pieces:
        """The cleaned text as pieces; without bytes, a run of unknown characters is one `UNK`."""
        ids: list[int] = []
        owners: list[int] = []
        words: list[str] = []
        spaced: list[bool] = []
        for parts in _spelt(clean(text)):
            cut = list(itertools.chain(*map(self._cut, parts)))
            ids.extend(cut)
            owners.extend([len(words)] * len(cut))
            words.append("".join(parts).removeprefix(SPACE))
            spaced.append(parts[0].startswith(SPACE))
        words, owners = _with_particles(words, spaced, owners)
        return Pieces(tuple(ids), tuple(owners), tuple(words))

    def decode(self, ids: Sequence[int]) -> tuple[str, Pieces]:
        """The text that people read, and its pieces with the words they make up.

        `decode(encode(text).ids)` is `(clean(text), encode(text))` where all characters are known,
        as they are with bytes; an unknown piece reads `�`, and so do bytes that are no character.
        Special and start tokens are left out, of the pieces too.
        """
        kept = [number for number in ids if number == UNK or number >= self._first]
        spelt = self._spelt(kept)
        words, owners = _joined(spelt)
        if not words:
            return "", Pieces((), (), ())
        first = {owner: place for place, owner in reversed([*enumerate(owners)])}
        begins = [spelt[first[word]] or "" for word in range(len(words))]
        spaced = [begin.startswith(SPACE) for begin in begins]
        words, owners = _with_particles(words, spaced, owners)
        text = " ".join("".join(piece or "" for piece in spelt).replace(SPACE, " ").split())
        return text, Pieces(tuple(kept), tuple(owners), tuple(words))

    def _spelt(self, ids: Sequence[int]) -> list[str | None]:
        """What each piece reads; a character at the first of its bytes, None at the others."""
        spelt: list[str | None] = []
        for is_byte, run in itertools.groupby(ids, self._bytes.__contains__):
            if is_byte:
                spelt.extend(_characters(bytes(number - self._bytes.start for number in run)))
            else:
                spelt.extend(UNREADABLE if n == UNK else self.pieces[n] for n in run)
        return spelt

    def is_byte(self, piece: int) -> bool:
        """Whether a piece is a byte, which alone may be no character."""
        return piece in self._bytes

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
        content: dict[str, Any] = {
            "languages": self.languages,
            "pieces": ordinary,
            "merges": merges,
        }
        if self.byte_fallback:
            content["byte_fallback"] = True
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
            byte_fallback = content.get("byte_fallback", False)  # older ones know no bytes
            if not isinstance(byte_fallback, bool):
                raise TypeError(f"byte_fallback is {byte_fallback!r}")
            return cls(pieces, pairs, languages, byte_fallback)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the subwords are damaged: {error}") from None

    @property
    def _first(self) -> int:
        """The number of the first piece."""
        return len(SPECIALS) + len(self.languages)

    def __reduce__(self) -> tuple[Any, ...]:
        return Subwords.from_json, (self.to_json(),)  # words that were cut stay behind

    def __len__(self) -> int:
        return len(self.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and (self.pieces, self.merges, self.byte_fallback) == (
            other.pieces,
            other.merges,
            other.byte_fallback,
        )

    def __hash__(self) -> int:
        return hash((self.pieces, self.merges))


def _characters(run: bytes) -> Iterator[str | None]:
    """What each byte reads: a character at its first one, None at the rest of it.

    What is no character, or none that stands in a cleaned text, reads `�`, as often as it stops.
    """
    place, readable = 0, True
    while place < len(run):
        length = next((n for n in (1, 2, 3, 4) if _decodes(run[place : place + n])), 0)
        char = run[place : place + length].decode() if length else UNREADABLE
        char = char if clean(char) == char else UNREADABLE
        yield char if readable or length else None
        yield from itertools.repeat(None, max(length - 1, 0))
        readable = bool(length)
        place += max(length, 1)


def _decodes(part: bytes) -> bool:
    try:
        return len(part.decode()) == 1
    except UnicodeDecodeError:
        return False


def _joined(spelt: Sequence[str | None]) -> tuple[list[str], list[int]]:
    """The words that pieces make up, and the word of each piece.

    A lone space is the next word's; None, the further bytes of a character, that character's.
    """
    chunks = "".join(piece or "" for piece in spelt).split(SPACE)
    cut = ["".join(parts) for chunk in chunks for parts in _grouped(_parts(chunk))]
    owner_of = [number for number, word in enumerate(cut) for _ in word]  # of each letter
    words: list[str] = []
    owners: list[int] = []
    place, current = 0, -1
    for piece in spelt:
        if piece is None:
            owners.append(len(words) - 1)
            continue
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


def _cutter(pieces: Sequence[str], merges: Sequence[tuple[str, str]], byte_fallback: bool) -> Any:
    """A function from a spelt word to the numbers of its pieces."""
    from tokenizers import models

    numbers = {piece: number for number, piece in enumerate(pieces)}
    if len(numbers) != len(pieces):
        twice = next(piece for number, piece in enumerate(pieces) if numbers[piece] != number)
        raise CheckpointError(f"the subwords are damaged: {twice!r} is there twice")
    for pair in merges:
        if not numbers.keys() >= {*pair, "".join(pair)}:
            raise CheckpointError(f"the subwords are damaged: no pieces for the merge {pair}")
    places = [numbers.get(byte, -1) for byte in BYTES]
    if byte_fallback and places != list(range(places[0], places[0] + len(BYTES))):
        raise CheckpointError("the subwords are damaged: the bytes are not there, or out of order")
    model = models.BPE(
        vocab=numbers,
        merges=list(merges),
        unk_token=SPECIALS[UNK],
        fuse_unk=True,
        byte_fallback=byte_fallback,
    )
    return lambda word: tuple(token.id for token in model.tokenize(word))
