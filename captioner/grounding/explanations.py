"""Other explanations of the same word, and which of them knows where covering pixels hurts it.

Gradient × input (Shrikumar et al. 2017, "Learning Important Features") and Grad-CAM (Selvaraju et
al. 2017) explain the word's log probability by what the encoder made of the photo; pixel occlusion
(`covering.occlusion`) covers the photo itself and so is the yardstick of cause: a map is good as
far as it ranks the patches of the photo as occlusion does.

A class activation map (Zhou et al. 2016) shows where the CNN's own classifier saw the word's kind.

The two gradients are one call of `torch.autograd.grad` each, over a batch of words and without the
CNN; a library of explanations would encode the photo anew for every word.

Shapes: B photos, M words, N cells, D features, C channels of the CNN, h×w a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.grounding.covering import Words
from captioner.grounding.reading import read_sentences, word_log_prob
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel

_WORDS = 32  # whose gradients are taken together


def attention(model: CaptionModel, memory: Memory, words: Words) -> tuple[Tensor, Tensor]:
    """The attention of each word's step and of the step behind it, (M, N) each."""
    maps = read_sentences(model.decoder, memory, words.tokens, words.owners).maps  # (M, T, N)
    rows, places = torch.arange(len(maps)), torch.tensor(words.places)
    return maps[rows, places].cpu(), maps[rows, places + 1].cpu()


def gradients(model: CaptionModel, memory: Memory, words: Words) -> dict[str, Tensor]:
    """Explanations by the gradient at the cells' features (the annotation vectors of Xu et al.).

    Args:
        model: in evaluation mode.
        memory: of B photos, fresh from the encoder.
        words: M of them.

    Returns:
        "gradient × input": Σ_d g_d · v_d of each cell, (M, N), of either sign; "Grad-CAM, cells":
        Grad-CAM with the cells' features as its channels, (M, N), from 0 up.
    """
    found: dict[str, list[Tensor]] = {"gradient × input": [], "Grad-CAM, cells": []}
    for part in _parts(words):
        own = memory.select(torch.tensor(part.owners, device=memory.device))
        values = own.values.detach().clone().requires_grad_()  # (M, N, D)
        slope = _slope(model, replace(own, values=values), part, values)
        product = slope * values.detach()
        found["gradient × input"].append(product.sum(-1).cpu())
        weights = slope.mean(1, keepdim=True)  # (M, 1, D)
        found["Grad-CAM, cells"].append((weights * values.detach()).sum(-1).relu().cpu())
    return {name: torch.cat(several) for name, several in found.items()}


def grad_cam(model: CaptionModel, grid: Tensor, words: Words) -> Tensor:
    """Grad-CAM at the CNN's last stage, where it is usually taken, (M, h, w), from 0 up.

    Args:
        model: in evaluation mode.
        grid: feature maps (B, h, w, C) as `ImageEncoder.grid` gives them; with a lateral
            connection only the last stage's channels count.
        words: M of them.
    """
    channels = model.encoder.project.in_features
    found = []
    for part in _parts(words):
        own = grid[torch.tensor(part.owners, device=grid.device)].detach()
        last = own[..., :channels].clone().requires_grad_()
        memory = model.encoder.read(torch.cat([last, own[..., channels:]], -1))
        slope = _slope(model, memory, part, last)
        weights = slope.mean((1, 2), keepdim=True)  # (M, 1, 1, C)
        found.append((weights * last.detach()).sum(-1).relu().cpu())
    return torch.cat(found)


def class_activation(
    model: CaptionModel, grid: Tensor, owners: Sequence[int], classes: Sequence[Sequence[int]]
) -> Tensor:
    """Where the encoder's classifier saw the kinds that a word names: Zhou et al. 2016, eq. 2.

    Args:
        model: whose encoder has a classifier.
        grid: feature maps (B, h, w, C) as `ImageEncoder.grid` gives them.
        owners: the photo of each of M words.
        classes: of the classifier, at least one a word; each counts for its share of their
            probability.

    Returns:
        (M, h, w), of either sign.
    """
    classifier = model.encoder.classifier
    assert classifier is not None, "class activation maps need an encoder with a classifier"
    with torch.no_grad():
        odds = model.encoder.recognise(grid)  # (B, classes)
        found = []
        for owner, own in zip(owners, classes, strict=True):
            kinds = torch.tensor(own, device=grid.device)
            weights = odds[owner, kinds].softmax(-1) @ classifier.weight[kinds]  # (C,)
            found.append(grid[owner, ..., : classifier.in_features].to(weights.dtype) @ weights)
    return torch.stack(found).float().cpu()


def _parts(words: Words) -> list[Words]:
    starts = range(0, len(words.places), _WORDS)
    return [
        Words(*(several[start : start + _WORDS] for several in vars(words).values()))
        for start in starts
    ]


@torch.enable_grad()
def _slope(model: CaptionModel, memory: Memory, words: Words, at: Tensor) -> Tensor:
    """The gradient of each word's log probability, each about a memory of its own."""
    count = list(range(len(words.places)))
    told = word_log_prob(model.decoder, memory, words.tokens, words.places, count)
    [slope] = torch.autograd.grad(told.sum(), at)
    return slope


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks along the last axis, from 0 up; equal values share their mean rank."""
    below = (values[..., :, None] > values[..., None, :]).sum(-1)
    equal = (values[..., :, None] == values[..., None, :]).sum(-1)
    return below + (equal - 1) / 2


def rank_correlation(maps: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's rank correlation (M,) of maps (M, N), −1 to 1; nan of a map that is even."""
    first, second = (r - r.mean(-1, keepdims=True) for r in (ranks(maps), ranks(others)))
    lengths = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, (first * second).sum(-1) / lengths, np.nan)
