"""How fast the code is, each measurement paired with one of a yardstick that never changes.

The machine may be slower now than when another code was measured: the yardstick, a few operations
of torch's own, was then slower, too. It is a help, no judge: `pace` takes two codes by turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import learning, reach
from .answers import SENTENCES

PHOTOS = 64  # of a stream, at most
_TEXTS = 16  # times the sentences that are explained
_REQUESTS = 5


def yardstick() -> float:
    """How often a second torch does a fixed piece of work, as networks have it."""
    import torch

    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(8, 32, 56, 56, generator=generator)
    kernels = torch.randn(32, 32, 3, 3, generator=generator)
    matrix = torch.randn(512, 512, generator=generator)
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(5):
            torch.conv2d(pixels, kernels)
            for _ in range(20):
                torch.tanh(matrix @ matrix)
    return 1 / (time.perf_counter() - began)


def measured(
    photos: Sequence[Path], checkpoint: Path, translator: Path, to: str, rounds: int
) -> dict[str, list[list[float]]]:
    """[Rate, yardstick's rate] of each measurement; every rate is so many a second.

    Args:
        photos: some of them are captioned.
        checkpoint: of a captioner.
        translator: of a translator.
        to: a language that it knows.
        rounds: measurements of each.
    """
    from captioner import Captioner, Translator

    captioner = Captioner.load(str(checkpoint))
    translating = Translator.load(str(translator))
    paths = [str(path) for path in photos[:PHOTOS]]
    texts = [*SENTENCES] * _TEXTS
    with reach.serving(["--checkpoint", checkpoint, "--translator", translator]) as address:
        asked = _Asker(address, photos[0])
        works: dict[str, Callable[[], dict[str, float]]] = {
            "photos a second, as a stream": lambda: _rate(
                lambda: list(captioner.stream(paths)), len(paths)
            ),
            "photos a second, one by one": lambda: _rate(
                lambda: [captioner(path) for path in paths[:8]], len(paths[:8])
            ),
            "sentences a second": lambda: _rate(
                lambda: list(translating.stream(texts, to=to)), len(texts)
            ),
            "the page's first bytes a second": lambda: _rate(asked.page, _REQUESTS),
            "the page's captions a second": lambda: _rate(asked.caption, _REQUESTS),
            "training": lambda: learning.captions_a_second(photos[:PHOTOS], checkpoint),
        }
        for name, work in works.items():
            if name != "training":
                work()  # the first time, memory is laid out
        found: dict[str, list[list[float]]] = {}
        for _ in range(rounds):
            for name, work in works.items():
                before = yardstick()
                rates = work()
                beside = statistics.mean((before, yardstick()))
                for own, rate in rates.items():
                    found.setdefault(own or name, []).append([rate, beside])
        asked.close()
    return found


def _rate(work: Callable[[], Any], count: int) -> dict[str, float]:
    began = time.perf_counter()
    work()
    return {"": count / (time.perf_counter() - began)}


class _Asker:
    """Asks a page."""

    def __init__(self, address: str, photo: Path) -> None:
        from gradio_client import Client, handle_file

        self.address = address
        self.client = Client(address, verbose=False)
        self.photo = handle_file(str(photo))

    def page(self) -> None:
        import httpx

        for _ in range(_REQUESTS):
            httpx.get(self.address, trust_env=False).raise_for_status()

    def caption(self) -> None:
        for _ in range(_REQUESTS):
            self.client.predict(photo=self.photo, maps=True, api_name="/caption")

    def close(self) -> None:
        self.client.close()
