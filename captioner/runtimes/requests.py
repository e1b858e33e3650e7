"""A compiled graph asked by many threads: each question has the memory of its own request."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Requests:
    """A compiled graph's requests; one that has answered is asked again."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.idle: deque[Any] = deque()  # appending and popping are atomic

    def answer(self, inputs: Sequence[Any]) -> list[Tensor]:
        """The graph's results, which nothing else shares."""
        try:
            request = self.idle.pop()
        except IndexError:
            request = self.graph.create_infer_request()
        found = request.infer(list(inputs), share_inputs=True)
        self.idle.append(request)
        return [torch.from_numpy(found[result]) for result in self.graph.outputs]
