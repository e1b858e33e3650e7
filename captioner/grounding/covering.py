"""Photos with a part of them covered, and what becomes of a word.

Cells of the memory are covered by hiding them from the attention, as if the photo had none there.
The pixels behind them are covered before the encoder sees the photo. The two differ: a cell's
features come from far around it, wider than the photo for most encoders, so a hidden cell's
neighbours still tell of it.

Shapes: B photos of S×S pixels, M words of given sentences, V covered versions, h×w a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from captioner.grounding.reading import word_log_prob
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel

FILLS = ("mean", "blur")
_ENCODED = 64  # photos at a time
_READ = 512  # sentences at a time


@dataclass(frozen=True)
class Words:
    """M words of given sentences about B photos."""

    tokens: list[list[int]]  # M sentences, without start and end
    places: list[int]  # of the words
    owners: list[int]  # photo of each, 0 to B − 1


def filled(photos: Tensor, fill: str) -> Tensor:
    """What covered pixels of normalised photos (B, 3, S, S) show instead, (B, 3, S, S).

    Args:
        photos: normalised, so that 0 is the mean of the CNN's training photos.
        fill: "mean", that even grey, or "blur", the photo out of focus (a deviation of a tenth of
            its side): colours stay, things do not (Fong and Vedaldi 2017).
    """
    if fill == "mean":
        return torch.zeros_like(photos)
    side = photos.shape[-1]
    return gaussian_blur(photos, [2 * (side // 4) + 1] * 2, [side / 10] * 2)


def kept_pixels(kept: Tensor, side: int) -> Tensor:
    """Which pixels (V, 1, S, S) belong to the kept ones of cells (V, h, w)."""
    return F.interpolate(kept.float().unsqueeze(1), size=(side, side), mode="nearest-exact")


def covered_words(
    model: CaptionModel,
    photos: Tensor,
    kept: Tensor,
    shown: Sequence[int],
    words: Words,
    fill: str = "mean",
) -> Tensor:
    """Log probabilities (M,) of words about covered photos.

    Args:
        model: in evaluation mode.
        photos: normalised, (B, 3, S, S).
        kept: of each of V covered versions the cells (V, h, w) whose pixels stay.
        shown: which photo each version covers, V of them.
        words: whose `owners` are versions.
        fill: see `filled`.
    """
    beneath = filled(photos, fill)
    found = torch.empty(len(words.places))
    owners = torch.tensor(words.owners)
    for start in range(0, len(kept), _ENCODED):
        own = torch.tensor(list(shown[start : start + _ENCODED]), device=photos.device)
        stay = kept_pixels(kept[start : start + _ENCODED].to(photos.device), photos.shape[-1])
        memory = model.encoder(torch.lerp(beneath[own], photos[own], stay))
        asked = ((owners >= start) & (owners < start + len(own))).nonzero().flatten().tolist()
        for part in (asked[i : i + _READ] for i in range(0, len(asked), _READ)):
            found[part] = word_log_prob(
                model.decoder,
                memory,
                [words.tokens[m] for m in part],
                [words.places[m] for m in part],
                [words.owners[m] - start for m in part],
            ).cpu()
    return found


def hidden_cells(model: CaptionModel, memory: Memory, kept: Tensor, words: Words) -> Tensor:
    """Log probabilities (M,) of words where attention cannot look at some cells, at any step.

    Args:
        model: in evaluation mode.
        memory: of B photos, fresh from the encoder.
        kept: the cells (M, N) that each word's decoder may look at, one of them at least.
        words: M of them.
    """
    found = []
    for start in range(0, len(kept), _READ):
        part = slice(start, start + _READ)
        own = memory.select(torch.tensor(words.owners[part], device=memory.device))
        masked = replace(own, mask=kept[part].to(memory.device))
        count = range(len(masked))
        found.append(
            word_log_prob(
                model.decoder, masked, words.tokens[part], words.places[part], list(count)
            ).cpu()
        )
    return torch.cat(found)


@dataclass(frozen=True)
class Patches:
    """Squares of windows that are covered one after the other, each `side` windows wide."""

    windows: int = 7  # that the photo's side is cut into
    side: int = 3  # of a patch; patches overlap, a window apart

    def __len__(self) -> int:
        return (self.windows - self.side + 1) ** 2

    @property
    def kept(self) -> Tensor:
        """What each patch leaves, (V, windows, windows)."""
        count = self.windows - self.side + 1
        inside = torch.zeros(count, self.windows)
        for start in range(count):
            inside[start, start : start + self.side] = 1
        covered = inside[:, None, :, None] * inside[None, :, None, :]  # (count, count, ·, ·)
        return 1 - covered.flatten(0, 1)

    def weigh(self, maps: Tensor) -> Tensor:
        """How much of maps (M, h, w) each patch covers, (M, V); a coarse one is interpolated."""
        maps = maps.unsqueeze(1).float()
        size = (self.windows, self.windows)
        if maps.shape[-2] < self.windows or maps.shape[-1] < self.windows:
            maps = F.interpolate(maps, size=size, mode="bilinear")
        return F.adaptive_avg_pool2d(maps, size).flatten(1) @ (1 - self.kept).flatten(1).T

    def spread(self, hurt: Tensor) -> Tensor:
        """Maps (M, windows, windows) of what the patches did, (M, V): each window's mean patch."""
        covering = (1 - self.kept).flatten(1)  # (V, windows²)
        means = hurt.float() @ covering / covering.sum(0)
        return means.unflatten(1, (self.windows, self.windows))


def occlusion(
    model: CaptionModel, photos: Tensor, words: Words, patches: Patches, fill: str = "mean"
) -> Tensor:
    """How much covering each patch of pixels takes from each word's log probability, (M, V).

    Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", §4.2. A photo is
    encoded once for each patch, whatever the number of words that are asked about it.

    Args:
        model: in evaluation mode.
        photos: normalised, (B, 3, S, S).
        words: about them.
        patches: V of them.
        fill: see `filled`.
    """
    kept = torch.cat([torch.ones(1, patches.windows, patches.windows), patches.kept])
    whole = torch.empty(len(words.places), len(kept))
    for photo in range(len(photos)):
        mine = [m for m, owner in enumerate(words.owners) if owner == photo]
        versions = Words(
            [words.tokens[m] for m in mine for _ in kept],
            [words.places[m] for m in mine for _ in kept],
            list(range(len(kept))) * len(mine),
        )
        if mine:
            own = photos[photo : photo + 1]
            found = covered_words(model, own, kept, [0] * len(kept), versions, fill)
            whole[mine] = found.reshape(len(mine), -1)
    return whole[:, :1] - whole[:, 1:]
