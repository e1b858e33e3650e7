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
_ALONE = 8  # photos, one by one
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
    """[Rate, yardstick's rate] of captions, translations and training; so many a second.

    Args:
        photos: some of them are captioned and learned from.
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
    found = _paired(
        {
            "photos, as a stream": _rate(lambda: list(captioner.stream(paths)), len(paths)),
            "photos, one by one": _rate(
                lambda: [captioner(path) for path in paths[:_ALONE]], len(paths[:_ALONE])
            ),
            "sentences": _rate(lambda: list(translating.stream(texts, to=to)), len(texts)),
        },
        rounds,
    )
    training = {"": lambda: learning.captions_a_second(photos[:PHOTOS], checkpoint)}
    return found | _paired(training, rounds, warm=False)


def of_the_page(
    photo: Path, checkpoint: Path, translator: Path, rounds: int
) -> dict[str, list[list[float]]]:
    """[Rate, yardstick's rate] of requests to the page, one after the other."""
    import httpx
    from gradio_client import Client, handle_file

    with reach.serving(["--checkpoint", checkpoint, "--translator", translator]) as address:
        client = Client(address, verbose=False)
        sent = handle_file(str(photo))

        def page() -> None:
            for _ in range(_REQUESTS):
                httpx.get(address, trust_env=False).raise_for_status()

        def caption() -> None:
            for _ in range(_REQUESTS):
                client.predict(photo=sent, maps=True, api_name="/caption")

        works = {"the page": _rate(page, _REQUESTS), "/caption": _rate(caption, _REQUESTS)}
        found = _paired(works, rounds)
        client.close()
    return found


Work = Callable[[], dict[str, float]]  # measures a rate, or several, by name


def _paired(works: dict[str, Work], rounds: int, warm: bool = True) -> dict[str, list[list[float]]]:
    """The works by turns, each between two looks at the yardstick."""
    for work in works.values() if warm else ():
        work()  # the first time, memory is laid out
    found: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for name, work in works.items():
            before = yardstick()
            rates = work()
            beside = statistics.mean((before, yardstick()))
            for own, rate in rates.items():
                found.setdefault(own or name, []).append([rate, beside])
    return found


def _rate(work: Callable[[], Any], count: int) -> Work:
    def measure() -> dict[str, float]:
        began = time.perf_counter()
        work()
        return {"": count / (time.perf_counter() - began)}

    return measure
