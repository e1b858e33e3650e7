"""Captions of many photos by Ray Data: actors that hold the model, on one machine or on many.

Ray starts the actors, hands them batches, tries again what one that died had in hand, and starts
another in its place. What comes back comes in the order of the photos; whoever takes it writes it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.errors import ConfigError
from captioner.formats.archives import compression
from captioner.pictures.open import ImageSource
from captioner.pictures.shards import Member, Packed, Row


@dataclass(frozen=True)
class Job:
    """What every actor needs to know; all of it plain values."""

    checkpoint: str | None  # the file of the weights, where all machines see it; None: the shipped
    translator: str | None
    device: str  # "cpu" or "cuda"
    runtime: str  # as of a `Captioner`
    options: dict[str, Any]  # fields of `SearchOptions`
    map_size: int | None = None  # at which maps are read
    prefix: str = ""
    to: str | None = None
    maps: bool = False
    batch_size: int = 32
    workers: int = 2  # threads of an actor that open photos
    time_limit: float | None = None  # seconds that opening one may take
    actors: int | None = None  # left out: one for each GPU, or for every two cores


def captions(
    photos: Sequence[str | Packed], numbers: Sequence[int], job: Job
) -> Iterator[dict[str, Any]]:
    """The objects of photos, in their order, as `Caption.to_dict` makes them.

    Args:
        photos: paths, where all machines see them, or photos in archives there.
        numbers: the photos' own numbers, which seed their draws.
        job: what is to be done.

    Raises:
        ConfigError: Ray is not installed, or has no GPU to give; an archive is compressed.
    """
    archives = {photo.archive for photo in photos if isinstance(photo, Member)}
    if packed_up := next((a for a in sorted(archives) if compression(Path(a))), None):
        raise ConfigError(f"--engine ray reads no compressed archives; unpack {packed_up}")
    ray = _started()
    items = [
        {"number": number, "photo": packed(photo)}
        for number, photo in zip(numbers, photos, strict=True)
    ]
    count, needs = _share(ray, job)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    blocks = max(count, -(-len(items) // (4 * job.batch_size)))
    found = ray.data.from_items(items, override_num_blocks=min(blocks, len(items))).map_batches(
        Actor,
        fn_constructor_args=(job,),
        batch_size=job.batch_size,
        compute=ray.data.ActorPoolStrategy(size=count),
        **needs,
    )
    for row in found.iter_rows():
        yield json.loads(row["object"])


def _started() -> Any:
    """Ray, with a cluster to work on: that of RAY_ADDRESS, or one on this machine.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise ConfigError(
            "--engine ray takes Ray, which is not installed; pip install 'captioner[ray]'"
        ) from None
    if not ray.is_initialized():
        own = {} if "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="ERROR", **own)
    return ray


def _share(ray: Any, job: Job) -> tuple[int, dict[str, Any]]:
    """How many actors there are to be, and what each needs."""
    resources = ray.cluster_resources()
    if job.device.startswith("cuda"):
        gpus = int(resources.get("GPU", 0))
        if not gpus:
            raise ConfigError("Ray's cluster has no GPU; leave --device out, or give it one")
        return job.actors or gpus, {"num_gpus": 1}
    cores = int(resources.get("CPU", 1))
    count = job.actors or max(1, cores // 2)
    return count, {"num_cpus": max(1, min(2, cores // count))}


def packed(photo: str | Packed) -> bytes:
    """A photo as bytes, which tables of text would not hold: names need not be text."""
    if isinstance(photo, Member):
        return _plain(Member=[photo.archive, photo.name, photo.start, photo.size])
    if isinstance(photo, Row):
        return _plain(Row=[photo.archive, photo.name, photo.column, photo.group, photo.place])
    return os.fsencode(photo)


def _plain(**values: list[str | int]) -> bytes:
    return b"\0" + json.dumps(values).encode()  # no path begins so


def unpacked(content: bytes) -> ImageSource:
    """The photo that `packed` made these bytes of.

    Raises:
        DataError: it is in an archive that is compressed.
    """
    if not content.startswith(b"\0"):
        return os.fsdecode(content)
    [(kind, values)] = json.loads(content[1:]).items()
    return Row(*values) if kind == "Row" else Member.at(*values)


class Actor:
    """Holds the model and captions batches, in a process of its own."""

    def __init__(self, job: Job) -> None:
        from captioner.captions.captioner import Captioner
        from captioner.options import SearchOptions
        from captioner.translations.translator import Translator

        device = "cuda" if job.device.startswith("cuda") else job.device
        translator = Translator.load(job.translator, device) if job.translator else None
        self.job = job
        self.captioner = Captioner.load(
            job.checkpoint, device, translator, job.runtime, job.map_size
        )
        self.options = SearchOptions(**job.options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Captions `photo` and `number` of a batch: their objects, as text."""
        job = self.job
        stream = self.captioner.stream(
            [unpacked(bytes(content)) for content in batch["photo"]],
            batch_size=job.batch_size,
            workers=job.workers,
            prefix=job.prefix,
            to=job.to,
            options=self.options,
            numbers=iter(batch["number"].tolist()),
            time_limit=job.time_limit,
        )
        return {"object": [json.dumps(caption.to_dict(maps=job.maps)) for caption in stream]}
