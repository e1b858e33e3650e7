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
from captioner.nn.encoders import ImageEncoder, build_features
from captioner.nn.recurrent import RecurrentDecoder
from captioner.nn.scores import SCORE_BUILDERS
from captioner.nn.sentences import SentenceEncoder
from captioner.nn.sighted import SightedEncoder
from captioner.text import PAD


@dataclass(frozen=True)
class Dropouts:
    """The shares dropped in training: of a phase, and no part of what a model is."""

    encoder: float
    encoder_words: float  # of a source sentence
    attention: float
    decoder: float
    decoder_words: float
    photo: float = 0.0  # beside a source sentence

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
        )

    def without_inputs(self) -> Dropouts:
        """Nothing dropped of what the decoder reads: of the memory, its weights and the words."""
        nothing = ("encoder", "encoder_words", "attention", "decoder_words", "photo")
        return replace(self, **dict.fromkeys(nothing, 0.0))


class CaptionModel(nn.Module):
    """A photo's encoder and the decoder that writes about it."""

    def __init__(self, encoder: ImageEncoder, decoder: RecurrentDecoder) -> None:
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
        self.encoder.dropout.p = rates.encoder
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

    def __init__(self, encoder: SentenceEncoder, decoder: RecurrentDecoder) -> None:
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

    def __init__(self, encoder: SightedEncoder, decoder: RecurrentDecoder) -> None:
        super().__init__(encoder.sentence, decoder)
        self.encoder = encoder

    def set_dropouts(self, rates: Dropouts) -> None:
        """Sets all shares that are dropped in training, but those between the encoder's layers."""
        sentence = self.encoder.sentence
        sentence.dropout.p, sentence.word_dropout.p = rates.encoder, rates.encoder_words
        self.encoder.photo.dropout.p = rates.photo
        _set_decoder_dropouts(self.decoder, rates)


def _set_decoder_dropouts(decoder: RecurrentDecoder, rates: Dropouts) -> None:
    decoder.set_dropout(
        attention=rates.attention, words=rates.decoder_words, features=rates.decoder
    )


def build_model(config: ModelConfig, vocabulary_size: int) -> CaptionModel:
    """A new model with random weights; the CNN's are filled by `encoders.load_pretrained`."""
    model = CaptionModel(
        _image_encoder(config.encoder),
        _decoder(config.decoder, config.attention, config.encoder.feature_size, vocabulary_size),
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
    )


def build_translation_model(config: TranslationConfig, vocabulary_size: int) -> TranslationModel:
    """A new translation model with random weights; both languages share one vocabulary."""
    encoder = config.encoder
    decoder = _decoder(config.decoder, config.attention, encoder.feature_size, vocabulary_size)
    embedding = decoder.embedding
    if not encoder.tie_embeddings:
        embedding = _embedding(vocabulary_size, config.decoder.embedding_size)
    network = (nn.LSTM if encoder.cell == "lstm" else nn.GRU)(
        embedding.embedding_dim,
        encoder.hidden_size,
        encoder.layers,
        batch_first=True,
        bidirectional=True,
        dropout=encoder.dropout if encoder.layers > 1 else 0.0,
    )
    return TranslationModel(
        SentenceEncoder(
            embedding, network, dropout=encoder.dropout, word_dropout=encoder.word_dropout
        ),
        decoder,
    )


def build_multimodal_model(config: MultimodalConfig, vocabulary_size: int) -> MultimodalModel:
    """A new model with random weights of translation with the photo in view."""
    model = build_translation_model(config, vocabulary_size)
    photo = _image_encoder(config.photo)
    photo.fine_tune(0)
    return MultimodalModel(SightedEncoder(model.encoder, photo), model.decoder)


def _decoder(
    settings: DecoderConfig, attention: AttentionConfig, feature_size: int, vocabulary_size: int
) -> RecurrentDecoder:
    """The decoder of either model, over a memory of `feature_size` features."""
    reads_context = attention.query == "before" or attention.input_feeding
    inputs = settings.embedding_size + (feature_size if reads_context else 0)
    looks = _attention(attention, settings.hidden_size, feature_size)
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


def _attention(
    settings: AttentionConfig, query_size: int, feature_size: int
) -> Attention | Bottleneck | Combined:
    if settings.score == "none":
        return Bottleneck(settings.every_step)
    if not isinstance(settings, CombinedAttentionConfig):
        return _one_attention(settings, query_size, feature_size)
    sentence = _one_attention(settings, query_size, feature_size)
    if settings.combination == "flat":
        return Flat(sentence)
    photo = _one_attention(settings, query_size, feature_size)
    return Hierarchical(sentence, photo, query_size, feature_size, settings.size)


def _one_attention(settings: AttentionConfig, query_size: int, feature_size: int) -> Attention:
    heads = None
    if settings.heads > 1:
        heads = Heads(settings.heads, query_size, feature_size)
        query_size = feature_size = heads.size
    score = SCORE_BUILDERS[settings.score](
        query_size, feature_size, settings.size // settings.heads
    )
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
