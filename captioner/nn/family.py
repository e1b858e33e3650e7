"""Which of the family's moves a model's attention makes, in plain values."""

from __future__ import annotations

from typing import Any

from captioner.nn.architecture import (
    CombinedAttentionConfig,
    ModelConfig,
    TranslationConfig,
)


def moves(config: ModelConfig | TranslationConfig) -> dict[str, Any]:
    """What the settings say of the attention, for whoever draws its steps.

    Returns:
        Among the settings by their names, `looks`: (layer, head) of each look of a step, in the
        order of `tracing.Trace`; the layer is 0 in a recurrent decoder, which has none.
    """
    attention, decoder = config.attention, config.decoder
    transformer = decoder.kind == "transformer"
    layers, numbers = [0], range(1, attention.heads + 1)
    if transformer:
        layers = [decoder.map_layer] if decoder.map_layer else [*range(1, decoder.layers + 1)]
    if transformer and decoder.map_head:
        numbers = range(decoder.map_head, decoder.map_head + 1)
    combination = ""
    if isinstance(attention, CombinedAttentionConfig):
        combination = attention.combination
    return {
        "score": attention.score,
        "kind": attention.kind,
        "query": attention.query,
        "decoder": decoder.kind,
        "cell": decoder.cell,
        "decode": attention.hard.decode,
        "fed": not transformer and attention.input_feeding,
        "coverage": attention.coverage,
        "looks": [[layer, head] for layer in layers for head in numbers],
        "combination": combination,
    }
