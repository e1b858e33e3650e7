"""benchmarks/grown.py: a translator's start with pieces of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import grown
from captioner import storage
from captioner.errors import CheckpointError
from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import build_translation_model
from captioner.settings import from_dict, to_dict
from captioner.subwords import Subwords
from captioner.translations.checkpoint import TranslationCheckpoint
from captioner.translations.translator import Translator

SPANISH = ("Soy estudiante.", "Un perro corre sobre el tronco.", "Dos hombres duermen.")


def new(old: TranslationCheckpoint, config: TranslationConfig) -> TranslationCheckpoint:
    """Untrained, with all of the old pieces' letters, a language more, and other numbers."""
    texts = [*SPANISH, *"".join(p for p in old.subwords.pieces if len(p) == 1)]
    subwords = Subwords.train(texts * 3, 400, ["es", *old.subwords.languages], byte_fallback=True)
    read = {"es": [subwords.encode(text).ids for text in SPANISH], "en": []}
    languages = Languages.count([("es", "en")], read, len(subwords))
    torch.manual_seed(8)
    model = build_translation_model(config, len(subwords))
    return TranslationCheckpoint(model, config, subwords, languages)


def rows(checkpoint: TranslationCheckpoint, name: str) -> dict[str, torch.Tensor]:
    value = checkpoint.model.state_dict()[name]
    return dict(zip(checkpoint.subwords.pieces, value, strict=True))


def test_shared_pieces_and_all_else_are_taken_over(tiny_translation: TranslationCheckpoint) -> None:
    before = new(tiny_translation, tiny_translation.config)
    after = grown.grown(before, tiny_translation)
    old, taken = tiny_translation.model.state_dict(), after.model.state_dict()
    assert after.subwords == before.subwords
    for name in ("encoder.embedding.weight", "decoder.output.weight", "decoder.output.bias"):
        random, known = rows(before, name), rows(tiny_translation, name)
        for piece, row in rows(after, name).items():
            assert torch.equal(row, known[piece] if piece in known else random[piece]), piece
        assert 0 < len(random.keys() & known.keys()) < len(random)
    for name in taken.keys() - {
        n for n in taken if n.endswith("embedding.weight") or ".output." in n
    }:
        assert torch.equal(taken[name], old[name]), name
    shared = set(before.subwords.pieces) & set(tiny_translation.subwords.pieces)
    assert after.provenance["grown"]["shared_pieces"] == len(shared)


def test_the_very_pieces_make_the_very_translator(tiny_translation: TranslationCheckpoint) -> None:
    torch.manual_seed(9)
    model = build_translation_model(tiny_translation.config, len(tiny_translation.subwords))
    blank = TranslationCheckpoint(
        model, tiny_translation.config, tiny_translation.subwords, tiny_translation.languages
    )
    again = Translator(grown.grown(blank, tiny_translation))
    assert again("A dog runs over the log.", to="de", beam_size=3).text == (
        Translator(tiny_translation)("A dog runs over the log.", to="de", beam_size=3).text
    )


def test_other_models_are_refused(tiny_translation: TranslationCheckpoint) -> None:
    values = to_dict(tiny_translation.config)
    values["decoder"]["hidden_size"] = 32
    other = new(tiny_translation, from_dict(TranslationConfig, values))
    with pytest.raises(CheckpointError, match=r"different models; nothing is taken over"):
        grown.grown(other, tiny_translation)


def test_a_recipe_starts_from_an_earlier_checkpoint(
    tiny_translation: TranslationCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.safetensors"
    storage.save(tiny_translation, old)
    for name, texts in (("es", SPANISH), ("en", ("I am a student.", "A dog.", "Two men."))):
        (tmp_path / f"few.{name}").write_text("\n".join(texts), encoding="utf-8")
    recipe = tmp_path / "few.toml"
    recipe.write_text(
        f"""
        task = "translate"
        [data]
        subwords = 320
        [[data.train]]
        source = "{tmp_path}/few.es"
        target = "{tmp_path}/few.en"
        languages = ["es", "en"]
        [[data.validation]]
        source = "{tmp_path}/few.es"
        target = "{tmp_path}/few.en"
        languages = ["es", "en"]
        [model.encoder]
        hidden_size = 32
        [model.decoder]
        hidden_size = 64
        embedding_size = 64
        """
    )
    out = tmp_path / "start.safetensors"
    line = ["grown", str(recipe), "--from", str(old), "-o", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    grown.main()
    found = TranslationCheckpoint.load(out)
    assert "<2en>" in found.subwords.pieces
    assert found.provenance["grown"]["shared_pieces"] > 4
    with pytest.raises(SystemExit):
        grown.main()
