"""A checkpoint between two others: the mean of their weights (Wortsman et al. 2022, "Model soups").

Two captioners that were trained on from the same one can be averaged, and often beat both: one
that points better and one that says more, for instance. Words are matched by what they are; one
that the first does not know keeps the second's weights.

    python -m benchmarks.between FIRST.safetensors SECOND.safetensors -o BETWEEN.safetensors

What chose the share belongs beside the file: try some, on validation photos.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from captioner import storage
from captioner.captions.checkpoint import Checkpoint
from captioner.errors import CaptionerError, CheckpointError

OF_WORDS = ("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias")


def between(first: Checkpoint, second: Checkpoint, share: float) -> Checkpoint:
    """The mean of two captioners of one shape, with the second's words and no confidence.

    Args:
        first: what is mixed in.
        second: whose vocabulary, preprocessing and classes are kept.
        share: of the second's weights, 0 to 1.

    Raises:
        CheckpointError: their models differ in more than their vocabulary.
    """
    if first.config != second.config:
        raise CheckpointError("the two checkpoints hold different models; nothing lies between")
    places = _places(first.vocabulary.words, second.vocabulary.words)
    model = copy.deepcopy(second.model)
    old, new = first.model.state_dict(), model.state_dict()
    for name, value in new.items():
        other = old[name]
        if name in OF_WORDS:  # a row a word
            known = (places >= 0).view(-1, *[1] * (value.dim() - 1))
            other = torch.where(known, other[places.clamp(min=0)], value)
        if value.is_floating_point():
            new[name] = torch.lerp(other, value, share)
    model.load_state_dict(new)
    kept = {"share": share, "first": dict(first.provenance)}  # the second's is the file's own
    own = {name: value for name, value in second.provenance.items() if name != "scores"}
    provenance = {**own, "between": kept}
    return dataclasses.replace(second, model=model, provenance=provenance, confidence=None)


def _places(first: Sequence[str], second: Sequence[str]) -> Tensor:
    """Where each word of the second stands in the first; −1 where it is not there."""
    known = {word: place for place, word in enumerate(first)}
    return torch.tensor([known.get(word, -1) for word in second])


def main() -> None:
    """Writes the checkpoint between two."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", help="a captioner's checkpoint")
    parser.add_argument("second", help="one that began as it did; its words are kept")
    parser.add_argument("--share", type=float, default=0.5, help="of the second (default: 0.5)")
    parser.add_argument("-o", "--output", required=True, help="where to write")
    arguments = parser.parse_args()
    if not 0 <= arguments.share <= 1:
        parser.error(f"--share is {arguments.share}; expected 0 to 1")
    if Path(arguments.output).exists():
        parser.error(f"{arguments.output} is there already; name a new file")
    try:
        first, second = Checkpoint.load(arguments.first), Checkpoint.load(arguments.second)
        storage.save(between(first, second, arguments.share), arguments.output)
    except CaptionerError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
