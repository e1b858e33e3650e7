"""What a model is made of, as plain settings: encoder, attention, decoder, and their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from captioner.errors import ConfigError
from captioner.settings import check_positive, check_share, setting

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
CELLS = ("lstm", "gru", "rnn")
SCORES = ("additive", "dot", "scaled_dot", "general", "cosine", "location")
KINDS = ("soft", "hard", "local_m", "local_p", "sentinel")
DROPOUTS = (  # what a model is trained or asked with, and no part of what it is
    "encoder.dropout",
    "encoder.word_dropout",
    "attention.dropout",
    "attention.hard.decode",
    "attention.hard.expected",
    "attention.hard.reward",
    "attention.hard.entropy",
    "decoder.dropout",
    "decoder.word_dropout",
    "photo.dropout",
    "photo_dropout",
)
NORMS = ("layer", "batch", "none")
POSITIONS = ("sinusoid", "learned", "none")
STAGES = 5  # of every backbone: each halves the resolution once, 2⁵ = 32
SIZE = 2**16  # features of anything, at most: two of that size already make 16 GB of weights
SIDE = 2**13  # pixels of a photo's square, at most
LAYERS = 100  # of anything, at most


def _kind() -> Any:
    return setting(
        "recurrent",
        "a recurrent network, or a Transformer (Vaswani et al. 2017)",
        choices=("recurrent", "transformer"),
    )


def _heads() -> Any:
    return setting(4, "Transformer: heads of the self-attention, which share its size evenly")


def _inner() -> Any:
    return setting(
        0, "Transformer: hidden size of the feed-forward networks; 0: four times the model's"
    )


def _norm() -> Any:
    return setting(
        "layer",
        "Transformer: layer normalisation (Ba et al. 2016), batch normalisation (Ioffe & Szegedy "
        "2015), or none",
        choices=NORMS,
    )


def _norm_first() -> Any:
    return setting(
        True,
        "Transformer: normalise what each part of a layer reads (pre-norm), not what it has added "
        "to (post-norm, as in the paper)",
    )


def _residual() -> Any:
    return setting(True, "Transformer: each part of a layer adds to what it read")


def _positions(of: str) -> Any:
    return setting(
        "sinusoid", f"Transformer: what tells {of} apart by its place", choices=POSITIONS
    )


def _check_shared(where: str, heads: int, name: str, size: int) -> None:
    if size % heads:
        raise ConfigError(
            f"{where}.heads is {heads}, which do not share {name} {size} evenly; choose a divisor "
            "of it"
        )


def _check_layers(where: str, settings: Any) -> None:
    check_positive(settings, "layers", most=LAYERS)
    if settings.inner < 0:
        raise ConfigError(f"{where}.inner is {settings.inner}; expected 0 or more")
    if settings.inner > 4 * SIZE:
        raise ConfigError(f"{where}.inner is {settings.inner}; expected at most {4 * SIZE:,}")


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
    refine: int = setting(
        0, "layers of self-attention in which the grid's cells look at one another; 0: none"
    )
    heads: int = setting(4, "with refine: heads of the self-attention")
    positions: str = setting(
        "sinusoid",
        "with refine: what tells a cell apart by its row and its column, half of the features each",
        choices=POSITIONS,
    )

    def __post_init__(self) -> None:
        check_positive(self, "image_size", most=SIDE)
        check_positive(self, "feature_size", "heads", most=SIZE)
        check_share(self, "dropout")
        _check_refined(self)
        if not 0 <= self.classes <= SIZE:
            raise ConfigError(f"encoder.classes is {self.classes}; expected 0 to {SIZE:,}")
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


def _check_refined(encoder: EncoderConfig) -> None:
    if encoder.refine < 0:
        raise ConfigError(f"encoder.refine is {encoder.refine}; expected 0 or more layers")
    if encoder.refine > LAYERS:
        raise ConfigError(f"encoder.refine is {encoder.refine}; expected at most {LAYERS} layers")
    if encoder.refine:
        _check_shared("encoder", encoder.heads, "encoder.feature_size", encoder.feature_size)


@dataclass(frozen=True)
class HardConfig:
    """How attention that draws one position a step is trained and asked (kind hard)."""

    decode: str = setting(
        "expectation",
        "what a trained model looks at: expectation, all positions by their weights; argmax, the "
        "likeliest one; sample, one that is drawn",
        choices=("expectation", "argmax", "sample"),
    )
    expected: float = setting(
        0.5, "share of the steps in training that look at the expectation instead of a draw"
    )
    reward: float = setting(
        0.1,
        "weight of REINFORCE, by which draws that made the words likelier than the moving baseline "
        "become likelier (lambda_r); at 1 the gradient's mean is exact, and its noise great",
    )
    entropy: float = setting(
        0.002, "weight of the reward for not being sure where to look (lambda_e)"
    )

    def __post_init__(self) -> None:
        if not 0 <= self.expected <= 1:
            raise ConfigError(f"hard.expected is {self.expected}; expected a share from 0 to 1")
        for name in ("reward", "entropy"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"hard.{name} is {getattr(self, name)}; expected 0 or more")


@dataclass(frozen=True)
class LocalConfig:
    """The window of attention that looks at a part of the memory (kinds local_m and local_p)."""

    radius: int = setting(
        3, "positions that can be looked at on either side of the centre; on a grid, cells"
    )
    renormalise: bool = setting(
        True,
        "local_p: weights under the Gaussian sum to 1; false, as in the paper: what the Gaussian "
        "takes off is lost to the context",
    )

    def __post_init__(self) -> None:
        check_positive(self, "radius", most=SIZE)


@dataclass(frozen=True)
class AttentionConfig:
    """How the decoder weighs the memory's positions."""

    score: str = setting(
        "additive",
        "how a position is scored against the query; none: no attention, all that the decoder "
        "knows is what the encoder summed up (the bottleneck)",
        choices=(*SCORES, "none"),
    )
    kind: str = setting(
        "soft",
        "soft: all positions, weighed; hard: one drawn position a step (Xu et al. 2015, section "
        "4.1); local_m, local_p: a window that moves on with the words, or goes where it predicts "
        "(Luong et al. 2015, section 3.2); sentinel: what the LSTM knows already competes with "
        "the positions (Lu et al. 2017)",
        choices=KINDS,
    )
    query: str = setting(
        "before",
        "state that asks: before the recurrent step (Bahdanau, Xu) or after it (Luong)",
        choices=("before", "after"),
    )
    size: int = setting(512, "hidden size of the additive score, of all heads together")
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
    coverage: bool = setting(
        False,
        "with score additive: it sees how much each position has been looked at so far (See et al. "
        "2017, eq. 11, after Tu et al. 2016)",
    )
    places: int = setting(
        128,
        "with score location: positions of a sentence that can be looked at, from the first on; of "
        "a photo it is all cells",
    )
    hard: HardConfig = setting(HardConfig, "attention that draws one position a step")
    local: LocalConfig = setting(LocalConfig, "attention to a part of the memory")

    def __post_init__(self) -> None:
        check_positive(self, "size", "heads", "places", most=SIZE)
        check_share(self, "dropout")
        self._check_kind()
        if self.heads > 1 and self.score == "none":
            raise ConfigError(
                f"attention.heads is {self.heads}, but with attention.score none nothing looks; "
                "choose a score, or set heads = 1"
            )
        if self.score == "additive" and self.size % self.heads:
            raise ConfigError(
                f"attention.heads is {self.heads}, which do not share attention.size {self.size} "
                "evenly; choose a divisor of it"
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

    def _check_kind(self) -> None:
        """Refuses what no paper defines."""
        if self.coverage and self.score != "additive":
            raise ConfigError(
                "attention.coverage is a part of the additive score, but attention.score is "
                f'{self.score}; set score = "additive", or coverage = false'
            )
        if self.kind != "soft" and self.score == "none":
            raise ConfigError(
                f"attention.kind is {self.kind}, but with attention.score none nothing looks; "
                'choose a score, or set kind = "soft"'
            )
        if self.kind in ("local_m", "local_p", "sentinel") and self.score == "location":
            raise ConfigError(
                f"attention.kind {self.kind} compares the query with what lies at a position, but "
                "attention.score location asks for the place alone; choose another score, or set "
                'kind = "soft" or "hard"'
            )
        if self.kind == "sentinel" and self.query == "before":
            raise ConfigError(
                "attention.kind sentinel is made by the recurrent step, but attention.query is "
                'before it; set query = "after", or another kind'
            )


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent network, or the Transformer, that writes the sentence."""

    kind: str = _kind()
    cell: str = setting("lstm", "recurrent cell", choices=CELLS)
    hidden_size: int = setting(512, "size of the recurrent state, or of the Transformer")
    embedding_size: int = setting(512, "size of a word embedding")
    dropout: float = setting(0.5, "share dropped of embeddings and of the deep output in training")
    word_dropout: float = setting(
        0.0, "share of the previous words that are hidden in training (Gal & Ghahramani 2016)"
    )
    gate: bool = setting(True, "scale the context by a learned gate (Xu et al. 2015, §4.2.1)")
    tie_embeddings: bool = setting(True, "use the embedding matrix as the output layer too")
    layers: int = setting(2, "Transformer: layers")
    heads: int = _heads()
    inner: int = _inner()
    norm: str = _norm()
    norm_first: bool = _norm_first()
    residual: bool = _residual()
    positions: str = _positions("a word of the sentence so far")
    map_layer: int = setting(
        0, "Transformer: layer whose look at the memory is the map, from 1; 0: the mean of all"
    )
    map_head: int = setting(
        0, "Transformer: head whose look at the memory is the map, from 1; 0: the mean of all"
    )

    def __post_init__(self) -> None:
        check_positive(self, "hidden_size", "embedding_size", "heads", most=SIZE)
        check_share(self, "dropout", "word_dropout")
        _check_layers("decoder", self)
        if self.kind == "transformer":
            _check_shared("decoder", self.heads, "decoder.hidden_size", self.hidden_size)
            if not 0 <= self.map_layer <= self.layers:
                raise ConfigError(
                    f"decoder.map_layer is {self.map_layer}, but there are {self.layers} layers "
                    f"(decoder.layers); choose 1 to {self.layers}, or 0 for the mean of all"
                )


@dataclass(frozen=True)
class CopyConfig:
    """Words of recognised things that go into a caption as they are."""

    things: int = setting(
        0,
        "likeliest things on the photo, by the encoder's classifier, whose words can be copied "
        "into the caption (CopyNet: Gu et al. 2016; LSTM-C: Yao et al. 2017); 0: none",
    )
    size: int = setting(64, "size of the vectors by which a thing is compared with what is needed")

    def __post_init__(self) -> None:
        check_positive(self, "size", most=SIZE)
        if not 0 <= self.things <= 100:
            raise ConfigError(f"copy.things is {self.things}; expected a number from 0 to 100")


@dataclass(frozen=True)
class ModelConfig:
    """A whole model: encoder, attention, decoder."""

    encoder: EncoderConfig = setting(EncoderConfig, "the photo's encoder")
    attention: AttentionConfig = setting(AttentionConfig, "the attention module")
    decoder: DecoderConfig = setting(DecoderConfig, "the decoder")
    copy: CopyConfig = setting(CopyConfig, "copying of what is recognised")

    def __post_init__(self) -> None:
        _check_decoder(self.attention, self.encoder.feature_size, self.decoder)


@dataclass(frozen=True)
class SentenceEncoderConfig:
    """What reads the source: a recurrent network in both directions, or a Transformer."""

    kind: str = _kind()
    cell: str = setting("lstm", "recurrent cell", choices=CELLS)
    hidden_size: int = setting(
        256, "state of each direction; a word has two of them (D), in a Transformer as well"
    )
    layers: int = setting(1, "layers, each reading what the one below it wrote")
    dropout: float = setting(
        0.3, "share dropped of embeddings, between layers and of the memory in training"
    )
    word_dropout: float = setting(0.0, "share of the source's words that are hidden in training")
    tie_embeddings: bool = setting(True, "use the decoder's embedding matrix")
    heads: int = _heads()
    inner: int = _inner()
    norm: str = _norm()
    norm_first: bool = _norm_first()
    residual: bool = _residual()
    positions: str = _positions("a word of the source")

    def __post_init__(self) -> None:
        check_positive(self, "hidden_size", "heads", most=SIZE)
        check_share(self, "dropout", "word_dropout")
        _check_layers("encoder", self)
        if self.kind == "transformer":
            _check_shared("encoder", self.heads, "a word's features", self.feature_size)

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
        _check_decoder(self.attention, self.encoder.feature_size, self.decoder)


@dataclass(frozen=True)
class CombinedAttentionConfig(AttentionConfig):
    """How the decoder weighs the positions of two memories, a sentence's and its photo's."""

    combination: str = setting(
        "hierarchical",
        "hierarchical: look at the sentence and at the photo, then weigh what was found in each; "
        "flat: one softmax over the positions of both (Libovický & Helcl 2017)",
        choices=("hierarchical", "flat"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score in ("none", "location"):
            raise ConfigError(
                "attention.combination weighs a sentence against its photo by what lies in them, "
                f"but attention.score is {self.score}; choose another score"
            )
        if self.kind != "soft" or self.coverage:
            raise ConfigError(
                f"attention has kind {self.kind} and coverage {str(self.coverage).lower()}; two "
                'memories are combined by soft attention alone: set kind = "soft" and coverage = '
                "false"
            )


@dataclass(frozen=True)
class MultimodalConfig(TranslationConfig):
    """A whole model of translation with the photo in view: the translator's, and a CNN."""

    attention: CombinedAttentionConfig = setting(
        lambda: CombinedAttentionConfig(score="general", query="after", input_feeding=True),
        "the attention module",
    )
    photo: EncoderConfig = setting(EncoderConfig, "the photo's encoder, whose CNN does not learn")
    photo_dropout: float = setting(
        0.0,
        "share of the sentences whose photo is hidden in training, so that they have to be read "
        "(ModDrop: Neverova et al. 2016)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "photo_dropout")
        if self.decoder.kind != "recurrent":
            raise ConfigError(
                f"decoder.kind is {self.decoder.kind}, but attention.combination is defined for a "
                'recurrent decoder (Libovický & Helcl 2017); set kind = "recurrent"'
            )
        if self.photo.feature_size != self.encoder.feature_size:
            raise ConfigError(
                f"photo.feature_size is {self.photo.feature_size}, but a word of the sentence has "
                f"{self.encoder.feature_size} features (encoder.feature_size), and the two are "
                "summed; make them equal"
            )
        if self.photo.classes:
            raise ConfigError(
                f"photo.classes is {self.photo.classes}, but nothing asks what is on the photo; "
                "set it to 0"
            )


def _check_decoder(attention: AttentionConfig, feature_size: int, decoder: DecoderConfig) -> None:
    """Refuses an attention that the decoder has no use for, and sizes that do not fit."""
    if decoder.kind == "recurrent":
        _check_sizes(attention, feature_size, decoder)
        return
    if attention.score == "none":
        raise ConfigError(
            "attention.score none is the bottleneck of a recurrent decoder; a Transformer sees the "
            'memory by its attention alone: choose a score, or set decoder.kind = "recurrent"'
        )
    if attention.input_feeding:
        raise ConfigError(
            "attention.input_feeding brings the last context into a recurrent step, but with "
            "decoder.kind transformer all words are read at once; set input_feeding = false"
        )
    if attention.kind != "soft" or attention.coverage or attention.score == "location":
        raise ConfigError(
            f"attention has kind {attention.kind}, score {attention.score} and coverage "
            f"{str(attention.coverage).lower()}; with decoder.kind transformer no paper defines "
            'other than soft attention by what is compared: set kind = "soft", coverage = false '
            "and a score that is not location"
        )
    _check_shared("attention", attention.heads, "decoder.hidden_size", decoder.hidden_size)
    if not 0 <= decoder.map_head <= attention.heads:
        raise ConfigError(
            f"decoder.map_head is {decoder.map_head}, but attention.heads is {attention.heads}; "
            f"choose 1 to {attention.heads}, or 0 for the mean of all"
        )


def _check_sizes(attention: AttentionConfig, feature_size: int, decoder: DecoderConfig) -> None:
    hidden_size = decoder.hidden_size
    if attention.kind == "sentinel" and decoder.cell != "lstm":
        raise ConfigError(
            f"attention.kind sentinel is made from an LSTM's cell, but decoder.cell is "
            f'{decoder.cell}; set cell = "lstm", or another kind'
        )
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
