"""The composition root: settings become parts, and parts a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from captioner.errors import ConfigError
from captioner.nn.architecture import (
    AttentionConfig,
    CombinedAttentionConfig,
    CopyConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    MultimodalConfig,
    SentenceEncoderConfig,
    TranslationConfig,
)
from captioner.nn.attention import Attention, Bottleneck, Heads
from captioner.nn.cells import CELLS
from captioner.nn.combined import Combined, Flat, Hierarchical
from captioner.nn.decoder import Unrolled
from captioner.nn.distributions import Hard
from captioner.nn.encoders import ImageEncoder, build_features
from captioner.nn.positions import build_grid_positions, build_positions
from captioner.nn.recurrent import RecurrentDecoder
from captioner.nn.scores import SCORE_BUILDERS, Covering, Score
from captioner.nn.selfattention import GridRefiner, LayerPlan
from captioner.nn.sentences import SentenceEncoder, TransformerEncoder
from captioner.nn.sentinel import Adaptive
from captioner.nn.sighted import SightedEncoder
from captioner.nn.transformer import MapChoice, TransformerDecoder
from captioner.nn.windows import Monotonic, Predictive, Window
from captioner.text import PAD

AnyDecoder = RecurrentDecoder | TransformerDecoder
AnySentenceEncoder = SentenceEncoder | TransformerEncoder
_TIMES = 4  # the feed-forward network's hidden size, in that of the model (Vaswani et al. 2017)


@dataclass(frozen=True)
class Dropouts:
    """The shares dropped in training: of a phase, and no part of what a model is."""

    encoder: float
    encoder_words: float  # of a source sentence
    attention: float
    decoder: float
    decoder_words: float
    photo: float = 0.0  # beside a source sentence
    photos: float = 0.0  # whole ones

    @classmethod
    def of(cls, config: ModelConfig | TranslationConfig) -> Dropouts:
        """The rates that a model's settings name."""
        encoder, decoder = config.encoder, config.decoder
        words = encoder.word_dropout if isinstance(encoder, SentenceEncoderConfig) else 0.0
        return cls(
            encoder=encoder.dropout,
            encoder_words=words,
            attention=config.attention.dropout,
            decoder=decoder.dropout,
            decoder_words=decoder.word_dropout,
            photo=config.photo.dropout if isinstance(config, MultimodalConfig) else 0.0,
            photos=config.photo_dropout if isinstance(config, MultimodalConfig) else 0.0,
        )

    def without_inputs(self) -> Dropouts:
        """Nothing dropped of what the decoder reads: of the memory, its weights and the words."""
        nothing = ("encoder", "encoder_words", "attention", "decoder_words", "photo", "photos")
        return replace(self, **dict.fromkeys(nothing, 0.0))


class CaptionModel(nn.Module):
    """A photo's encoder and the decoder that writes about it."""

    def __init__(self, encoder: ImageEncoder, decoder: AnyDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, photos: Tensor, tokens: Tensor, lengths: Tensor, owners: Tensor | None = None
    ) -> Unrolled:
        """Teacher-forced logits and maps of given sentences about photos (B, 3, S, S)."""
        return self.decoder.unroll(tokens, lengths, self.encoder(photos), owners)

    def extend_vocabulary(self, size: int) -> None:
        """Makes room for new words behind the old ones, whose numbers and weights stay."""
        self.decoder.resize_vocabulary(size)

    def set_dropouts(self, rates: Dropouts) -> None:
        """Sets all shares that are dropped in training, which a phase may change."""
        self.encoder.set_dropout(rates.encoder)
        _set_decoder_dropouts(self.decoder, rates)

    def add_copying(self, settings: CopyConfig) -> None:
        """Lets the decoder copy the words of what the encoder recognises.

        Raises:
            ConfigError: the encoder has no classifier.
        """
        if self.encoder.classifier is None:
            raise ConfigError(
                f"copy.things is {settings.things}, but encoder.classes is 0: nothing tells the "
                "things apart that could be copied; train with a [teacher], or set things = 0"
            )
        classes = self.encoder.classifier.out_features
        self.decoder.add_copying(settings.size, settings.things, classes)

    @property
    def copied_classes(self) -> int | None:
        """How many classes have a word that can be copied; None where nothing is copied."""
        copying = self.decoder.copying
        return None if copying is None else len(copying.groups)

    def name_classes(self, tokens: Sequence[int]) -> None:
        """Tells the words of the classes that can be copied, in their order."""
        assert self.decoder.copying is not None, "this model does not copy"
        self.decoder.copying.name_classes(tokens)


class TranslationModel(nn.Module):
    """A sentence's encoder and the decoder that says it in another language."""

    def __init__(self, encoder: AnySentenceEncoder, decoder: AnyDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, sources: Tensor, source_lengths: Tensor, tokens: Tensor, lengths: Tensor
    ) -> Unrolled:
        """Teacher-forced logits and alignments of given translations (B, T) of sources (B, S)."""
        return self.decoder.unroll(tokens, lengths, self.encoder(sources, source_lengths))

    def set_dropouts(self, rates: Dropouts) -> None:
        """Sets all shares that are dropped in training, but those between the encoder's layers."""
        self.encoder.dropout.p, self.encoder.word_dropout.p = rates.encoder, rates.encoder_words
        _set_decoder_dropouts(self.decoder, rates)


class MultimodalModel(TranslationModel):
    """A sentence's and a photo's encoder, and the decoder that says it in another language."""

    encoder: SightedEncoder  # type: ignore[assignment]

    def __init__(self, encoder: SightedEncoder, decoder: AnyDecoder) -> None:
        super().__init__(encoder.sentence, decoder)
        self.encoder = encoder

    def set_dropouts(self, rates: Dropouts) -> None:
        """Sets all shares that are dropped in training, but those between the encoder's layers."""
        sentence = self.encoder.sentence
        sentence.dropout.p, sentence.word_dropout.p = rates.encoder, rates.encoder_words
        self.encoder.photo.set_dropout(rates.photo)
        self.encoder.hidden = rates.photos
        _set_decoder_dropouts(self.decoder, rates)


def _set_decoder_dropouts(decoder: AnyDecoder, rates: Dropouts) -> None:
    decoder.set_dropout(
        attention=rates.attention, words=rates.decoder_words, features=rates.decoder
    )


def build_model(config: ModelConfig, vocabulary_size: int) -> CaptionModel:
    """A new model with random weights; the CNN's are filled by `encoders.load_pretrained`."""
    encoder = config.encoder
    model = CaptionModel(
        _image_encoder(encoder),
        _decoder(
            config.decoder,
            config.attention,
            encoder.feature_size,
            vocabulary_size,
            cells=(encoder.image_size // encoder.stride) ** 2,
        ),
    )
    if config.copy.things:
        model.add_copying(config.copy)
    return model


def _image_encoder(settings: EncoderConfig) -> ImageEncoder:
    stride = 32 if settings.lateral else settings.stride  # the fourth stage brings the finer grid
    return ImageEncoder(
        build_features(settings.name, stride, settings.stages),
        settings.name,
        settings.feature_size,
        settings.dropout,
        settings.stages,
        settings.lateral,
        settings.classes,
        _refiner(settings),
    )


def build_translation_model(config: TranslationConfig, vocabulary_size: int) -> TranslationModel:
    """A new translation model with random weights; both languages share one vocabulary."""
    encoder = config.encoder
    decoder = _decoder(config.decoder, config.attention, encoder.feature_size, vocabulary_size)
    embedding = decoder.embedding
    if not encoder.tie_embeddings:
        embedding = _embedding(vocabulary_size, config.decoder.embedding_size)
    return TranslationModel(_sentence_encoder(encoder, embedding), decoder)


def _sentence_encoder(
    settings: SentenceEncoderConfig, embedding: nn.Embedding
) -> AnySentenceEncoder:
    if settings.kind == "transformer":
        return TransformerEncoder(
            embedding,
            _plan(settings, settings.feature_size),
            settings.layers,
            positions=build_positions(settings.positions, settings.feature_size),
            dropout=settings.dropout,
            word_dropout=settings.word_dropout,
        )
    network = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[settings.cell](
        embedding.embedding_dim,
        settings.hidden_size,
        settings.layers,
        batch_first=True,
        bidirectional=True,
        dropout=settings.dropout if settings.layers > 1 else 0.0,
    )
    return SentenceEncoder(
        embedding, network, dropout=settings.dropout, word_dropout=settings.word_dropout
    )


def _refiner(encoder: EncoderConfig) -> GridRefiner | None:
    if not encoder.refine:
        return None
    size = encoder.feature_size
    plan = LayerPlan(size, encoder.heads, _TIMES * size)
    positions = build_grid_positions(encoder.positions, size)
    return GridRefiner(plan, encoder.refine, positions, encoder.dropout)


def _plan(settings: SentenceEncoderConfig | DecoderConfig, size: int) -> LayerPlan:
    return LayerPlan(
        size,
        settings.heads,
        settings.inner or _TIMES * size,
        settings.norm,
        settings.norm_first,
        settings.residual,
    )


def build_multimodal_model(config: MultimodalConfig, vocabulary_size: int) -> MultimodalModel:
    """A new model with random weights of translation with the photo in view."""
    model = build_translation_model(config, vocabulary_size)
    photo = _image_encoder(config.photo)
    photo.fine_tune(0)
    return MultimodalModel(
        SightedEncoder(model.encoder, photo, config.photo_dropout), model.decoder
    )


def _decoder(
    settings: DecoderConfig,
    attention: AttentionConfig,
    feature_size: int,
    vocabulary_size: int,
    cells: int | None = None,
) -> AnyDecoder:
    """The decoder of either model, over a memory of `feature_size` features.

    Args:
        settings: of the decoder.
        attention: its settings.
        feature_size: D.
        vocabulary_size: V.
        cells: of the grid that the memory is, if it is one.
    """
    if settings.kind == "transformer":
        return _transformer(settings, attention, feature_size, vocabulary_size)
    reads_context = attention.query == "before" or attention.input_feeding
    inputs = settings.embedding_size + (feature_size if reads_context else 0)
    looks = build_attention(attention, settings.hidden_size, feature_size, inputs, cells)
    return RecurrentDecoder(
        looks,
        _embedding(vocabulary_size, settings.embedding_size),
        CELLS[settings.cell](inputs, settings.hidden_size),
        context_size=feature_size,
        query=attention.query,
        input_feeding=attention.input_feeding,
        gate=settings.gate,
        tie_embeddings=settings.tie_embeddings,
        dropout=settings.dropout,
        word_dropout=settings.word_dropout,
    )


def _transformer(
    settings: DecoderConfig, attention: AttentionConfig, feature_size: int, vocabulary_size: int
) -> TransformerDecoder:
    size = settings.hidden_size
    heads = Heads(attention.heads, size, size)  # with projections, even if there is one alone
    return TransformerDecoder(
        _embedding(vocabulary_size, settings.embedding_size),
        [_looking(attention, heads) for _ in range(settings.layers)],
        _plan(settings, size),
        memory_size=feature_size,
        positions=build_positions(settings.positions, size),
        maps=MapChoice(settings.map_layer, settings.map_head),
        tie_embeddings=settings.tie_embeddings,
        dropout=settings.dropout,
        attention_dropout=attention.dropout,
        word_dropout=settings.word_dropout,
    )


def build_attention(
    settings: AttentionConfig,
    query_size: int,
    feature_size: int,
    input_size: int,
    cells: int | None,
) -> Attention | Bottleneck | Combined:
    """The attention that settings ask for.

    Args:
        settings: its own.
        query_size: Q, of the recurrent state.
        feature_size: D, of the memory.
        input_size: of what the cell reads, for a sentinel.
        cells: of the grid that the memory is; None for a sentence.
    """
    if settings.score == "none":
        return Bottleneck(settings.every_step)
    sizes = query_size, feature_size, input_size
    if not isinstance(settings, CombinedAttentionConfig):
        return _one_attention(settings, *sizes, cells)
    sentence = _one_attention(settings, *sizes, None)
    if settings.combination == "flat":
        return Flat(sentence)
    photo = _one_attention(settings, *sizes, None)
    return Hierarchical(sentence, photo, query_size, feature_size, settings.size)


def _one_attention(
    settings: AttentionConfig,
    query_size: int,
    feature_size: int,
    input_size: int,
    cells: int | None,
) -> Attention:
    heads, asked, compared = None, query_size, feature_size
    if settings.heads > 1:
        heads = Heads(settings.heads, query_size, feature_size)
        asked = compared = heads.size
    places = settings.places if cells is None else cells
    size = settings.size // settings.heads
    score: Score = SCORE_BUILDERS[settings.score](asked, compared, size, places)
    if settings.coverage:
        score = Covering(asked, compared, size)
    if settings.kind == "sentinel":
        return Adaptive(
            score,
            query_size=query_size,
            value_size=feature_size,
            input_size=input_size,
            heads=heads,
            dropout=settings.dropout,
        )
    hard = settings.hard
    return Attention(
        score,
        heads=heads,
        window=_window(settings, query_size, axes=1 if cells is None else 2),
        distribution=Hard(hard.decode, hard.expected) if settings.kind == "hard" else None,
        dropout=settings.dropout,
    )


def _window(settings: AttentionConfig, query_size: int, axes: int) -> Window | None:
    """What limits the view, if anything does."""
    local = settings.local
    if settings.kind == "local_m":
        return Monotonic(local.radius)
    if settings.kind == "local_p":
        return Predictive(
            query_size,
            local.radius,
            heads=settings.heads,
            axes=axes,
            renormalise=local.renormalise,
        )
    return None


def _looking(settings: AttentionConfig, heads: Heads) -> Attention:
    """Heads that look at once, each with a share of the score's size."""
    score = SCORE_BUILDERS[settings.score](heads.size, heads.size, settings.size // heads.count)
    return Attention(score, heads=heads, dropout=settings.dropout)


def _embedding(words: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(words, size)
    # As an output layer the matrix would start with logits of a deviation of 22 instead of about 1.
    nn.init.normal_(embedding.weight, std=size**-0.5)
    with torch.no_grad():
        embedding.weight[PAD] = 0
    return embedding


def tied(model: nn.Module) -> dict[str, str]:
    """Names of parameters that are the same as an earlier one, with the earlier one's name."""
    first: dict[int, str] = {}
    names = model.named_parameters(remove_duplicate=False)
    found = ((name, first.setdefault(id(parameter), name)) for name, parameter in names)
    return {name: original for name, original in found if name != original}
