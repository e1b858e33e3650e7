"""Photos decoded once, kept as 8-bit numbers where training computes, and varied there in batches.

Shapes: P photos, B of them in a batch, S the square's side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.captions.batches import BatchReader
from captioner.pictures.augment import View

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as for photos from files


class PhotoStore:
    """All photos of a reader, as the network takes them, on one device."""

    def __init__(self, pixels: Tensor, missing: frozenset[int]) -> None:
        self.pixels = pixels  # uint8 (P, 3, S, S)
        self.missing = missing  # photos that cannot be read

    @classmethod
    def filled(
        cls,
        reader: BatchReader,
        device: torch.device,
        progress: Callable[[int], object] = lambda photos: None,
    ) -> PhotoStore:
        """Decodes all photos of a reader, by as many threads as it has workers."""
        count, side = len(reader.photos), reader.preprocess.size
        pixels = torch.zeros((count, 3, side, side), dtype=torch.uint8, device=device)
        missing = []
        with ThreadPoolExecutor(reader.workers) as pool:
            for number, picture in enumerate(pool.map(reader.pixels, range(count))):
                if isinstance(picture, Exception):
                    missing.append(number)
                else:
                    pixels[number] = torch.from_numpy(picture)
                progress(1)
        return cls(pixels, frozenset(missing))

    def batch(self, numbers: Tensor, views: Sequence[View]) -> Tensor:
        """Photos `numbers` (B,) on the store's device in their views: uint8 (B, 3, S, S)."""
        photos = self.pixels[numbers.to(self.pixels.device)]
        return photos if all(view == View() for view in views) else show_all(photos, views)

    @staticmethod
    def bytes_needed(photos: int, side: int) -> int:
        """What a store of so many photos takes."""
        return photos * 3 * side * side


def show_all(photos: Tensor, views: Sequence[View]) -> Tensor:
    """What `View.show` makes of each photo, computed for all at once and on their device.

    One sampling for crop and flip, one affine map of colours. The two differ by rounding: Pillow
    rounds in between, too.

    Args:
        photos: uint8 (B, 3, S, S).
        views: of each.
    """
    device, side = photos.device, photos.shape[-1]
    shown = [
        (v.right - v.left, v.left + v.right - 1, v.bottom - v.top, v.top + v.bottom - 1, v.mirrored)
        for v in views
    ]
    wide, across, high, down, mirrored = torch.tensor(shown).to(device).unbind(1)  # (B,) each
    matrix = photos.new_zeros((len(photos), 2, 3), dtype=torch.float32)
    matrix[:, 0, 0] = wide * (1 - 2 * mirrored)
    matrix[:, 0, 2] = across
    matrix[:, 1, 1] = high
    matrix[:, 1, 2] = down
    with torch.autocast(device.type, enabled=False):
        places = F.affine_grid(matrix, [len(photos), 3, side, side], align_corners=False)
        seen = F.grid_sample(photos.float(), places, padding_mode="border", align_corners=False)
        factors = torch.tensor([[v.brightness, v.contrast, v.saturation] for v in views]).to(device)
        brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
        luma = torch.tensor(_LUMA, device=device).view(3, 1, 1)
        bright = seen * brightness
        grey = (bright * luma).sum(1, keepdim=True)  # (B, 1, S, S)
        mean = grey.mean((2, 3), keepdim=True)
        mixed = saturation * bright + (1 - saturation) * grey
        changed = contrast * mixed + (1 - contrast) * mean
    return changed.round().clamp(0, 255).to(torch.uint8)
