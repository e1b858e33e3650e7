"""Several processes that learn one model together, as `torchrun` starts them.

Each step's batch is that of the recipe, and each process takes its share of it: a recipe means the
same however many learn it, and a run goes on with another number of processes than it began with.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from captioner.errors import CaptionerError, ConfigError

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # which torchrun sets
_LONGEST = datetime.timedelta(hours=12)  # that the others wait while the first one validates


@dataclass(frozen=True)
class Ranks:
    """Which of several processes this one is; left out, there is no other."""

    rank: int = 0
    size: int = 1
    control: Any = None  # the group through which few numbers go, on the CPU

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, logs and validates."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Numbers of each process, added up."""
        if self.size == 1:
            return list(values)
        added = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(added, group=self.control)
        found: list[float] = added.tolist()
        return found

    def any(self, value: bool) -> bool:
        """Whether it holds in any process."""
        return (self.size > 1 and self.sums([float(value)])[0] > 0) or value

    def mean(self, value: Tensor) -> Tensor:
        """A value of each process, averaged, on its device."""
        if self.size == 1:
            return value
        added = value.detach().float().clone()
        distributed.all_reduce(added)
        return added / self.size

    def first_says(self, value: Any) -> Any:
        """What the first process has: plain values, which go as JSON; nobody unpickles anything."""
        if self.size == 1:
            return value
        text = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(text)])
        distributed.broadcast(length, 0, group=self.control)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        distributed.broadcast(content, 0, group=self.control)
        return json.loads(content.numpy().tobytes())

    def weights(self, counts: Mapping[str, int]) -> dict[str, float]:
        """What a mean over a process's own share has to be multiplied by.

        The mean over processes of such products is the mean over the whole batch.

        Args:
            counts: how many there are in the share, by what is counted.
        """
        if self.size == 1:
            return {}
        totals = self.sums(list(counts.values()))
        return {
            name: own * self.size / total if total else 1.0
            for (name, own), total in zip(counts.items(), totals, strict=True)
        }


ALONE = Ranks()


def is_first() -> bool:
    """Whether no `torchrun` has made this process one of those that only help."""
    return os.environ.get("RANK", "0") == "0" or not _started()


def _started() -> bool:
    return all(name in os.environ for name in _VARIABLES)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Joins the processes that `torchrun` has started, if it has, and gives this one's device.

    Raises:
        ConfigError: they cannot be reached, or one is gone.
    """
    if not _started() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE, device
        return
    on_gpu = device.type == "cuda"
    if on_gpu and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if on_gpu:
        torch.cuda.set_device(device)
    with _told():
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONGEST)
        try:
            control = distributed.new_group(backend="gloo", timeout=_LONGEST)
            yield Ranks(distributed.get_rank(), distributed.get_world_size(), control), device
        finally:
            distributed.destroy_process_group()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Says in one line that the others cannot be reached, or that one is gone."""
    try:
        yield
    except CaptionerError:
        raise
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        known = isinstance(error, distributed.DistError)
        if not known and not any(name in text for name in ("gloo", "NCCL", "Gloo", "onnection")):
            raise
        raise ConfigError(
            f"the other training processes do not answer ({text[:160]}); see what they say, and go "
            "on with the same command and --resume"
        ) from error


def check_share(recipe: Any, ranks: Ranks) -> None:
    """Refuses more processes than a step has items for.

    Raises:
        ConfigError: it has fewer.
    """
    own = getattr(recipe.training, "batch_size", None)
    sizes = [getattr(phase, "batch_size", None) or own for phase in recipe.phases]
    least = min((size for size in sizes if size), default=None)
    if least is not None and least < ranks.size:
        raise ConfigError(
            f"{ranks.size} processes are to share each batch, and training.batch_size is {least}; "
            "start fewer with torchrun, or make it larger"
        )
