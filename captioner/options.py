"""How a sentence is looked for, and how much is done at once: what holds for every task."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, fields
from typing import Any

from captioner.errors import ConfigError, shown
from captioner.settings import as_float, as_int, in_range, setting

BEAMS = 100  # as wide as a beam may be
ROWS = 4096  # sentences that may be looked for at once: photos of a batch times beams or samples
PHOTOS_AT_ONCE, SENTENCES_AT_ONCE = 32, 64  # computed together, where nobody says how many
THREADS = 2  # that open photos, where nobody says how many
RESAMPLES = 1000  # of which a 95 % interval is made, where nobody says how many
WORKERS = 64  # threads that open photos, at most
RUNTIMES = ("auto", "torch", "openvino", "openvino-f32")  # what computes, see captioner.runtimes
DRAWING = ("top_p", "temperature", "seed")  # options that only matter where words are drawn


@dataclass(frozen=True)
class SearchOptions:
    """How a sentence is looked for."""

    beam_size: int = setting(
        3,
        "sentences kept alive at every step; 1 is greedy decoding",
        within=(1, BEAMS),
        slider=(1, 10, 1),
        served=20,
    )
    length_penalty: float = setting(
        0.7,
        "exponent a of log p / length^a by which finished sentences are ranked; 0 favours short",
        within=(0, 10),
    )
    max_length: int = setting(
        30, "longest sentence", unit="words", within=(1, 1000), slider=(3, 40, 1), served=50
    )
    n_best: int = setting(
        1,
        "sentences returned, best first; a smaller beam grows to as many, and may then find others",
        within=(1, ROWS),
        slider=(1, 5, 1),
        served=20,
    )
    repeats: bool = setting(
        True,
        "captions may say a content word twice, as in `a brown and brown dog`; articles, "
        "prepositions and the like may always return",
    )
    sample: bool = setting(False, "draw the words at random instead of searching for the best")
    top_p: float = setting(
        0.9,
        "with --sample: draw from the fewest words that hold this share",
        slider=(0.05, 1, 0.05),
    )
    # What float32 holds: below it, dividing by the temperature gives no numbers.
    temperature: float = setting(
        1.0,
        "with --sample: below 1 bolder on likely words, above 1 wilder",
        within=(1e-38, 1e38),
        slider=(0.1, 2, 0.1),
    )
    seed: int = setting(
        0,
        "seed of the draws; the same seed gives the same sentences",
        within=(0, 2**63 - 1),
        slider=(0, 99, 1),
    )
    alternatives: int = setting(
        5, "most probable words reported for every position", within=(0, 100_000)
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            if entry.metadata["within"] is not None:
                value = in_range(SearchOptions, entry.name, getattr(self, entry.name))
                object.__setattr__(self, entry.name, value)
        top_p = as_float(self.top_p)
        if top_p is None or not 0 < top_p <= 1:
            raise ConfigError(f"top_p is {shown(self.top_p)}; expected a share above 0, at most 1")
        object.__setattr__(self, "top_p", top_p)
        for name in ("sample", "repeats"):
            if not isinstance(getattr(self, name), bool):
                came = shown(getattr(self, name))
                raise ConfigError(f"{name} is {came}; expected true or false")
        if self.n_best > self.beam_size and not self.sample:
            if self.n_best > BEAMS:
                raise ConfigError(
                    f"n_best {self.n_best} is more than any beam can find; ask for at most "
                    f"{BEAMS}, or draw them: sample"
                )
            raise ConfigError(
                f"n_best {self.n_best} is more than beam_size {self.beam_size} can find; "
                f"ask for a beam_size of at least {self.n_best}"
            )

    def changed(self, **settings: Any) -> SearchOptions:
        """These options with `settings` put in; None keeps what there is.

        Raises:
            ConfigError: a field is unknown, of a wrong type or out of range.
        """
        chosen = {k: v for k, v in settings.items() if v is not None}
        known = {f.name for f in fields(SearchOptions)}
        for name in chosen.keys() - known:
            raise ConfigError(f"{name} is no decoding option; expected {', '.join(sorted(known))}")
        n_best = in_range(SearchOptions, "n_best", chosen.get("n_best", 1))
        if self.beam_size < n_best <= BEAMS and not chosen.get("sample", self.sample):
            chosen.setdefault("beam_size", n_best)
        return dataclasses.replace(self, **chosen)

    def check_batch(self, batch_size: Any) -> None:
        """Refuses batches that no memory holds.

        Args:
            batch_size: photos or sentences that are computed together.

        Raises:
            ConfigError: it is no whole number above 0, or they and their hypotheses are too many.
        """
        whole = as_int(batch_size)
        if whole is None or not 1 <= whole <= ROWS:
            raise ConfigError(
                f"batch_size is {shown(batch_size)}; expected a whole number from 1 to {ROWS}"
            )
        name = "n_best" if self.sample else "beam_size"
        each = getattr(self, name)
        if whole * each > ROWS:
            raise ConfigError(
                f"batch_size {whole} times {name} {each} is {whole * each} sentences at once, more "
                f"than {ROWS}; choose a batch_size of at most {ROWS // each}"
            )


def given_or(own: Any, otherwise: SearchOptions) -> SearchOptions:
    """Somebody's options; `otherwise` where there are none.

    Raises:
        ConfigError: they are something else.
    """
    if own is None:
        return otherwise
    if not isinstance(own, SearchOptions):
        raise ConfigError(
            f"the options are {shown(own)}; expected SearchOptions, or give its fields by name: "
            "beam_size=5"
        )
    return own


def check_alternatives(count: Any) -> None:
    """Refuses numbers of alternatives that cannot be.

    Raises:
        ConfigError: it is no whole number, or out of range.
    """
    in_range(SearchOptions, "alternatives", count)


def check_workers(workers: Any) -> None:
    """Refuses numbers of threads that cannot be.

    Raises:
        ConfigError: it is no whole number, or out of range.
    """
    number = as_int(workers)
    if number is None or not 1 <= number <= WORKERS:
        raise ConfigError(
            f"workers is {shown(workers)}; expected a whole number from 1 to {WORKERS}"
        )


def check_time_limit(seconds: Any) -> None:
    """Refuses what is no time that a photo may take.

    Raises:
        ConfigError: it is neither None nor a number above 0.
    """
    wrong = isinstance(seconds, bool) or not isinstance(seconds, (int, float))
    if seconds is not None and (wrong or not 0 < seconds < math.inf):
        raise ConfigError(
            f"time_limit is {shown(seconds)}; expected seconds, above 0, or None for no limit"
        )
