"""A translator of a few words, trained within seconds and told which words belong together."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from captioner import checkpoint
from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import TranslationModel, build_translation_model
from captioner.options import SearchOptions
from captioner.settings import from_dict
from captioner.subwords import Pieces, Subwords
from captioner.text import EOS

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "rock": "Fels"}
VERBS = {"runs": "rennt", "sits": "sitzt"}
COLOURS = {"": "", "brown ": "brauner ", "white ": "weißer "}
LETTERS = " ".join("abcdefghijklmnopqrstuvwxyz")  # whatever a caption says can be read
STEPS = 120


def save(path: Path) -> None:
    """Writes the translator's checkpoint, English to German."""
    combined = list(itertools.product(COLOURS.items(), NOUNS.items(), VERBS.items()))
    english = [f"A {colour}{noun} {verb}." for (colour, _), (noun, _), (verb, _) in combined]
    german = [f"Ein {colour}{noun} {verb}." for (_, colour), (_, noun), (_, verb) in combined]
    checkpoint.save(made(english, german, "de"), path)


def made(english: list[str], others: list[str], to: str) -> checkpoint.TranslationCheckpoint:
    """A translator of sentences whose words stand at the same places in both languages."""
    torch.manual_seed(1)
    texts = [*english, *others, LETTERS]
    subwords = Subwords.train(texts, 160, ["en", to], byte_fallback=False)
    config = from_dict(
        TranslationConfig,
        {
            "encoder": {"hidden_size": 16, "dropout": 0.0, "tie_embeddings": False},
            "attention": {"size": 32},
            "decoder": {"hidden_size": 32, "embedding_size": 32, "dropout": 0.0},
        },
    )
    model = build_translation_model(config, len(subwords))
    sources = [subwords.encode(sentence) for sentence in english]
    targets = [subwords.encode(sentence) for sentence in others]
    _train(model, sources, targets, subwords.start(to))
    counted = {"en": [source.ids for source in sources], to: [target.ids for target in targets]}
    languages = Languages.count([("en", to)], counted, len(subwords))
    search = SearchOptions(max_length=60)
    return checkpoint.TranslationCheckpoint(
        model.eval(), config, subwords, languages, search=search
    )


def _train(
    model: TranslationModel, sources: list[Pieces], targets: list[Pieces], start: int
) -> None:
    """Cross-entropy, and attention on the word that stands at the same place."""
    read = [torch.tensor([*source.ids, EOS]) for source in sources]
    said = [torch.tensor([start, *target.ids]) for target in targets]
    lengths = torch.tensor([len(one) for one in said])
    goals = [torch.tensor([*target.ids, EOS]) for target in targets]
    expected = pack_sequence(goals, enforce_sorted=False).data
    source_words = _padded([torch.tensor([*source.owners, -1]) for source in sources], -1)
    target_words = _padded([torch.tensor([*target.owners, -2]) for target in targets], -2)
    together = target_words[:, :, None] == source_words[:, None]  # (B, T, N)
    inputs = (_padded(read, 0), torch.tensor([len(one) for one in read]))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(STEPS):
        found = model.decoder(_padded(said, 0), lengths, model.encoder(*inputs))
        looked = (found.weights[:, :, 0] * together).sum(-1)[together.any(-1)]
        loss = cross_entropy(found.logits.data, expected) - (looked + 1e-9).log().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)
