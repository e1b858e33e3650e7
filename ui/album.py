"""The last photos that were asked about, so that each is opened and encoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

REMEMBERED = 16  # photos


class Album(Generic[T]):
    """What was made of the last photos, by their paths. Threads may share it.

    A photo whose file was written since is another one, and one whose file is gone is gone.
    """

    def __init__(self, make: Callable[[str], T], size: int = REMEMBERED) -> None:
        self.make, self.size = make, size
        self.made: OrderedDict[_State, T] = OrderedDict()
        self.lock = threading.Lock()

    def __getitem__(self, photo: str) -> T:
        """What is made of the photo at a path; whatever making it raises is raised here."""
        state = _state(photo)
        with self.lock:
            if state is not None and state in self.made:
                self.made.move_to_end(state)
                return self.made[state]
        found = self.make(photo)
        if state is not None:
            with self.lock:
                self.made[state] = found
                while len(self.made) > self.size:
                    self.made.popitem(last=False)
        return found


_State = tuple[str, int, int]  # path, nanoseconds of the last change, bytes


def _state(photo: str) -> _State | None:
    """What tells a file from all others, later ones at its place included; None if it is gone."""
    try:
        found = Path(photo).stat()
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return None
    return photo, found.st_mtime_ns, found.st_size
