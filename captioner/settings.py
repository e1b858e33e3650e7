"""Every setting: frozen dataclasses, to and from plain values, with the rules between fields.

A field's `help` text is the one place where a setting is explained: the command line's `--help`
is made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from captioner.errors import ConfigError, shown

T = TypeVar("T")

BACKBONES = (
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_lite2",
    "resnet18",
    "resnet50",
    "resnet101",
    "vgg16",
)
SCORES = ("additive", "dot", "scaled_dot", "general", "cosine")
DROPOUTS = (  # what a model is trained with, and no part of what it is
    "encoder.dropout",
    "encoder.word_dropout",
    "attention.dropout",
    "decoder.dropout",
    "decoder.word_dropout",
)
STAGES = 5  # of every backbone: each halves the resolution once, 2⁵ = 32


BEAMS = 100  # as wide as a beam may be
ROWS = 4096  # sentences that may be looked for at once: photos of a batch times beams or samples

WORKERS = 64  # threads that open photos, at most


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[Any] = (),
    unit: str = "",
    within: tuple[float, float] | None = None,
) -> Any:
    """A dataclass field with the sentence that explains it and, where they exist, its limits.

    Args:
        default: the value, or what makes it.
        help: the sentence.
        choices: the values that may be chosen.
        unit: of a number.
        within: the least and the largest value, for `in_range`.
    """
    metadata = {"help": help, "choices": tuple(choices), "unit": unit, "within": within}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _given() -> Any:
    about = "settings of the model that were written down, by dotted name; no setting itself"
    return dataclasses.field(
        default=(), compare=False, repr=False, metadata={"help": about, "hidden": True}
    )


@dataclass(frozen=True)
class EncoderConfig:
    """The CNN that turns a photo into an h×w grid of features."""

    name: str = setting(
        "mobilenet_v2", "torchvision model whose features are used", choices=BACKBONES
    )
    stride: int = setting(
        32, "pixels a grid cell stands for: 32 (7×7 at 224 pixels) or 16 (14×14)", choices=(16, 32)
    )
    stages: int = setting(
        5,
        "stages of the CNN that are used: all 5, or 4, which end at stride 16 and see less of what "
        "lies around a cell",
        choices=(4, 5),
    )
    image_size: int = setting(224, "side of the square that a photo is squashed to", unit="pixels")
    feature_size: int = setting(512, "features of a grid cell after the projection (D)")
    dropout: float = setting(0.0, "share of a grid cell's features dropped in training")
    weights: str = setting(
        "imagenet",
        "where a new CNN starts: imagenet (fetched by torchvision), shipped (the one that came "
        "along), random, or a safetensors file",
    )

    lateral: bool = setting(
        False,
        "read the fourth stage as well: its grid of stride 16 beside the last stage's, enlarged "
        "(a feature pyramid, Lin et al. 2017)",
    )
    classes: int = setting(
        0,
        "kinds of things that a classifier over the CNN's last stage tells apart; 0: no classifier "
        "(training with a [teacher] adds its own)",
    )

    def __post_init__(self) -> None:
        _positive(self, "image_size", "feature_size")
        _share(self, "dropout")
        if self.classes < 0:
            raise ConfigError(f"encoder.classes is {self.classes}; expected 0 or more")
        if self.classes and self.stages != 5:
            raise ConfigError(
                f"encoder.classes {self.classes} are told apart over the fifth stage, but "
                f"encoder.stages is {self.stages}; set stages = 5, or classes = 0"
            )
        if self.lateral and (self.stages, self.stride) != (5, 16):
            raise ConfigError(
                "encoder.lateral puts the fourth stage beside the fifth on a grid of stride 16, "
                f"but encoder.stages is {self.stages} and encoder.stride {self.stride}; set "
                "stages = 5 and stride = 16, or lateral = false"
            )
        if self.lateral and self.image_size % 32:
            nearest = max(1, round(self.image_size / 32)) * 32
            raise ConfigError(
                f"encoder.image_size {self.image_size} is no multiple of 32, the fifth stage's "
                f"stride, which encoder.lateral reads; choose {nearest}"
            )
        if self.stages == 4 and self.stride != 16:
            raise ConfigError(
                f"encoder.stages 4 end at stride 16, but encoder.stride is {self.stride}; set "
                "stride = 16, or stages = 5"
            )
        if self.image_size % self.stride:
            nearest = max(1, round(self.image_size / self.stride)) * self.stride
            raise ConfigError(
                f"encoder.image_size {self.image_size} is no multiple of encoder.stride "
                f"{self.stride}; choose {nearest}"
            )


@dataclass(frozen=True)
class AttentionConfig:
    """How the decoder weighs the memory's positions."""

    score: str = setting(
        "additive",
        "how a position is scored against the query; none: no attention, all that the decoder "
        "knows is what the encoder summed up (the bottleneck)",
        choices=(*SCORES, "none"),
    )
    query: str = setting(
        "before",
        "state that asks: before the recurrent step (Bahdanau, Xu) or after it (Luong)",
        choices=("before", "after"),
    )
    size: int = setting(512, "hidden size of the additive score")
    heads: int = setting(
        1, "heads that look at once, each at projections of its own (Vaswani et al. 2017, §3.2.2)"
    )
    input_feeding: bool = setting(
        False,
        "with the query after the step: read the previous step's context together with the word "
        "(Luong et al. 2015, §3.3)",
    )
    dropout: float = setting(
        0.0,
        "share of the weights dropped in training, so that no step hangs on a single position "
        "(Vaswani et al. 2017's code)",
    )
    every_step: bool = setting(
        False,
        "with score none: the sum is there at every step (Cho et al. 2014), not only in the first "
        "state (Sutskever et al. 2014)",
    )

    def __post_init__(self) -> None:
        _positive(self, "size", "heads")
        _share(self, "dropout")
        if self.heads > 1 and self.score != "scaled_dot":
            raise ConfigError(
                f"attention.heads is {self.heads}, and heads compare by scaled_dot, but "
                f'attention.score is {self.score}; set score = "scaled_dot", or heads = 1'
            )
        if self.every_step and self.score != "none":
            raise ConfigError(
                "attention.every_step belongs to attention.score none; with "
                f'{self.score}, every step has its context; set score = "none", or every_step = '
                "false"
            )
        if self.input_feeding and self.query == "before":
            raise ConfigError(
                "attention.input_feeding brings the previous context into the next step, but with "
                "attention.query before the step its own context is there already; set query = "
                '"after", or input_feeding = false'
            )


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent network that writes the sentence."""

    cell: str = setting("lstm", "recurrent cell", choices=("lstm", "gru"))
    hidden_size: int = setting(512, "size of the recurrent state")
    embedding_size: int = setting(512, "size of a word embedding")
    dropout: float = setting(0.5, "share dropped of embeddings and of the deep output in training")
    word_dropout: float = setting(
        0.0, "share of the previous words that are hidden in training (Gal & Ghahramani 2016)"
    )
    gate: bool = setting(True, "scale the context by a learned gate (Xu et al. 2015, §4.2.1)")
    tie_embeddings: bool = setting(True, "use the embedding matrix as the output layer too")

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "embedding_size")
        _share(self, "dropout", "word_dropout")


@dataclass(frozen=True)
class ModelConfig:
    """A whole model: encoder, attention, decoder."""

    encoder: EncoderConfig = setting(EncoderConfig, "the photo's encoder")
    attention: AttentionConfig = setting(AttentionConfig, "the attention module")
    decoder: DecoderConfig = setting(DecoderConfig, "the decoder")

    def __post_init__(self) -> None:
        _check_sizes(self.attention, self.encoder.feature_size, self.decoder.hidden_size)


@dataclass(frozen=True)
class SentenceEncoderConfig:
    """The recurrent network that reads the source sentence in both directions."""

    cell: str = setting("lstm", "recurrent cell", choices=("lstm", "gru"))
    hidden_size: int = setting(256, "state of each direction; a word has two of them (D)")
    layers: int = setting(1, "recurrent layers, each reading what the one below it wrote")
    dropout: float = setting(
        0.3, "share dropped of embeddings, between layers and of the memory in training"
    )
    word_dropout: float = setting(0.0, "share of the source's words that are hidden in training")
    tie_embeddings: bool = setting(True, "use the decoder's embedding matrix")

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "layers")
        _share(self, "dropout", "word_dropout")

    @property
    def feature_size(self) -> int:
        """Features of a source word (D)."""
        return 2 * self.hidden_size


@dataclass(frozen=True)
class TranslationConfig:
    """A whole translation model: the captioner's, but for the encoder."""

    encoder: SentenceEncoderConfig = setting(SentenceEncoderConfig, "the sentence's encoder")
    attention: AttentionConfig = setting(
        lambda: AttentionConfig(score="general", query="after", input_feeding=True),
        "the attention module",
    )
    decoder: DecoderConfig = setting(lambda: DecoderConfig(dropout=0.3, gate=False), "the decoder")

    def __post_init__(self) -> None:
        _check_sizes(self.attention, self.encoder.feature_size, self.decoder.hidden_size)


def _check_sizes(attention: AttentionConfig, feature_size: int, hidden_size: int) -> None:
    if attention.heads > 1:
        if feature_size % attention.heads:
            raise ConfigError(
                f"attention.heads is {attention.heads}, which do not share encoder.feature_size "
                f"{feature_size} evenly; choose a divisor of it"
            )
    elif attention.score in ("dot", "scaled_dot", "cosine") and feature_size != hidden_size:
        raise ConfigError(
            f"attention.score {attention.score} compares vectors of one size, but "
            f"encoder.feature_size is {feature_size} and decoder.hidden_size {hidden_size}; make "
            "them equal, or choose general or additive"
        )


@dataclass(frozen=True)
class SearchOptions:
    """How a sentence is looked for."""

    beam_size: int = setting(
        3, "sentences kept alive at every step; 1 is greedy decoding", within=(1, BEAMS)
    )
    length_penalty: float = setting(
        0.7,
        "exponent a of log p / length^a by which finished sentences are ranked; 0 favours short",
        within=(0, 10),
    )
    max_length: int = setting(30, "longest sentence", unit="words", within=(1, 1000))
    n_best: int = setting(
        1,
        "sentences returned, best first; a smaller beam grows to as many, and may then find others",
        within=(1, ROWS),
    )
    sample: bool = setting(False, "draw the words at random instead of searching for the best")
    top_p: float = setting(0.9, "with --sample: draw from the fewest words that hold this share")
    # What float32 holds: below it, dividing by the temperature gives no numbers.
    temperature: float = setting(
        1.0, "with --sample: below 1 bolder on likely words, above 1 wilder", within=(1e-38, 1e38)
    )
    seed: int = setting(
        0, "seed of the draws; the same seed gives the same sentences", within=(0, 2**63 - 1)
    )
    alternatives: int = setting(
        5, "most probable words reported for every position", within=(0, 100_000)
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            if entry.metadata["within"] is not None:
                value = in_range(SearchOptions, entry.name, getattr(self, entry.name))
                object.__setattr__(self, entry.name, value)
        top_p = _as_float(self.top_p)
        if top_p is None or not 0 < top_p <= 1:
            raise ConfigError(f"top_p is {shown(self.top_p)}; expected a share above 0, at most 1")
        object.__setattr__(self, "top_p", top_p)
        if not isinstance(self.sample, bool):
            raise ConfigError(f"sample is {shown(self.sample)}; expected true or false")
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
        whole = _as_int(batch_size)
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


@dataclass(frozen=True)
class Source:
    """One set of captioned photos."""

    captions: str = setting("", "COCO captions JSON, Karpathy JSON or Flickr8k token file")
    images: str = setting("", "folder that holds the photos")
    format: str = setting(
        "auto", "format of the captions file", choices=("auto", "coco", "karpathy", "flickr8k")
    )
    split: str = setting(
        "", "karpathy: the split's name (train, train+restval, val, …); flickr8k: the split file"
    )
    boxes: str = setting(
        "",
        "COCO instances JSON, where things lie: `evaluate` measures by it how often a noun's map "
        "points at what the noun names, and training with attention_supervision teaches it",
    )

    def __post_init__(self) -> None:
        for name in ("captions", "images"):
            if not getattr(self, name):
                raise ConfigError(f"a data source needs `{name}`: {_help(Source, name)}")


@dataclass(frozen=True)
class DataConfig:
    """What a model learns from and what it is chosen by."""

    train: tuple[Source, ...] = setting((), "sources of the training photos, mixed together")
    validation: tuple[Source, ...] = setting((), "sources of the photos that choose the weights")
    validation_share: float = setting(
        0.05, "without validation sources: share of the training photos set aside, by photo id"
    )
    min_count: int = setting(4, "words written fewer times in the training captions are unknown")
    max_words: int = setting(40, "longer training captions are cut here", unit="words")
    validation_photos: int = setting(
        1000, "at most so many validation photos are captioned after an epoch"
    )

    def __post_init__(self) -> None:
        _positive(self, "min_count", "max_words", "validation_photos")
        if not 0 < self.validation_share < 1:
            raise ConfigError(
                f"data.validation_share is {self.validation_share}; expected between 0 and 1"
            )


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
class AugmentConfig:
    """How training photos are varied."""

    flip: bool = setting(False, "mirror half of the photos (not where captions say left or right)")
    crop: float = setting(1.0, "smallest share of the area that a random crop keeps; 1 is no crop")
    jitter: float = setting(0.0, "largest change of brightness, contrast and saturation, ±")

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ConfigError(f"augment.crop is {self.crop}; expected a share above 0, at most 1")
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"augment.jitter is {self.jitter}; expected 0 to below 1")

    @property
    def active(self) -> bool:
        """Whether the same photo can look different twice."""
        return self.flip or self.crop < 1 or self.jitter > 0


@dataclass(frozen=True)
class PhaseConfig:
    """One stretch of training with settings of its own."""

    name: str = setting("", "what the logs call this phase")
    epochs: int = setting(10, "times every photo is seen")
    batch_size: int = setting(0, "photos in a step of this phase; 0: as training.batch_size")
    learning_rate: float = setting(5e-4, "peak learning rate of everything but the CNN")
    encoder_learning_rate: float = setting(1e-4, "peak learning rate of the CNN")
    fine_tune_from: int = setting(
        0,
        "first CNN stage (1 to 5) that learns, with all after it: 1 is the whole CNN, 0 none of it",
        choices=tuple(range(STAGES + 1)),
    )
    batch_norm: str = setting(
        "frozen", "batch norm statistics while the CNN learns", choices=("frozen", "updated")
    )
    cache_features: bool = setting(
        False, "compute the frozen CNN's grids once and read them from disk afterwards"
    )
    augment: AugmentConfig = setting(AugmentConfig, "how photos are varied")
    input_dropout: bool = setting(
        True,
        "false: the dropout of grid cells, attention weights and whole words rests, that of "
        "embeddings and deep output goes on",
    )
    attention_supervision: float = setting(
        0.0,
        "weight of the loss that teaches a noun's map to lie on the boxes of what it names "
        "(Liu et al. 2017, Attention Correctness)",
    )
    supervised_mass: float = setting(
        1.0,
        "with attention_supervision: share of a map in the boxes that is enough; what lies above "
        "earns nothing, so that maps need not become narrow to be right",
    )
    self_critical: float = setting(
        0.0,
        "share of the self-critical loss, whose reward is CIDEr-D (Rennie et al. 2017); the rest "
        "stays cross-entropy",
    )
    samples: int = setting(
        5, "self-critical: captions drawn for every photo, each judged by the mean of the others"
    )
    distillation: float = setting(
        0.0,
        "weight of the loss that keeps the CNN's classifier true while the CNN learns: its "
        "divergence from the [teacher]'s answers to the same pictures (Hinton et al. 2015)",
    )
    max_length: int = setting(
        20, "self-critical: a drawn caption is cut here, without an end", unit="words"
    )
    warmup: float = setting(0.02, "share of the phase in which the learning rate climbs")
    schedule: str = setting(
        "cosine", "learning rate after the warm-up", choices=("cosine", "constant")
    )
    final_rate: float = setting(0.02, "share of the peak rate that the cosine ends at")

    def __post_init__(self) -> None:
        _positive(self, "epochs", "learning_rate", "encoder_learning_rate", "max_length")
        _share(self, "warmup", "final_rate")
        if self.batch_size < 0:
            raise ConfigError(
                f"phase {self.name!r}: batch_size is {self.batch_size}; expected 0 or more"
            )
        if not 0 <= self.attention_supervision < math.inf or not 0 <= self.self_critical <= 1:
            raise ConfigError(
                f"phase {self.name!r}: attention_supervision is {self.attention_supervision} and "
                f"self_critical {self.self_critical}; expected 0 or more, and a share from 0 to 1"
            )
        if not 0 < self.supervised_mass <= 1:
            raise ConfigError(
                f"phase {self.name!r}: supervised_mass is {self.supervised_mass}; expected a share "
                "above 0 and at most 1"
            )
        _siblings(self)
        if not 0 <= self.distillation < math.inf:
            raise ConfigError(
                f"phase {self.name!r}: distillation is {self.distillation}; expected 0 or more"
            )
        if self.cache_features and self.distillation:
            raise ConfigError(
                f"phase {self.name!r}: a teacher answers to pictures, which cached features no "
                "longer are; set distillation = 0 or cache_features = false"
            )
        if self.cache_features and self.fine_tune_from:
            raise ConfigError(
                f"phase {self.name!r}: cache_features needs a frozen CNN, but fine_tune_from is "
                f"{self.fine_tune_from}; set fine_tune_from = 0 or cache_features = false"
            )
        if self.cache_features and self.augment.active:
            raise ConfigError(
                f"phase {self.name!r}: cached features cannot follow augment; set "
                "cache_features = false or leave augment out"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """What all phases share."""

    batch_size: int = setting(32, "photos in a step, each with all its captions")
    label_smoothing: float = setting(0.1, "share of the target spread over all words")
    doubly_stochastic: float = setting(
        0.0, "weight of the doubly stochastic penalty (Xu et al. 2015, eq. 14)"
    )
    weight_decay: float = setting(0.01, "AdamW's weight decay on matrices")
    gradient_clip: float = setting(5.0, "largest norm of the gradient; 0 is no limit")
    weight_average: float = setting(
        0.999,
        "decay of the moving average of the weights, which is what is scored and saved; 0 off",
    )
    precision: str = setting(
        "auto",
        "auto: float16 with loss scaling on CUDA, float32 on a CPU; bfloat16: autocast on either",
        choices=("auto", "float32", "bfloat16"),
    )
    encoder_precision: str = setting(
        "same",
        "float32 keeps the CNN at it while the rest computes in less: a CPU's bfloat16 is slower "
        "for large depthwise kernels, as EfficientNet's",
        choices=("same", "float32"),
    )
    patience: int = setting(0, "epochs without a better validation CIDEr that end a phase; 0 never")
    workers: int = setting(2, "threads that read photos")
    save_steps: int = setting(200, "steps between two saves of the resume state; 0 only at epochs")

    def __post_init__(self) -> None:
        _positive(self, "batch_size", "workers")
        _share(self, "label_smoothing", "weight_average")
        if self.doubly_stochastic < 0 or self.gradient_clip < 0 or self.weight_decay < 0:
            raise ConfigError(
                "training: doubly_stochastic, gradient_clip and weight_decay are 0 or more, not "
                f"{self.doubly_stochastic}, {self.gradient_clip}, {self.weight_decay}"
            )


@dataclass(frozen=True)
class TeacherConfig:
    """The untouched network whose knowledge of things a phase's `distillation` keeps."""

    features: str = setting(
        "", "its CNN, of the same kind as the encoder's: imagenet, or a safetensors file"
    )
    classifier: str = setting(
        "",
        "its last layer, over the mean of the CNN's last grid: a safetensors file with "
        "classifier.weight and classifier.bias; left out where features is imagenet",
    )
    words: str = setting(
        "",
        "JSON list with an everyday word for each class, which joins the vocabulary and the "
        "checkpoint: plain words, or objects with `word`",
    )

    def __post_init__(self) -> None:
        if bool(self.features) != bool(self.words):
            raise ConfigError(
                f"teacher.features is {self.features!r} and teacher.words {self.words!r}; a "
                "teacher needs both: its CNN and the words for its classes"
            )
        if bool(self.classifier) != (self.features not in ("", "imagenet")):
            raise ConfigError(
                f"teacher.features is {self.features!r} and teacher.classifier "
                f"{self.classifier!r}; a CNN from a file needs its classifier's file, and "
                "imagenet brings its own"
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that `captioner train` needs: one TOML file."""

    output: str = setting("runs/captioner", "folder for checkpoints, logs and the resume state")
    init: str = setting(
        "", "checkpoint to start from (`shipped` is the one that came along); empty: a new model"
    )
    seed: int = setting(
        1,
        "seed of the initial weights, the order of the photos and dropout: the same recipe gives "
        "the same weights on a CPU with as many threads (OMP_NUM_THREADS=1 is what is tested)",
    )
    data: DataConfig = setting(DataConfig, "training and validation photos")
    model: ModelConfig = setting(
        ModelConfig,
        "the model; with `init` that of the checkpoint, of which only dropouts can be changed",
    )
    teacher: TeacherConfig = setting(TeacherConfig, "the network that a phase's distillation asks")
    training: TrainingConfig = setting(TrainingConfig, "what all phases share")
    search: SearchOptions = setting(
        lambda: SearchOptions(beam_size=3, alternatives=0), "decoding of the validation photos"
    )
    phases: tuple[PhaseConfig, ...] = setting(lambda: (PhaseConfig(),), "one after the other")
    licence: str = setting("", "terms of the training data, written into the checkpoint")
    task: str = setting("caption", "what is learned", choices=("caption",))
    given: tuple[str, ...] = _given()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")
        if not self.phases:
            raise ConfigError("the recipe has no [[phases]]; write at least one")
        stages = self.model.encoder.stages
        for number, phase in enumerate(self.phases):
            if phase.distillation and not self.teacher.features:
                raise ConfigError(
                    f"phases.{number}.distillation is {phase.distillation}, but the recipe names "
                    "no [teacher]; write its features, classifier and words, or set it to 0"
                )
            if phase.fine_tune_from > stages:
                raise ConfigError(
                    f"phases.{number}.fine_tune_from is {phase.fine_tune_from}, but the CNN has "
                    f"only {stages} stages (model.encoder.stages), so nothing of it would learn; "
                    f"choose 1 to {stages}, or 0 for a frozen CNN"
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
    max_pieces: int = setting(100, "pairs with a longer sentence are left out", unit="pieces")
    validation_pairs: int = setting(
        500, "at most so many sentences of each direction are translated after an epoch"
    )

    def __post_init__(self) -> None:
        _positive(self, "subwords", "max_pieces", "validation_pairs")


@dataclass(frozen=True)
class TranslationPhaseConfig:
    """One stretch of a translator's training with settings of its own."""

    name: str = setting("", "what the logs call this phase")
    epochs: int = setting(10, "times the pairs are drawn")
    learning_rate: float = setting(1e-3, "peak learning rate")
    warmup: float = setting(0.05, "share of the phase in which the learning rate climbs")
    schedule: str = setting(
        "cosine", "learning rate after the warm-up", choices=("cosine", "constant")
    )
    final_rate: float = setting(0.02, "share of the peak rate that the cosine ends at")
    r_drop: float = setting(
        0.0,
        "weight of the difference between two passes with other dropout, at twice the time "
        "(R-Drop, Liang et al. 2021)",
    )
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
        _positive(self, "epochs", "learning_rate")
        _share(self, "warmup", "final_rate")
        if self.extra_length < 0:
            raise ConfigError(
                f"phase {self.name!r}: extra_length is {self.extra_length}; expected 0 or more"
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
        _siblings(self)


@dataclass(frozen=True)
class TranslationTrainingConfig:
    """What all phases of a translator's training share."""

    batch_tokens: int = setting(
        8000, "pieces of a step, sources and translations together, pairs of like lengths"
    )
    label_smoothing: float = setting(0.1, "share of the target spread over all pieces")
    weight_decay: float = setting(0.01, "AdamW's weight decay on matrices")
    gradient_clip: float = setting(1.0, "largest norm of the gradient; 0 is no limit")
    weight_average: float = setting(
        0.999,
        "decay of the moving average of the weights, which is what is scored and saved; 0 off",
    )
    precision: str = setting(
        "auto",
        "auto: float16 with loss scaling on CUDA, float32 on a CPU; bfloat16: autocast on either",
        choices=("auto", "float32", "bfloat16"),
    )
    patience: int = setting(0, "epochs without a better validation BLEU that end a phase; 0 never")
    save_steps: int = setting(200, "steps between two saves of the resume state; 0 only at epochs")

    def __post_init__(self) -> None:
        _positive(self, "batch_tokens")
        _share(self, "label_smoothing", "weight_average")
        if self.gradient_clip < 0 or self.weight_decay < 0:
            raise ConfigError(
                "training: gradient_clip and weight_decay are 0 or more, not "
                f"{self.gradient_clip}, {self.weight_decay}"
            )


@dataclass(frozen=True)
class TranslationRecipe:
    """Everything that `captioner train` needs for a translator: one TOML file."""

    output: str = setting("runs/translator", "folder for checkpoints, logs and the resume state")
    init: str = setting("", "translator's checkpoint to start from; empty: a new model")
    seed: int = setting(
        1,
        "seed of the initial weights, the order of the pairs and dropout: the same recipe gives "
        "the same weights on a CPU with as many threads (OMP_NUM_THREADS=1 is what is tested)",
    )
    data: PairDataConfig = setting(PairDataConfig, "training and validation pairs")
    model: TranslationConfig = setting(
        TranslationConfig,
        "the model; with `init` that of the checkpoint, of which only dropouts can be changed",
    )
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
    licence: str = setting("", "terms of the training data, written into the checkpoint")
    task: str = setting("translate", "what is learned", choices=("translate",))
    given: tuple[str, ...] = _given()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")
        if not self.phases:
            raise ConfigError("the recipe has no [[phases]]; write at least one")


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Builds the settings `cls` from plain values, as TOML and JSON give them.

    Args:
        cls: one of the dataclasses here.
        values: names to values; left-out names keep their defaults.
        where: dotted place of `values`, for messages.

    Raises:
        ConfigError: a name is unknown (with the nearest one), a value is of the wrong type or out
            of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or cls.__name__} is {values!r}; expected a table of settings")
    hints = _hints(cls)
    for name in values:
        if name not in hints:
            raise ConfigError(_unknown(name, tuple(hints), where))
    given = tuple(flat(values.get("model", {})))
    values = _completed(cls, values)
    settings = {k: _convert(hints[k], v, f"{where}.{k}" if where else k) for k, v in values.items()}
    for entry in fields(cls):  # type: ignore[arg-type]
        choices = entry.metadata.get("choices")
        if choices and entry.name in settings and settings[entry.name] not in choices:
            place = f"{where}.{entry.name}" if where else entry.name
            listed = ", ".join(map(str, choices))
            raise ConfigError(f"{place} is {settings[entry.name]!r}; expected one of {listed}")
    if any(entry.name == "given" for entry in fields(cls)):  # type: ignore[arg-type]
        settings["given"] = given
    return cls(**settings)


def _completed(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, where each table says no more than what differs from the default of `cls`."""
    made: dict[str, Any] = {entry.name: entry.default_factory for entry in fields(cls)}
    hints = _hints(cls)
    return {
        name: {**dataclasses.asdict(made[name]()), **value}
        if isinstance(value, Mapping) and is_dataclass(hints[name])
        else value
        for name, value in values.items()
    }


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as plain values that JSON and TOML can hold; `from_dict` reads them back."""
    hidden = {entry.name for entry in fields(settings) if entry.metadata.get("hidden")}
    return {k: _plain(v) for k, v in dataclasses.asdict(settings).items() if k not in hidden}


def flat(values: Any, place: str = "") -> dict[str, Any]:
    """Plain values by their dotted places, those of nested tables and lists too."""
    if isinstance(values, Mapping):
        pairs = [(f"{place}.{k}" if place else str(k), v) for k, v in values.items()]
    elif isinstance(values, list):
        pairs = [(f"{place}.{i}", v) for i, v in enumerate(values)]
    else:
        return {place: values}
    return {k: v for name, value in pairs for k, v in flat(value, name).items()}


def continued(recipe: Recipe | TranslationRecipe, held: T, name: str) -> T:
    """The model of a run that goes on from a checkpoint, with the dropouts that the recipe wants.

    What the recipe leaves open is the checkpoint's; no default is held against it.

    Args:
        recipe: with `init`.
        held: settings of the checkpoint's model.
        name: of the checkpoint, for messages.

    Raises:
        ConfigError: the recipe asks for another model than the checkpoint holds.
    """
    own, wanted, usual = (flat(to_dict(each)) for each in (held, recipe.model, type(held)()))
    changed = to_dict(held)
    for place, value in wanted.items():
        if value == own[place] or (place not in recipe.given and value == usual[place]):
            continue
        if place not in DROPOUTS:
            raise ConfigError(
                f"model.{place} is {value!r}, but {name}, which the run starts from, has "
                f"{own[place]!r}; leave the setting out, or leave out init to train a new model"
            )
        table, _, field = place.partition(".")
        changed[table][field] = value
    return from_dict(type(held), changed)


def override(values: dict[str, Any], path: str, text: str, recipe: type = Recipe) -> None:
    """Sets `path` (`training.batch_size`, `phases.0.epochs`) in `values` to what `text` spells.

    Args:
        values: a recipe as plain values; changed in place.
        path: dotted place; a number picks one of a list, one past its end adds to it.
        text: the value as typed: a number, true, false or text.
        recipe: what `values` are to become.

    Raises:
        ConfigError: the place does not exist.
    """
    cls: Any = recipe
    node: Any = values
    steps = path.split(".")
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if _is_list(cls):
            item, cls = _item(node, cls, step, path), typing.get_args(cls)[0]
            if last and not is_dataclass(cls):
                node[int(step)] = _spelt(cls, text, path)
            node = item
            continue
        if not is_dataclass(cls) or step not in _hints(cls):
            known = tuple(_hints(cls)) if is_dataclass(cls) else ()
            raise ConfigError(_unknown(step, known, ".".join(steps[:depth])))
        cls = _hints(cls)[step]
        if last:
            node[step] = _spelt(cls, text, path)
        else:
            node = node.setdefault(step, [] if _is_list(cls) else {})
    if _is_list(cls) or is_dataclass(cls):
        raise ConfigError(f"--{path} holds several settings; name one of them, e.g. --{path}.…")


def _item(node: list[Any], cls: Any, step: str, path: str) -> Any:
    if not step.isdigit() or int(step) > len(node):
        raise ConfigError(
            f"--{path}: {step!r} is no place in a list of {len(node)}; expected 0 to {len(node)}"
        )
    if int(step) == len(node):
        node.append({})
    return node[int(step)]


def _spelt(cls: Any, text: str, path: str) -> Any:
    try:
        if cls is bool:
            return {"true": True, "false": False}[text.lower()]
        return cls(text) if cls in (int, float, str) else text
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[cls]
        raise ConfigError(f"--{path} is {shown(text)}; expected {kind}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        settings: Any = kind
        return value if isinstance(value, settings) else from_dict(settings, value, where)
    if _is_list(kind):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{where} is {shown(value)}; expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_convert(item, v, f"{where}.{i}") for i, v in enumerate(value))
    if kind is float and not isinstance(value, bool) and isinstance(value, (int, float)):
        if not abs(value) < math.inf or (number := _as_float(value)) is None:
            raise ConfigError(f"{where} is {shown(value)}; expected a finite number")
        return number
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {shown(value)}; expected {_kind(kind)}")
    return value


def _kind(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, str(kind))


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _hints(cls: Any) -> Mapping[str, Any]:
    hidden = {entry.name for entry in fields(cls) if entry.metadata.get("hidden")}
    return {k: v for k, v in typing.get_type_hints(cls).items() if k not in hidden}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _unknown(name: str, known: Sequence[str], where: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return f"{where + '.' if where else ''}{name} is no setting; {hint}"


def _help(cls: Any, name: str) -> str:
    return next(f.metadata["help"] for f in fields(cls) if f.name == name)


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise ConfigError(f"{name} is {getattr(settings, name)}; expected a number above 0")


def _siblings(phase: PhaseConfig | TranslationPhaseConfig) -> None:
    if phase.samples < 2:
        raise ConfigError(
            f"phase {phase.name!r}: samples is {phase.samples}; expected at least 2, since each "
            "is judged by the mean of the others"
        )


def in_range(cls: Any, name: str, value: Any) -> Any:
    """The value of a setting as a plain int or float; NumPy's numbers are as good as Python's.

    Args:
        cls: the settings that it belongs to.
        name: of a field with `within`.
        value: as somebody gave it.

    Raises:
        ConfigError: it is of another type, or out of range.
    """
    entry = next(entry for entry in fields(cls) if entry.name == name)
    low, high = entry.metadata["within"]
    whole = entry.type in ("int", int)
    number = _as_int(value) if whole else _as_float(value)
    if number is None or not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        bounds = f"from {low} to {high}" if whole else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {shown(value)}; expected {kind} {bounds}")
    return number


def check_workers(workers: Any) -> None:
    """Refuses numbers of threads that cannot be.

    Raises:
        ConfigError: it is no whole number, or out of range.
    """
    number = _as_int(workers)
    if number is None or not 1 <= number <= WORKERS:
        raise ConfigError(
            f"workers is {shown(workers)}; expected a whole number from 1 to {WORKERS}"
        )


def _as_int(value: Any) -> int | None:
    """A whole number, whatever its type; None for a truth value and for what is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _as_float(value: Any) -> float | None:
    """A number, whatever its type; None for a truth value, a text and for what is none."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # arrays, tensors, huge numbers
        return None


def _share(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise ConfigError(
                f"{name} is {getattr(settings, name)}; expected a share from 0 to below 1"
            )
