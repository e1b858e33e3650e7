"""What can be asked: which events there are, what each takes, and whose answer still waits.

Gradio fails without a word over an event or an argument that it does not know, and lets whoever
asks for an answer that was handed out already wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Scope

from captioner.errors import shown
from captioner.ui.routes import API

_READ = "docs/api.md says what can be asked"


@dataclass(frozen=True)
class Event:
    """One event of the page.

    Attributes:
        arguments: of a public one, by name; whether each must be given.
        counts: how many values a request's `data` may hold.
    """

    arguments: Mapping[str, bool] | None
    counts: frozenset[int]


class Questions:
    """Checks requests that start an event, and those that fetch its answer.

    Args:
        events: by name.
        numbers: of all events.
        waits: whether an event of this id was asked for and its answer not handed out.
    """

    def __init__(
        self,
        events: Mapping[str, Event],
        numbers: Mapping[int, Event],
        waits: Callable[[str], bool],
    ) -> None:
        self.events, self.numbers, self.waits = events, numbers, waits
        self._handed_out: set[str | None] = set()  # ids whose answer is on its way

    def is_one(self, scope: Scope) -> bool:
        """Whether a request starts an event."""
        return scope["method"] == "POST" and _parts(scope)[0] in ("call", "run", "queue")

    def check(self, scope: Scope, values: Any) -> None:
        """Refuses what no event can be started with.

        Args:
            scope: of the request.
            values: its JSON; None where it holds none.

        Raises:
            HTTPException: with one line that says what came and what was expected.
        """
        route, *rest = _parts(scope)
        if route == "queue" and rest != ["join"]:
            return
        if not isinstance(values, dict):
            raise HTTPException(400, f"the request holds no JSON object; {_READ}")
        if route == "queue":
            self._check_numbered(values)
        elif rest[:1] == ["v2"] and route == "call":
            self._check_named("/".join(rest[1:]), values)
        else:
            name = "/".join(rest)
            _check_data(f"/{name}", self._event(name), values)

    def _check_numbered(self, values: dict[str, Any]) -> None:
        number = values.get("fn_index")
        if isinstance(number, bool) or not isinstance(number, int) or number not in self.numbers:
            raise HTTPException(404, f"there is no event fn_index {shown(number)}; {_READ}")
        if not isinstance(values.get("session_hash"), str):
            raise HTTPException(400, "session_hash is missing; expected a text")
        _check_data(f"event {number}", self.numbers[number], values)

    def _check_named(self, name: str, values: dict[str, Any]) -> None:
        event = self._event(name)
        if event.arguments is None:
            raise self._unknown(name)
        takes = ", ".join(event.arguments)
        for given in values:
            if given not in event.arguments:
                raise HTTPException(400, f"/{name} takes {takes}; {shown(given)} is none of them")
        for argument, needed in event.arguments.items():
            if needed and argument not in values:
                raise HTTPException(400, f"/{name} takes {takes}; {argument} is missing")

    def _event(self, name: str) -> Event:
        event = self.events.get(name)
        if event is None:
            raise self._unknown(name)
        return event

    def _unknown(self, name: str) -> HTTPException:
        public = [f"/{one}" for one, event in self.events.items() if event.arguments is not None]
        known = f"{', '.join(public[:-1])} and {public[-1]}" if public[1:] else "".join(public)
        return HTTPException(404, f"there is no endpoint {shown(f'/{name}')}; there are {known}")

    def check_answer(self, scope: Scope) -> None:
        """Refuses a request for an answer that there is not, or that another one is getting.

        Raises:
            HTTPException: with one line that says so.
        """
        event = _fetched(scope)
        if event in self._handed_out:
            raise HTTPException(409, "this answer is being handed out to another request")
        if event is not None and not self.waits(event):
            raise HTTPException(
                404, "there is no such answer: each is handed out once; ask the question again"
            )

    @contextmanager
    def handing_out(self, scope: Scope) -> Iterator[None]:
        """While an answer is handed out, `check_answer` refuses it to others."""
        event = _fetched(scope)
        if event is not None:
            self._handed_out.add(event)
        try:
            yield
        finally:
            self._handed_out.discard(event)


def _fetched(scope: Scope) -> str | None:
    """The event whose answer a request is for; None for any other request."""
    route, *rest = _parts(scope)
    return rest[-1] if scope["method"] == "GET" and route == "call" and rest[1:] else None


def _parts(scope: Scope) -> list[str]:
    path = str(scope["path"])
    return path.removeprefix(API).rstrip("/").split("/") if path.startswith(API) else [""]


def _check_data(called: str, event: Event, values: dict[str, Any]) -> None:
    data = values.get("data")
    if not isinstance(data, list):
        raise HTTPException(400, f"{called} takes a list of values as its data; none came")
    if len(data) not in event.counts:
        takes = f" ({', '.join(event.arguments)})" if event.arguments else ""
        raise HTTPException(
            400, f"{called} takes {max(event.counts)} values{takes}; {len(data)} came"
        )
