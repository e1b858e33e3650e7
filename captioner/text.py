"""Sentences as words, and words as numbers."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from captioner.errors import CheckpointError, DataError

PAD, BOS, EOS, UNK = range(4)  # the same four numbers in every vocabulary
NEVER = (PAD, BOS, UNK)  # tokens that no sentence holds
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")

_CLITIC = r"'(?:s|re|ve|ll|d|m)\b"
_JOINED = r"[^\W_]+(?:(?:[-'./]|(?<=\d)[,:](?=\d))[^\W_]+)*"  # t-shirt, u.s, 1/2, 3:30, 1,000
_WORD = f"{_CLITIC}|{_JOINED}"  # some annotation files have the clitic apart: man 's
_CUT = re.compile(rf"(?<=[^\W_])(?=(?:n't|{_CLITIC})+$)|(?<=^can)(?=not$)")  # is-n't, can-not

_JOINERS = "\u200c\u200d"  # invisible, but letters change by them

# Where a sentence may end: marks and the quotes that close with them, before a space; marks of
# scripts that write without spaces need none.
_END = re.compile(
    r"(?P<mark>[.!?…؟۔।॥]+)(?P<quote>(?:[\"'”’“»«)\]]|\s?»)*)(?=\s)|[。！？｡]+[」』”’）》\"')]*"
)
_NEXT = re.compile(
    r"\s*(?:[-–—]\s+)?(?:[\"'“‘„«»(\[¿¡「『]\s?)*"
)  # up to the next sentence's letter
_LAST = re.compile(r"[^\W_]+(?:\.[^\W_]+)*$")  # a word, or u.s, 3.5
_MONTH = re.compile(  # a German 3. Mai
    r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
# Full stops that end no sentence: of these ever, before a number, before a small letter.
_TITLES = re.compile(
    r"mrs?|ms|dr|prof|st|mt|mmes?|mlle|hr|sgt|gen|col|capt|lt|rev|hon|sen|rep|gov|pres|mgr|ing"
    r"|vs|cf|ca|approx|bzw|inkl|evtl|ggf|resp|např|tzv"
)
_NUMBERED = re.compile(r"no|nr|pp?|fig|vol|art|ch|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec")
_CUT_SHORT = re.compile(
    r"etc|usw|atd|apod|jr|sr|inc|ltd|co|corp|ave|rd|blvd|al|min|max|misc|est|dept"
)


@cache
def _words() -> Any:
    import regex  # to which marks of Hindi belong to words, and without nltk, which imports scipy

    return regex.compile(_WORD)


def tokenise(sentence: str) -> list[str]:
    """Lower-cased words without punctuation, hyphens kept, clitics split as in the Penn Treebank.

    "The man's T-shirt isn't red." becomes the, man, 's, t-shirt, is, n't, red. It follows the Penn
    Treebank tokeniser of the COCO evaluation (Stanford CoreNLP, then punctuation removed), short
    of its symbols (#, &), brackets and the full stop of abbreviations, which are stripped here; so
    the words that a model learns are the words that it is scored by. What nobody sees (zero-width
    spaces, soft hyphens, direction marks) cuts no word.
    """
    if not sentence.isprintable():
        sentence = "".join(filter(_seen, sentence))
    # The small letter of a Turkish İ comes with a dot above, which is no letter and would cut.
    small = sentence.lower().replace("i\u0307", "i")
    plain = unicodedata.normalize("NFC", small).replace("’", "'")
    return [part for word in _words().findall(plain) for part in _CUT.split(word)]


def unread(sentence: str) -> list[str]:
    """What stands in a sentence like a word, and of which `tokenise` leaves nothing: emoji, signs.

    Punctuation is left out on purpose, and what nobody sees.
    """
    parts = "".join(filter(_seen, sentence)).split()
    return [part for part in parts if not tokenise(part) and any(map(_is_sign, part))]


def _is_sign(character: str) -> bool:
    return unicodedata.category(character)[0] not in "PZCM"


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

    `A dog runs. A cat sleeps.` are two; `Dr. Who` and `3.5 m` are in one piece. A number begins a
    sentence too, and so does any letter of a script without capitals; where a line has no capital
    at all, a small letter. What has no word of its own (`...`) goes with the sentence before it.
    """
    found: list[str] = []
    for line in text.splitlines():
        own: list[str] = []
        for part in _cut(line, capitals=True):
            small = part == part.lower() != part.upper()
            own.extend(_cut(part, capitals=False) if small else [part])
        found.extend(_with_words(own))
    return found


def _cut(line: str, *, capitals: bool) -> list[str]:
    """A line's sentences; with `capitals`, none begins with a small letter."""
    parts, start = [], 0
    for end in _END.finditer(line):
        begin = _NEXT.match(line, end.end())
        after = line[begin.end() : begin.end() + 12] if begin else ""
        before = _LAST.search(line, max(start, end.start() - 40), end.start())
        if _ends(before[0] if before else "", end, after, capitals):
            parts.append(line[start : end.end()])
            start = end.end()
    return [part.strip() for part in (*parts, line[start:]) if part.strip()]


def _ends(before: str, end: re.Match[str], after: str, capitals: bool) -> bool:
    """Whether a mark ends a sentence, by the word before it and the letters after it."""
    if not after[:1].isalnum():
        return False
    if end["mark"] is None:  # of a script without spaces
        return True
    stop, small = end["mark"] == ".", after[0].islower()
    if small and (capitals or end["quote"] or before.isdigit() or end["mark"][-2:] in ("..", "…")):
        return False
    return not (stop and _shortened(before, after, small))


def _shortened(word: str, after: str, small: bool) -> bool:
    """Whether a full stop belongs to the word before it, with these letters after it."""
    parts = word.lower().split(".")
    if word.isdigit() and len(word) < 3:  # 3. Mai, 1. 2.
        return after[0].isdigit() or bool(_MONTH.match(after))
    if len(parts) > 1 and not word[0].isdigit():  # u.s., z.b.
        return max(map(len, parts)) < 3
    letter = len(word) == 1 and word.isalpha() and word != "I"
    number = bool(after[0].isdigit() and _NUMBERED.fullmatch(parts[-1]))
    inside = bool(small and _CUT_SHORT.fullmatch(parts[-1]))
    return letter or number or inside or bool(_TITLES.fullmatch(parts[-1]))


def _with_words(parts: Sequence[str]) -> list[str]:
    """The parts of a line, those without a letter behind the one before, or before the first."""
    found: list[str] = []
    for part in parts:
        if found and not (has_words(part) and has_words(found[-1])):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def has_words(text: str) -> bool:
    """Whether there is a letter in it: marks, digits and pictures alone are no words."""
    return any(map(str.isalpha, text))


def _seen(char: str) -> bool:
    """Whether a character shows, or changes how its neighbours show."""
    return char in _JOINERS or unicodedata.category(char) != "Cf"


def half_character(text: str) -> str | None:
    """What to say of a text with half of a character (a lone surrogate) in it; None for any other.

    Python reads a byte that is no UTF-8 so, in arguments and in paths.
    """
    found = re.search("[\ud800-\udfff]", text)
    return found and (
        f"character {found.start() + 1} is no text ({ascii(found[0])[1:-1]}: a byte that is not "
        "UTF-8, or half of a character); write it as UTF-8"
    )


def sentence_case(text: str) -> str:
    """A text that is ALL IN CAPITALS as people write it otherwise; any other as it is.

    `A DOG RUNS!` → `A dog runs!`. Names lose their capital too: nothing tells them apart.
    """
    if not text.isupper():
        return text
    small = unicodedata.normalize("NFC", text.lower().replace("i\u0307", "i"))
    first = next(place for place, char in enumerate(small) if char.isalnum())
    return small[:first] + small[first].upper() + small[first + 1 :]


_MARKS = {  # UTF-32's begins with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(content: bytes) -> str:
    """The encoding of a text, by how it begins: UTF-8 where nothing speaks for UTF-16 or UTF-32.

    A byte order mark speaks for one, and so do zeros in every second place: no text has many.
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    head = content[:1024]
    zeros = [half.count(0) for half in (head[::2], head[1::2])]
    if max(zeros) < 4 or max(zeros) <= 0.4 * (len(head) // 2):
        return "utf-8"
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def other_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32, where the beginning of a file says that it is no UTF-8."""
    encoding = encoding_of(content)
    return None if encoding.startswith("utf-8") else encoding.upper()[:6]


def decoded(content: bytes, name: str) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, without its byte order mark.

    Args:
        content: all bytes.
        name: what messages call the file.

    Raises:
        DataError: it is none of them; the line, the byte and what helps are named.
    """
    try:
        return content.decode(encoding_of(content))
    except UnicodeDecodeError as error:
        if error.encoding != "utf-8":
            raise DataError(
                f"{name}: begins as {error.encoding.upper()} does, but byte {error.start} is not: "
                "the file may be cut short: get it again"
            ) from None
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: line {line} is not UTF-8 text (byte {error.start}): save it as UTF-8, "
            "from Latin-1 with: iconv -f latin1 -t utf-8"
        ) from None


def not_utf8(error: UnicodeDecodeError) -> str:
    """What to say of a line that is not UTF-8: which bytes, the first of them by its place."""
    wrong = error.object[error.start : max(error.end, error.start + 1)]
    return (
        f"not UTF-8 (byte {error.start + 1}: {wrong.hex(' ').upper()}); save the file as UTF-8, "
        "from Latin-1 with: iconv -f latin1 -t utf-8"
    )


def convert(encoding: str) -> str:
    """What to say of a file in another encoding."""
    return f"this is {encoding} text; save it as UTF-8, with: iconv -f {encoding.lower()} -t utf-8"


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
        return self.joined(Vocabulary.build(captions, min_count).ordinary)

    def joined(self, words: Iterable[str]) -> Vocabulary:
        """This vocabulary with the words that it lacks behind its own, in their order."""
        new = [word for word in dict.fromkeys(words) if word not in self]
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
