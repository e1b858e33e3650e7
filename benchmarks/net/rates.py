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

Clock = Callable[[], float]
Work = Callable[[], dict[str, float]]  # measures a rate, or several, by name

PHOTOS = 64  # of a stream, at most
_TEXTS = 16  # times the sentences that are explained
_ALONE = 8  # photos, one by one
_REQUESTS = 5
_CLOCKS: dict[Clock, str] = {time.perf_counter: "", time.process_time: ", of CPU time"}


def yardstick(clock: Clock = time.perf_counter) -> float:
    """How often a second torch does a fixed piece of work, as networks have it."""
    import torch

    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(8, 32, 56, 56, generator=generator)
    kernels = torch.randn(32, 32, 3, 3, generator=generator)
    matrix = torch.randn(512, 512, generator=generator)
    began = clock()
    with torch.inference_mode():
        for _ in range(5):
            torch.conv2d(pixels, kernels)
            for _ in range(20):
                torch.tanh(matrix @ matrix)
    return 1 / (clock() - began)


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

    def works(clock: Clock) -> dict[str, Work]:
        alone = paths[:_ALONE]
        own = {
            "photos, as a stream": _rate(lambda: list(captioner.stream(paths)), len(paths), clock),
            "photos, one by one": _rate(lambda: [captioner(p) for p in alone], len(alone), clock),
            "sentences": _rate(lambda: list(translating.stream(texts, to=to)), len(texts), clock),
        }
        return {f"{name}{_CLOCKS[clock]}": work for name, work in own.items()}

    found = _paired(works(time.perf_counter), rounds)
    # Where the machine is shared, this process's own time tells more than the clock on the wall.
    found |= _paired(works(time.process_time), rounds, warm=False, clock=time.process_time)
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


def _paired(
    works: dict[str, Work], rounds: int, warm: bool = True, clock: Clock = time.perf_counter
) -> dict[str, list[list[float]]]:
    """The works by turns, each between two looks at the yardstick."""
    for work in works.values() if warm else ():
        work()  # the first time, memory is laid out
    found: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for name, work in works.items():
            before = yardstick(clock)
            rates = work()
            beside = statistics.mean((before, yardstick(clock)))
            for own, rate in rates.items():
                found.setdefault(own or name, []).append([rate, beside])
    return found


def _rate(work: Callable[[], Any], count: int, clock: Clock = time.perf_counter) -> Work:
    def measure() -> dict[str, float]:
        began = clock()
        work()
        return {"": count / (clock() - began)}

    return measure
