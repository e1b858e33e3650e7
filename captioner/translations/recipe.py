"""What a translator's recipe holds: sentence pairs, phases, and the whole TOML file."""

from __future__ import annotations

import math
from dataclasses import dataclass

from captioner.errors import ConfigError, shown
from captioner.nn.architecture import TranslationConfig
from captioner.options import SearchOptions
from captioner.recipes import shared
from captioner.settings import check_positive, check_share, setting, written_down

_PIECES = 1_000_000  # of words, at most; what learns them reserves room for all
_LONGER = 1000  # pieces, at most, that a drawn translation may be longer


@dataclass(frozen=True)
class PairSource:
    """One set of sentence pairs: two files that match line by line, or columns of a TSV file."""

    source: str = setting("", "file with a sentence a line, in the first of the languages")
    target: str = setting("", "file with the same sentences in the second language, line by line")
    tsv: str = setting("", "instead of the two: file with tab-separated columns, a pair a line")
    columns: tuple[int, ...] = setting(
        (1, 2), "columns of the TSV file that hold the first and the second language, from 1"
    )
    languages: tuple[str, ...] = setting((), 'codes of the two languages: ["en", "de"]')
    both_ways: bool = setting(False, "learn the pairs in the other direction too")
    part: str = setting(
        "all",
        "all pairs, or those of one side of a split by sentences of the first language: train, "
        "held_out (for data without a validation file of its own)",
        choices=("all", "train", "held_out"),
    )
    held_out: float = setting(0.02, "with part: share of the pairs that is held out")
    share: float = setting(
        1.0, "share of its pairs that is drawn for an epoch, anew each time; above 1 their number"
    )
    group: str = setting("", "of training pairs: a name by which a phase may favour them")

    def __post_init__(self) -> None:
        given = [name for name in ("source", "target", "tsv") if getattr(self, name)]
        if given not in (["source", "target"], ["tsv"]):
            raise ConfigError(
                f"a source of pairs has {' and '.join(given) or 'no file'}; give source and "
                "target, two files that match line by line, or one tsv"
            )
        if len(set(self.languages)) != 2 or len(self.languages) != 2:
            raise ConfigError(
                f"languages is {list(self.languages)}; expected the codes of the two languages, "
                'e.g. ["en", "de"]'
            )
        if len(set(self.columns)) != 2 or len(self.columns) != 2 or min(self.columns) < 1:
            raise ConfigError(
                f"columns is {list(self.columns)}; expected two different numbers from 1 on"
            )
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}; expected a share between 0 and 1")
        if not 0 < self.share < math.inf:
            raise ConfigError(
                f"share is {self.share}; expected a share above 0, or a number of pairs"
            )


@dataclass(frozen=True)
class PairDataConfig:
    """What a translator learns from and what it is chosen by."""

    train: tuple[PairSource, ...] = setting((), "sources of the training pairs, mixed together")
    validation: tuple[PairSource, ...] = setting((), "sources of the pairs that choose the weights")
    subwords: int = setting(8000, "pieces of words that all languages share")
    byte_fallback: bool = setting(
        True, "spell characters without a piece of their own by 256 bytes, which count as pieces"
    )
    epoch_pairs: int = setting(
        0,
        "pairs an epoch draws in all, by temperature over the directions; 0: what each source's "
        "share says",
    )
    temperature: float = setting(
        1.0,
        "with epoch_pairs: a direction of n pairs is drawn in proportion to n^(1/temperature); at "
        "1 by its size, the higher the more alike (Arivazhagan et al. 2019, section 4.2)",
    )
    max_pieces: int = setting(100, "pairs with a longer sentence are left out", unit="pieces")
    linked_pairs: int = setting(
        5000,
        "with attention_supervision: at most so many training pairs of each direction are linked, "
        "which takes minutes; the others teach attention nothing",
    )
    validation_pairs: int = setting(
        500, "at most so many sentences of each direction are translated after an epoch"
    )

    def __post_init__(self) -> None:
        check_positive(self, "subwords", most=_PIECES)
        check_positive(self, "max_pieces", "linked_pairs", "validation_pairs")
        if self.epoch_pairs < 0:
            raise ConfigError(f"epoch_pairs is {self.epoch_pairs}; expected 0 or a number of pairs")
        if not 1 <= self.temperature < math.inf:
            raise ConfigError(
                f"temperature is {self.temperature}; expected a number from 1 on: at 1 directions "
                "are drawn by their size"
            )
        shares = [source.share for source in self.train if source.share != 1]
        if self.epoch_pairs and shares:
            raise ConfigError(
                f"a source has share {shares[0]:g}, but epoch_pairs = {self.epoch_pairs} draws by "
                "temperature; leave one of the two out"
            )


@dataclass(frozen=True)
class TranslationPhaseConfig:
    """One stretch of a translator's training with settings of its own."""

    name: str = shared.phase_name()
    epochs: int = setting(10, "times the pairs are drawn")
    pairs: int = setting(0, "pairs an epoch of this phase draws; 0: data.epoch_pairs")
    favours: str = setting("", "a group of training pairs that makes up its own part of an epoch")
    favoured: float = setting(0.5, "with favours: that part")
    learning_rate: float = setting(1e-3, "peak learning rate")
    warmup: float = shared.warmup(0.05)
    schedule: str = shared.schedule()
    final_rate: float = shared.final_rate()
    r_drop: float = setting(
        0.0,
        "weight of the difference between two passes with other dropout, at twice the time "
        "(R-Drop, Liang et al. 2021)",
    )
    attention_supervision: float = shared.attention_supervision(
        "a word to look at the source words that an aligner links it to (Liu et al. 2016; the "
        "links are IBM Model 2's, see data.linked_pairs)"
    )
    supervised_by: str = shared.supervised_by()
    supervised_mass: float = shared.supervised_mass("on the linked words")
    coverage: float = shared.coverage()
    scheduled_sampling: float = shared.scheduled_sampling()
    scheduled_decay: str = shared.scheduled_decay()
    self_critical: float = setting(
        0.0,
        "share of the self-critical loss, whose reward is GLEU (Wu et al. 2016, section 5); the "
        "rest stays cross-entropy",
    )
    samples: int = setting(
        5, "self-critical: translations drawn of every sentence, judged by the mean of the others"
    )
    extra_length: int = setting(
        10,
        "self-critical: by how much a drawn translation may be longer than the longest of its "
        "batch before it is cut, without an end",
        unit="pieces",
    )
    temperature: float = setting(
        0.5,
        "self-critical: of the draws; at 1, label smoothing has left a word in ten to pure chance",
    )

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate")
        check_share(self, "warmup", "final_rate")
        if self.pairs < 0:
            raise ConfigError(f"phase {self.name!r}: pairs is {self.pairs}; expected 0 or more")
        if not 0 < self.favoured < 1:
            raise ConfigError(
                f"phase {self.name!r}: favoured is {self.favoured}; expected a share between 0 "
                "and 1"
            )
        if not 0 <= self.extra_length <= _LONGER:
            raise ConfigError(
                f"phase {self.name!r}: extra_length is {self.extra_length}; expected 0 or more, "
                f"and at most {_LONGER}"
            )
        if self.r_drop < 0:
            raise ConfigError(f"phase {self.name!r}: r_drop is {self.r_drop}; expected 0 or more")
        if not 0 <= self.self_critical <= 1:
            raise ConfigError(
                f"phase {self.name!r}: self_critical is {self.self_critical}; expected a share "
                "from 0 to 1"
            )
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"phase {self.name!r}: temperature is {self.temperature}; expected a number above 0"
            )
        shared.check_attending(self)
        shared.check_samples(self)


@dataclass(frozen=True)
class TranslationTrainingConfig:
    """What all phases of a translator's training share."""

    batch_tokens: int = setting(
        8000, "pieces of a step, sources and translations together, pairs of like lengths"
    )
    label_smoothing: float = shared.label_smoothing("pieces")
    sampled_words: int = setting(
        0,
        "a step's cross-entropy compares its own pieces with so many others, drawn anew, instead "
        "of all (sampled softmax, Jean et al. 2015), but for phases with r_drop; 0: all",
        unit="pieces",
    )
    weight_decay: float = shared.weight_decay()
    gradient_clip: float = shared.gradient_clip(1.0)
    weight_average: float = shared.weight_average()
    precision: str = shared.precision()
    validate_every: int = shared.validate_every()
    patience: int = shared.patience("BLEU")
    save_steps: int = shared.save_steps()

    def __post_init__(self) -> None:
        check_positive(self, "batch_tokens")
        shared.check_often(self)
        if not 0 <= self.sampled_words <= _PIECES:
            raise ConfigError(
                f"sampled_words is {shown(self.sampled_words)}; expected 0 or more, and at most "
                f"{_PIECES:,}"
            )
        check_share(self, "label_smoothing", "weight_average")
        if self.gradient_clip < 0 or self.weight_decay < 0:
            raise ConfigError(
                "training: gradient_clip and weight_decay are 0 or more, not "
                f"{self.gradient_clip}, {self.weight_decay}"
            )


@dataclass(frozen=True)
class TranslationRecipe:
    """Everything that `captioner train` needs for a translator: one TOML file."""

    output: str = shared.output("runs/translator")
    init: str = setting("", "translator's checkpoint to start from; empty: a new model")
    seed: int = shared.seed("pairs")
    data: PairDataConfig = setting(PairDataConfig, "training and validation pairs")
    model: TranslationConfig = shared.model(TranslationConfig)
    training: TranslationTrainingConfig = setting(
        TranslationTrainingConfig, "what all phases share"
    )
    search: SearchOptions = setting(
        lambda: SearchOptions(beam_size=3, length_penalty=1.0, max_length=500, alternatives=0),
        "decoding of the validation sentences",
    )
    phases: tuple[TranslationPhaseConfig, ...] = setting(
        lambda: (TranslationPhaseConfig(),), "one after the other"
    )
    licence: str = shared.licence()
    task: str = shared.task("translate")
    given: tuple[str, ...] = written_down()

    def __post_init__(self) -> None:
        shared.check_recipe(self.output, self.seed, self.phases)
        shared.check_looks(self.model.attention, self.phases)
        for phase in self.phases:
            self._check_draw(phase)

    def _check_draw(self, phase: TranslationPhaseConfig) -> None:
        if (phase.pairs or phase.favours) and not self.data.epoch_pairs:
            raise ConfigError(
                f"phase {phase.name!r}: {'pairs' if phase.pairs else 'favours'} is about draws by "
                "temperature; set data.epoch_pairs too"
            )
        groups = dict.fromkeys(source.group for source in self.data.train if source.group)
        if phase.favours and phase.favours not in groups:
            raise ConfigError(
                f"phase {phase.name!r}: favours is {phase.favours!r}, but no training source has "
                f"that group; there is {', '.join(groups) or 'none'}"
            )
