"""The composition root: settings become parts, and parts a model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioner.config import ModelConfig
from captioner.nn.attention import SCORE_BUILDERS, Attention
from captioner.nn.decoder import Decoder, Unrolled
from captioner.nn.encoders import ImageEncoder, build_features
from captioner.text import PAD


class CaptionModel(nn.Module):
    """A photo's encoder and the decoder that writes about it."""

    def __init__(self, encoder: ImageEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, photos: Tensor, tokens: Tensor, lengths: Tensor, owners: Tensor | None = None
    ) -> Unrolled:
        """Teacher-forced logits and maps of given sentences about photos (B, 3, S, S)."""
        return self.decoder(tokens, lengths, self.encoder(photos), owners)

    @torch.no_grad()
    def extend_vocabulary(self, size: int) -> None:
        """Makes room for new words behind the old ones, whose numbers and weights stay.

        A new word starts at the mean of the old embeddings: rare and neutral, until it is learned.
        """
        old, output = self.decoder.embedding, self.decoder.output
        added = size - old.num_embeddings
        tied = output.weight is old.weight
        embedding = nn.Embedding(size, old.embedding_dim).to(old.weight)
        embedding.weight.copy_(_grown(old.weight, added))
        new_output = nn.Linear(output.in_features, size).to(old.weight)
        new_output.bias.copy_(_grown(output.bias, added))
        if tied:
            new_output.weight = embedding.weight
        else:
            new_output.weight.copy_(_grown(output.weight, added))
        self.decoder.embedding, self.decoder.output = embedding, new_output


def _grown(old: Tensor, added: int) -> Tensor:
    return torch.cat([old, old.mean(0, keepdim=True).expand(added, *old.shape[1:])])


def build_model(config: ModelConfig, vocabulary_size: int) -> CaptionModel:
    """A new model with random weights; the CNN's are filled by `encoders.load_pretrained`."""
    encoder, attention, decoder = config.encoder, config.attention, config.decoder
    stride = 32 if encoder.lateral else encoder.stride  # the fourth stage brings the finer grid
    features = build_features(encoder.name, stride, encoder.stages)
    score = SCORE_BUILDERS[attention.score](
        decoder.hidden_size, encoder.feature_size, attention.size
    )
    embedding = nn.Embedding(vocabulary_size, decoder.embedding_size)
    # As an output layer the matrix would start with logits of a deviation of 22 instead of about 1.
    nn.init.normal_(embedding.weight, std=decoder.embedding_size**-0.5)
    with torch.no_grad():
        embedding.weight[PAD] = 0
    cell = nn.LSTMCell if decoder.cell == "lstm" else nn.GRUCell
    reads_context = attention.query == "before" or attention.input_feeding
    context = encoder.feature_size if reads_context else 0
    return CaptionModel(
        ImageEncoder(
            features,
            encoder.name,
            encoder.feature_size,
            encoder.dropout,
            encoder.stages,
            encoder.lateral,
        ),
        Decoder(
            Attention(score),
            embedding,
            cell(decoder.embedding_size + context, decoder.hidden_size),
            context_size=encoder.feature_size,
            query=attention.query,
            input_feeding=attention.input_feeding,
            gate=decoder.gate,
            tie_embeddings=decoder.tie_embeddings,
            dropout=decoder.dropout,
        ),
    )
