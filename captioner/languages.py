"""Which languages a translator knows, and how it tells them apart.

Shapes: L languages, V subwords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.errors import CheckpointError, ConfigError, shown
from captioner.text import UNK

Direction = tuple[str, str]  # from a language, to a language

NAMES = {
    **{"en": ("English", "English"), "de": ("Deutsch", "German"), "fr": ("Français", "French")},
    **{"cs": ("Čeština", "Czech"), "ko": ("한국어", "Korean"), "es": ("Español", "Spanish")},
    **{"it": ("Italiano", "Italian"), "pt": ("Português", "Portuguese")},
    **{"nl": ("Nederlands", "Dutch"), "pl": ("Polski", "Polish"), "ja": ("日本語", "Japanese")},
    **{"zh": ("中文", "Chinese"), "ru": ("Русский", "Russian"), "tr": ("Türkçe", "Turkish")},
    **{"ar": ("العربية", "Arabic")},
}
"""What languages are called, by their codes: by themselves, and in English."""


def called(code: str) -> str:
    """What a language calls itself; where that is not known, its code."""
    return NAMES.get(code, (code,))[0]


_SURE = float(np.log(1000))  # so many times likelier is no doubt
_DOUBT = float(np.log(10))  # so many times likelier is worth a word


@dataclass(frozen=True, eq=False)
class Languages:
    """The directions that were trained, and how often each language holds each subword.

    A sentence is taken for the language in which its subwords are likeliest, each by itself (naive
    Bayes, all languages alike beforehand); a subword that a language never held counts as half
    seen.
    """

    directions: tuple[Direction, ...]
    names: tuple[str, ...]  # (L,) of the languages that sentences were read in
    counts: NDArray[np.int64] = field(repr=False)  # (L, V) in the training sentences

    @classmethod
    def count(
        cls,
        directions: Iterable[Direction],
        sentences: Mapping[str, Iterable[Sequence[int]]],
        subwords: int,
    ) -> Languages:
        """Counts the subwords of each language's sentences; there are `subwords` of them."""
        counts = np.zeros((len(sentences), subwords), np.int64)
        for row, several in zip(counts, sentences.values(), strict=True):
            for sentence in several:
                np.add.at(row, np.asarray(sentence, np.int64), 1)
        return cls(tuple(directions), tuple(sentences), counts)

    def joined(self, other: Languages) -> Languages:
        """These and another's, over the same subwords."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        counts = np.zeros((len(names), self.counts.shape[1]), np.int64)
        for part in (self, other):
            for name, row in zip(part.names, part.counts, strict=True):
                counts[names.index(name)] += row
        return Languages(tuple(dict.fromkeys((*self.directions, *other.directions))), names, counts)

    @property
    def sources(self) -> tuple[str, ...]:
        """Languages that are translated from."""
        return tuple(dict.fromkeys(source for source, _ in self.directions))

    @property
    def targets(self) -> tuple[str, ...]:
        """Languages that are translated into."""
        return tuple(dict.fromkeys(target for _, target in self.directions))

    def code(self, name: str) -> str:
        """A language's code as this checkpoint writes it: `DE`, `German` and `Deutsch` are `de`.

        What it does not know comes back as it is.
        """
        codes = (*self.names, *self.sources, *self.targets)
        called = {own.casefold(): code for code in codes for own in NAMES.get(code, ())}
        known = {**called, **{code.casefold(): code for code in codes}}
        return known.get(name.casefold(), name) if isinstance(name, str) else name

    def check(self, source: str | None, target: str) -> None:
        """Refuses what was never trained.

        Raises:
            ConfigError: no direction leads into `target`, or none from `source` to it, or both are
                one language, or what came is no language.
        """
        for language in (target, source):
            if not isinstance(language, str | None):
                raise ConfigError(
                    f"the language is {shown(language)}; expected its code: this checkpoint "
                    f"translates {self._spoken()}"
                )
        if source == target and target in {*self.sources, *self.targets}:
            raise ConfigError(
                f"the sentences are in {target!r} already; name another language: this checkpoint "
                f"translates {self._spoken()}"
            )
        if target not in self.targets:
            raise ConfigError(
                f"this checkpoint does not translate into {shown(target)}; it translates "
                f"{self._spoken()}"
            )
        if source is not None and (source, target) not in self.directions:
            raise ConfigError(
                f"this checkpoint does not translate {shown(source)} into {target!r}; it "
                f"translates {self._spoken()}"
            )

    def elsewhere(self, pieces: Sequence[int], target: str) -> Direction | None:
        """The direction of a sentence that, without doubt, is not translated into `target`.

        None where it may be, or where nothing is translated from its language.

        Args:
            pieces: numbers of its subwords.
            target: where it was to be translated to.
        """
        chances = self._chances(pieces)
        likeliest = self.names[int(chances.argmax())]
        possible = [name for name in self.names if (name, target) in self.directions]
        best = max(chances[self.names.index(name)] for name in possible)
        if chances.max() - best <= _SURE:
            return None
        return next((one for one in self.directions if one[0] == likeliest), None)

    def guess(self, pieces: Sequence[int], target: str) -> str:
        """The language of a sentence that shall be translated into `target`.

        In doubt it is one of those that can be.

        Args:
            pieces: numbers of its subwords.
            target: where it is translated to.

        Raises:
            ConfigError: the sentence is, without doubt, of a language that is not translated into
                `target`.
        """
        chances = self._chances(pieces)
        order = [self.names[place] for place in np.argsort(-chances, kind="stable")]
        likeliest = order[0]
        possible = next(name for name in order if (name, target) in self.directions)
        gap = chances[self.names.index(likeliest)] - chances[self.names.index(possible)]
        if gap > _SURE:
            raise ConfigError(
                f"this looks like {likeliest!r}, which the checkpoint does not translate into "
                f"{target!r}; it translates {self._spoken()}; name the language if it is another"
            )
        return possible

    def unlike(self, pieces: Sequence[int], language: str) -> str | None:
        """The language in which subwords are at least ten times likelier than in the one named.

        None where there is none, or where the checkpoint has read nothing in the one named.
        """
        found = self._read_chances(pieces)
        if language not in found:
            return None
        likeliest = max(found, key=found.__getitem__)
        return likeliest if found[likeliest] - found[language] > _DOUBT else None

    def likeliest(self, pieces: Sequence[int]) -> str | None:
        """The language in which subwords are at least a thousand times likelier than in all others.

        None where there is none: too few subwords, or too few languages.
        """
        found = self._read_chances(pieces)
        order = sorted(found, key=found.__getitem__)
        return order[-1] if len(order) > 1 and found[order[-1]] - found[order[-2]] > _SURE else None

    def _read_chances(self, pieces: Sequence[int]) -> dict[str, float]:
        """`_chances` of the languages that something was read in: smoothing likes rare subwords."""
        chances = zip(self.names, self.counts, self._chances(pieces).tolist(), strict=True)
        return {name: chance for name, row, chance in chances if row.any()}

    def _chances(self, pieces: Sequence[int]) -> NDArray[np.float64]:
        """The logarithm of the probability (L,) of these subwords in each language."""
        held = np.asarray([piece for piece in pieces if piece != UNK], np.int64)
        smoothed = self.counts + 0.5
        return np.log(smoothed[:, held] / smoothed.sum(1, keepdims=True)).sum(1)

    def _spoken(self) -> str:
        return ", ".join(f"{source} → {target}" for source, target in self.directions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return {
            "directions": [list(direction) for direction in self.directions],
            "counts": dict(zip(self.names, self.counts.tolist(), strict=True)),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], subwords: int) -> Languages:
        """What `to_dict` wrote about so many subwords.

        Raises:
            CheckpointError: it did not write that.
        """
        try:
            directions = tuple((str(source), str(to)) for source, to in values["directions"])
            names = tuple(values["counts"])
            counts = np.asarray([values["counts"][name] for name in names], np.int64)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise CheckpointError(f"the languages are damaged: {error}") from None
        if not directions or counts.shape != (len(names), subwords) or counts.min() < 0:
            raise CheckpointError("the languages are damaged: their counts do not fit the subwords")
        if not {source for source, _ in directions} <= set(names):
            raise CheckpointError("the languages are damaged: a direction starts in an unknown one")
        return cls(directions, names, counts)
