"""How sure a caption can be: the chance that it names the thing, as one calibrated number.

Two logistic regressions over what writing the caption has brought along anyway, multiplied: that
the picture shows something at all, and that the caption names it, if so. One alone would bend the
photos' chances to keep the empty pictures' low. `calibration` fits them on validation photos and on
pictures with nothing in them; a checkpoint's header carries them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from captioner.errors import CheckpointError, shown
from captioner.text import is_harmless
from captioner.words import Word, is_content

SENTENCE = ("mean_log_prob", "lowest_log_prob")
COPYING = ("copy_share",)
RECOGNISING = ("kind_log_prob", "kind_entropy", "kind_energy")
_LARGEST = 1e9  # of a weight: with features of some thousands at most, nothing overflows


def available(*, copies: bool, recognises: bool) -> tuple[str, ...]:
    """The features that a model's captions have.

    Args:
        copies: the decoder copies words of recognised things.
        recognises: the encoder has a classifier.
    """
    return SENTENCE + (COPYING if copies else ()) + (RECOGNISING if recognises else ())


def evidence(
    words: Sequence[Word], log_prob: float, kinds: Sequence[float] | None = None
) -> dict[str, float]:
    """What a caption's confidence rests on, by name; what a model lacks is left out.

    Args:
        words: of the caption.
        log_prob: of the words and the end, natural logarithm.
        kinds: for the photo, the values of `RECOGNISING`: the log probability of the likeliest kind
            of thing on it, the entropy of the distribution over kinds in nats, and the log of the
            summed exponentials of their logits, which is low where nothing is recognised (Liu et
            al. 2020, "Energy-based Out-of-distribution Detection").

    Returns:
        Besides these, `mean_log_prob`: a word, the end being one; `lowest_log_prob`: of the content
        words, and where there is none, that mean; `copy_share`: of the word copied most, 0 to 1.
    """
    mean = log_prob / (len(words) + 1)
    content = [w.log_prob for w in words if w.log_prob is not None and is_content(w.text)]
    found = {"mean_log_prob": mean, "lowest_log_prob": min(content, default=mean)}
    shares = [word.copy_share for word in words if word.copy_share is not None]
    if shares:
        found["copy_share"] = max(shares)
    if kinds is not None:
        found |= zip(RECOGNISING, kinds, strict=True)
    return found


@dataclass(frozen=True)
class Regression:
    """A logistic regression."""

    bias: float
    weights: Mapping[str, float]  # by feature

    def of(self, found: Mapping[str, float]) -> float:
        """The chance, 0 to 1. A feature that is not there counts as 0: a share of no words."""
        value = self.bias + sum(w * found.get(name, 0.0) for name, w in self.weights.items())
        small = math.exp(-abs(value))
        return (1.0 if value >= 0 else small) / (1.0 + small)


@dataclass(frozen=True)
class Confidence:
    """The chance that a caption names the thing: says one of its photo's key words."""

    shows: Regression  # that the picture shows something at all
    names: Regression  # that the caption names it, if so
    threshold: float  # a caption below it is unsure
    ece: float  # expected calibration error of the photos below, each left out of the fit
    photos: int  # how many there were,
    unsure_photos: float  # and the share of them that was unsure
    empties: int  # pictures with nothing in them,
    unsure_empties: float  # and the share of them that was unsure
    fitted: str  # on what

    def of(self, found: Mapping[str, float]) -> float:
        """The chance, 0 to 1, by a caption's `evidence`."""
        return self.shows.of(found) * self.names.of(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, features: Sequence[str]) -> Confidence:
        """Reads a header's values, which nobody vouches for.

        Args:
            values: as `to_dict` gives them.
            features: that the model's captions have, see `available`.

        Raises:
            CheckpointError: they are something else.
        """
        _check_table("confidence", values, cls)
        fitted = values["fitted"]
        if not isinstance(fitted, str) or not is_harmless(fitted):
            raise CheckpointError(f"the confidence was fitted on {shown(fitted)}; expected a text")

        def share(name: str) -> float:
            return _number(name, values[name], 0, 1)

        return cls(
            _regression("shows", values["shows"], features),
            _regression("names", values["names"], features),
            threshold=share("threshold"),
            ece=share("ece"),
            photos=_count("photos", values["photos"]),
            unsure_photos=share("unsure_photos"),
            empties=_count("empties", values["empties"]),
            unsure_empties=share("unsure_empties"),
            fitted=fitted,
        )


def _check_table(name: str, values: Any, kind: type) -> None:
    expected = [entry.name for entry in fields(kind)]
    if not isinstance(values, dict) or values.keys() != set(expected):
        raise CheckpointError(
            f"the {name} is {shown(values)}; expected a table of {', '.join(expected)}"
        )


def _regression(name: str, values: Any, features: Sequence[str]) -> Regression:
    _check_table(f"confidence's {name}", values, Regression)
    weights = values["weights"]
    if not isinstance(weights, dict) or not weights.keys() <= set(features):
        raise CheckpointError(
            f"the confidence weighs {shown(weights)}; this model's captions have "
            f"{', '.join(features)}"
        )
    numbers = {feature: _number(feature, value) for feature, value in weights.items()}
    return Regression(_number("bias", values["bias"]), numbers)


def _number(name: str, value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> float:
    """A number between limits; to Python's JSON, NaN and Infinity are numbers, too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise CheckpointError(
            f"the confidence's {name} is {shown(value)}; expected a number from {least:g} to "
            f"{most:g}"
        )
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise CheckpointError(f"the confidence's {name} are {shown(value)}; expected a count")
    return value
