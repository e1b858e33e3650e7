"""A translator's start with pieces of its own, and what an earlier translator knows.

A new language needs pieces that a trained checkpoint has not, and training from nothing takes hours
to learn what that checkpoint knew. Whatever has the same shape is taken over; embeddings and output
rows are matched by the pieces that they stand for, the tags of languages among them; a piece that
the earlier one lacks keeps its random row.

    python -m benchmarks.grown configs/everyday.toml --from shipped -o runs/grown.safetensors
    captioner train configs/everyday.toml --init runs/grown.safetensors
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from captioner import storage, tasks
from captioner.errors import CaptionerError, CheckpointError
from captioner.recipes.files import read_recipe
from captioner.translations.checkpoint import TranslationCheckpoint


def grown(new: TranslationCheckpoint, old: TranslationCheckpoint) -> TranslationCheckpoint:
    """A new translator that knows what an earlier one knew.

    Args:
        new: whose pieces, languages and settings are kept.
        old: what is taken over.

    Raises:
        CheckpointError: their models differ in more than their pieces.
    """
    model = copy.deepcopy(new.model)
    weights, earlier = model.state_dict(), old.model.state_dict()
    if _shapes(weights) != _shapes(earlier):
        raise CheckpointError("the two translators hold different models; nothing is taken over")
    known = {piece: place for place, piece in enumerate(old.subwords.pieces)}
    shared = [(n, known[piece]) for n, piece in enumerate(new.subwords.pieces) if piece in known]
    mine, theirs = torch.tensor(shared).T
    for name, value in weights.items():
        if _of_pieces(name):
            value[mine] = earlier[name][theirs].to(value)
        else:
            value.copy_(earlier[name])
    kept = {"shared_pieces": len(shared), "first": dict(old.provenance)}
    return dataclasses.replace(new, model=model, provenance={**new.provenance, "grown": kept})


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Of every tensor, without the number of pieces."""
    return {
        name: tuple(v.shape[1:] if _of_pieces(name) else v.shape) for name, v in weights.items()
    }


def _of_pieces(name: str) -> bool:
    """Whether a tensor has a row a piece."""
    return name.endswith("embedding.weight") or name.startswith("decoder.output.")


def main() -> None:
    """Writes the start of a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", help="of a translator, whose pieces are learned from its pairs")
    parser.add_argument("--from", dest="old", required=True, help="checkpoint, or `shipped`")
    parser.add_argument("-o", "--output", required=True, help="where to write")
    arguments = parser.parse_args()
    if Path(arguments.output).exists():
        parser.error(f"{arguments.output} is there already; name a new file")
    try:
        old = TranslationCheckpoint.load(None if arguments.old == "shipped" else arguments.old)
        recipe = read_recipe(arguments.recipe)
        task = tasks.of(recipe)
        torch.manual_seed(recipe.seed)
        new = task.start(recipe, task.read(recipe))
        if not isinstance(new, TranslationCheckpoint):
            parser.error(f"{arguments.recipe} is no recipe of a translator")
        storage.save(grown(new, old), arguments.output)
    except CaptionerError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
