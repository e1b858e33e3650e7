"""A text on its way to be translated: its sentences in pieces, or why it is not translated."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import CaptionerError, ConfigError
from captioner.languages import Languages
from captioner.sights import Sight
from captioner.subwords import Pieces, Subwords, clean
from captioner.text import UNK, half_character, has_words, sentence_case, sentences
from captioner.translations.translation import Translation
from captioner.words import Word

MAX_WORDS, MAX_PIECES = 200, 800  # of a source sentence
_WIDTH = 16  # sentences searched together share their number of pieces up to this rounding
_WORDLESS = "the translation has no words; write what the sentence says"
_NO_WORDS = " has no words to translate; it stays as it is"
_UNREAD = " cannot be read, its letters stood in no training sentence; it stays as it is"
_LOUD = re.compile(r"(?<![\w'’-])[^\W\d_]{3,}(?![\w'’-])")  # words that may be in capitals
_NOTHING = Pieces((), (), ())


@dataclass(frozen=True)
class Line:
    """One sentence on its way: its pieces, or why it is not translated."""

    text: str
    pieces: Pieces
    language: str = ""
    error: str | None = None
    unread: bool = False  # whether the error is that no letter of it is known
    kept: str | None = None  # why it stays as it is
    warning: str | None = None  # about its language
    sight: Sight | None = None  # the photo in view, where there is one

    @property
    def good(self) -> bool:
        """Whether there is something to translate."""
        return bool(self.pieces.ids) and self.error is None and self.kept is None

    @property
    def limit(self) -> int:
        """The most pieces that its translation may have.

        Sentences of a like length share it, and only those are searched together, so that no
        sentence depends on its neighbours.
        """
        return 2 * _WIDTH * -(-(len(self.pieces.ids) + 1) // _WIDTH) + 10


class Reader:
    """Reads texts as one checkpoint's translator does."""

    def __init__(self, subwords: Subwords, languages: Languages) -> None:
        self.subwords = subwords
        self.languages = languages

    def lines(self, text: str, to: str, language: str | None, split: bool) -> list[Line]:
        """A text's sentences, at least one, or the one reason why there is no translation."""
        if not isinstance(text, str):
            return [Line("", _NOTHING, language or "", no_text(text))]
        if (error := half_character(text)) is not None:
            return [Line(text, self.subwords.encode(text), language or "", error)]
        parts = sentences(text) if split else []
        if len(parts) < 2:
            return [self.read(text, to, language)]
        lines = [self._cut(part) for part in parts]
        if any(line.good for line in lines):  # then what cannot be read stays as it is
            lines = [
                dataclasses.replace(line, error=None, kept=short(line.text) + _UNREAD)
                if line.unread
                else line
                for line in lines
            ]
        lines = self._in_language(lines, to, language)
        for number, line in enumerate(lines, 1):
            if line.error:
                words = tuple(word for each in lines for word in each.pieces.words)
                error = line.error if len(lines) == 1 else f"sentence {number}: {line.error}"
                return [Line(text, Pieces((), (), words), language or "", error)]
        return lines

    def read(self, text: str, to: str, language: str | None) -> Line:
        """A text as one sentence."""
        return self._in_language([self._cut(text)], to, language)[0]

    def sentence(self, text: str) -> Line:
        """A text as one sentence, in whatever language.

        Raises:
            ConfigError: there is nothing in it that could be read.
        """
        if not isinstance(text, str):
            raise ConfigError(no_text(text))
        if (half := half_character(text)) is not None:
            raise ConfigError(half)
        line = self._cut(text)
        if not line.good:
            raise ConfigError(line.error or line.kept or f"{short(text)} has no words to read")
        return line

    def pieces(self, text: str, language: str = "") -> Pieces:
        """What is read of one sentence; one in capitals, and such words, as if in small letters.

        Where its language is known it is exactly what the model is given.
        """
        pieces = self._encode(text, _LOUD.sub(self._quiet, sentence_case(text)))
        return self._with_i(Line(text, pieces, language)).pieces

    def told(self, text: str) -> list[int]:
        """The pieces of all sentences of a text, by which its language is guessed."""
        parts = sentences(text) or [text]
        return [piece for part in parts for piece in self.pieces(part).ids]

    def _cut(self, text: str) -> Line:
        """A sentence in pieces."""
        pieces = self.pieces(text)
        if not pieces.ids:
            return Line(text, pieces)
        if not has_words(text):
            return Line(text, pieces, kept=short(text) + _NO_WORDS)
        if len(pieces.words) > MAX_WORDS or len(pieces.ids) > MAX_PIECES:
            words = len(pieces.words)
            error = (
                f"{words} {'word' if words == 1 else 'words'} in {len(pieces.ids)} pieces "
                f"{'is' if words == 1 else 'are'} too long for one sentence; split what has more "
                f"than {MAX_WORDS} words or {MAX_PIECES} pieces"
            )
            return Line(text, pieces, error=error)
        unknown = any(piece == UNK or self.subwords.is_byte(piece) for piece in pieces.ids)
        if unknown and not any(map(self._spells, pieces.ids)):
            error = (
                "nothing of this can be read: not one of its letters stood in the training "
                f"sentences ({', '.join(self.languages.names)})"
            )
            return Line(text, pieces, error=error, unread=True)
        return Line(text, pieces)

    def _encode(self, text: str, read_as: str) -> Pieces:
        """What is read instead of the text, with the words as they are written, if they agree."""
        pieces = self.subwords.encode(read_as)
        if read_as == text:
            return pieces
        words = self.subwords.encode(text).words
        return (
            dataclasses.replace(pieces, words=words) if len(words) == len(pieces.words) else pieces
        )

    def _quiet(self, found: re.Match[str]) -> str:
        """A word in capitals in small letters, where these are a known word: MAN, but not NBA."""
        loud, small = found[0], found[0].lower()
        if not loud.isupper() or len(self.subwords.encode(loud).ids) == 1:
            return loud
        if len(self.subwords.encode(small).ids) > 1:
            return loud
        return small if found.start() else small.capitalize()

    def _in_language(self, lines: list[Line], to: str, language: str | None) -> list[Line]:
        """The sentences of a text with its language, which is guessed from all that it says."""
        warning = None
        good = [line for line in lines if line.good]
        if not language and good:
            pieces = [piece for line in good for piece in line.pieces.ids]
            try:
                language = self.languages.guess(pieces, to)
            except CaptionerError as error:
                words = tuple(word for line in lines for word in line.pieces.words)
                text = " ".join(line.text for line in lines)
                return [Line(text, Pieces((), (), words), error=str(error))]
            warning = self._guess_warning(language, pieces)
        lines = [
            dataclasses.replace(line, language=language or "", warning=warning) for line in lines
        ]
        return [self._with_i(line) if line.good else line for line in lines]

    def _guess_warning(self, language: str, pieces: Sequence[int]) -> str | None:
        other = self.languages.unlike(pieces, language)
        return other and (
            f"taken for {language!r}, though it looks more like {other!r}; name the language if it "
            "is another"
        )

    def _with_i(self, line: Line) -> Line:
        """An English sentence in capitals keeps the one in `I`."""
        if line.language != "en" or not line.text.isupper():
            return line
        read_as = re.sub(r"\bi\b", "I", sentence_case(line.text))
        return dataclasses.replace(line, pieces=self._encode(line.text, read_as))

    def _spells(self, piece: int) -> bool:
        """Whether a piece holds a letter or a digit; of bytes, only what training has met."""
        if self.subwords.is_byte(piece):
            return bool(self.languages.counts[:, piece].any())
        return piece != UNK and any(map(str.isalnum, self.subwords.pieces[piece]))

    def pair(
        self, text: str, translation: str, to: str, language: str | None, split: bool
    ) -> list[tuple[Line, str]]:
        """A text's sentences, each with its own translation; a text as a whole otherwise."""
        if not isinstance(text, str) or not isinstance(translation, str):
            wrong = translation if isinstance(text, str) else text
            return [(Line("", _NOTHING, error=no_text(wrong)), "")]
        lines, said = self.lines(text, to, language, split), sentences(translation)
        if len(lines) == len(said) and all(line.good and has_words(line.text) for line in lines):
            return list(zip(lines, said, strict=True))
        [line] = self.lines(text, to, language, split=False)
        if not line.error and not self.subwords.encode(translation).ids:
            line = dataclasses.replace(line, error=_WORDLESS)
        return [(line, translation)]

    def answer_warning(self, line: Line, target: Pieces, to: str) -> str | None:
        """Whether the answer is of another language, by the words that are no copied names."""
        if not target.words:
            return "the answer has no words"
        names = {word for word in line.pieces.words if word[0].isupper()}
        own = zip(target.ids, target.owners, strict=True)
        held = [piece for piece, owner in own if target.words[owner] not in names]
        other = self.languages.unlike(held, to)
        return other and (
            f"the answer looks like {other!r}, not {to!r}: these weights have learned too little "
            "of such sentences; do not rely on it"
        )


def short(text: str) -> str:
    """The beginning of a text, in quotes, on one line."""
    text = clean(text)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def no_text(value: object) -> str:
    """Why something is not translated that is no text."""
    name = "None" if value is None else f"a value of type {type(value).__name__}"
    return f"{name} came; expected a sentence as a string"


def untold(line: Line, to: str, guessed: bool) -> Translation:
    """What a line gives that was not searched for: itself, or nothing."""
    empty = nothing(line, to, guessed)
    if line.kept is None or line.error is not None:
        return empty
    words = line.pieces.words
    return dataclasses.replace(
        empty,
        text=clean(line.text),
        words=tuple(Word(word, None, None, known=False) for word in words),
        alignment=np.eye(len(words), dtype=np.float32),
        end_mass=np.zeros(len(words), np.float32),
        warning=line.kept,
        astray=True,
    )


def nothing(line: Line, to: str, guessed: bool) -> Translation:
    """What an empty line gives, and one that cannot be translated."""
    return Translation(
        text="",
        source_words=line.pieces.words,
        words=(),
        alignment=np.zeros((0, len(line.pieces.words)), np.float32),
        end_mass=np.zeros(0, np.float32),
        log_prob=0.0,
        source=line.text,
        source_language=line.language,
        target_language=to,
        guessed=guessed and bool(line.language),
        error=line.error,
    )
