"""What a model is made of, as plain settings: encoder, attention, decoder, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

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
SCORES = ("additive", "dot", "scaled_dot", "general", "cosine")
DROPOUTS = (  # what a model is trained with, and no part of what it is
    "encoder.dropout",
    "encoder.word_dropout",
    "attention.dropout",
    "decoder.dropout",
    "decoder.word_dropout",
    "photo.dropout",
)
STAGES = 5  # of every backbone: each halves the resolution once, 2⁵ = 32


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
        check_positive(self, "image_size", "feature_size")
        check_share(self, "dropout")
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

    def __post_init__(self) -> None:
        check_positive(self, "size", "heads")
        check_share(self, "dropout")
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


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent network that writes the sentence."""

    cell: str = setting("lstm", "recurrent cell", choices=CELLS)
    hidden_size: int = setting(512, "size of the recurrent state")
    embedding_size: int = setting(512, "size of a word embedding")
    dropout: float = setting(0.5, "share dropped of embeddings and of the deep output in training")
    word_dropout: float = setting(
        0.0, "share of the previous words that are hidden in training (Gal & Ghahramani 2016)"
    )
    gate: bool = setting(True, "scale the context by a learned gate (Xu et al. 2015, §4.2.1)")
    tie_embeddings: bool = setting(True, "use the embedding matrix as the output layer too")

    def __post_init__(self) -> None:
        check_positive(self, "hidden_size", "embedding_size")
        check_share(self, "dropout", "word_dropout")


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
        check_positive(self, "size")
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
        check_positive(self, "hidden_size", "layers")
        check_share(self, "dropout", "word_dropout")

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
        if self.score == "none":
            raise ConfigError(
                "attention.combination weighs a sentence against its photo, but with "
                "attention.score none nothing is weighed; choose a score"
            )


@dataclass(frozen=True)
class MultimodalConfig(TranslationConfig):
    """A whole model of translation with the photo in view: the translator's, and a CNN."""

    attention: CombinedAttentionConfig = setting(
        lambda: CombinedAttentionConfig(score="general", query="after", input_feeding=True),
        "the attention module",
    )
    photo: EncoderConfig = setting(EncoderConfig, "the photo's encoder, whose CNN does not learn")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.photo.feature_size != self.encoder.feature_size:
            raise ConfigError(
                f"photo.feature_size is {self.photo.feature_size}, but a word of the sentence has "
                f"{self.encoder.feature_size} features (twice encoder.hidden_size), and the two "
                "are summed; make them equal"
            )
        if self.photo.classes:
            raise ConfigError(
                f"photo.classes is {self.photo.classes}, but nothing asks what is on the photo; "
                "set it to 0"
            )


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
