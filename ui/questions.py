"""What can be asked: which events there are, what each takes, and whose answer still waits.

Gradio fails without a word over an event or an argument that it does not know, and lets whoever
asks for an answer that was handed out already wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.types import Scope

from captioner.errors import shown
from captioner.ui.routes import API

_READ = "docs/api.md says what can be asked"
_LONGEST_SESSION = 64  # characters of what a visit is called


@dataclass(frozen=True)
class Event:
    """One event of the page.

    Attributes:
        arguments: of a public one, by name; whether each must be given.
        counts: how many values a request's `data` may hold.
        told: it is also told what happened in the page, in `event_data`.
    """

    arguments: Mapping[str, bool] | None
    counts: frozenset[int]
    told: bool = False


class Questions:
    """Checks requests that start an event, and those that fetch its answer.

    Args:
        events: by name.
        numbers: of all events.
        waits: whether an event of this id was asked for and its answer not handed out.
        forget: what an event without a visit of its own left behind, once it is answered.
        visits: whether anything was asked in a visit of this name.
    """

    def __init__(
        self,
        events: Mapping[str, Event],
        numbers: Mapping[int, Event],
        waits: Callable[[str], bool],
        forget: Callable[[str], object] = str,
        visits: Callable[[str], bool] = bool,
    ) -> None:
        self.events, self.numbers, self.waits, self.forget = events, numbers, waits, forget
        self.visits = visits
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
            event = self._event(name)
            _check_data(f"/{name}", event, values)
            if event.told:
                raise HTTPException(404, f"/{name} is for the page alone; {_READ}")
        _check_session(values, needed=route == "queue")

    def _check_numbered(self, values: dict[str, Any]) -> None:
        number = values.get("fn_index")
        if isinstance(number, bool) or not isinstance(number, int) or number not in self.numbers:
            raise HTTPException(404, f"there is no event fn_index {shown(number)}; {_READ}")
        event = self.numbers[number]
        _check_data(f"event {number}", event, values)
        if event.told and not isinstance(values.get("event_data"), dict):
            came = shown(values.get("event_data"))
            raise HTTPException(
                400, f"event {number} takes an object as its event_data; {came} came"
            )

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
        visit = _listening(scope)
        if visit is not None and not self.visits(visit):  # Gradio would begin to answer, and fail
            raise HTTPException(404, "nothing was asked in this visit; ask a question first")
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
            if event is not None and not self.waits(event):
                self.forget(event)


def _fetched(scope: Scope) -> str | None:
    """The event whose answer a request is for; None for any other request."""
    route, *rest = _parts(scope)
    return rest[-1] if scope["method"] == "GET" and route == "call" and rest[1:] else None


def _listening(scope: Scope) -> str | None:
    """The visit whose answers a request is for; None for any other request."""
    if scope["method"] != "GET" or _parts(scope) != ["queue", "data"]:
        return None
    return dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("session_hash")


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


def _check_session(values: dict[str, Any], needed: bool) -> None:
    """Refuses what names no visit: Gradio fails over an empty name, and keeps a long one."""
    session = values.get("session_hash")
    if session is None and not needed:
        return
    if not isinstance(session, str) or not 0 < len(session) <= _LONGEST_SESSION:
        came = "missing" if session is None else shown(session)
        raise HTTPException(
            400, f"session_hash is {came}; expected a text of at most {_LONGEST_SESSION} characters"
        )
