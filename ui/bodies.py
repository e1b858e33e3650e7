"""How much is sent, how fast, and which files it names.

A file of a request is one that was uploaded, whatever Gradio would make of it: it would copy any
path it is told to where everybody can fetch it, and fetch the photo whose `path` is an address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any
from urllib.parse import unquote

from anyio import fail_after, to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from captioner.ui.forms import Fields, boundary_of
from captioner.ui.questions import Questions
from captioner.ui.routes import ADDRESS, API, is_login, is_upload
from captioner.ui.senders import READING
from captioner.ui.uploads import Uploads

MEBIBYTE = 2**20

_DEEPEST = 100  # levels of a request's JSON


@dataclass(frozen=True)
class Limits:
    """The largest requests that are read.

    The largest JSON is a photo as the browser shows it; the one with the most values is a painting.
    """

    body_bytes: int = 4 * MEBIBYTE  # of a request's JSON
    login_bytes: int = 16 * 2**10  # of a name and a password
    all_bytes: int = 64 * MEBIBYTE  # of all JSON that is being read at once
    seconds: float = 30.0  # that JSON may take to come
    values: int = 100_000  # in a request's JSON
    files: int = 250  # that a request's JSON may name
    upload_bytes: int = 512 * MEBIBYTE  # of all files of one upload together
    field_bytes: int = 16 * 2**10  # of an upload's fields that are no files: kept in memory
    folder_bytes: int = 4096 * MEBIBYTE  # of all that was uploaded and is not yet removed


class Bodies:
    """Reads what is sent, as far as it may be.

    Args:
        limits: of its size.
        uploads: the only files that it may name; None is none at all.
        questions: what may be asked; None is anything.
    """

    def __init__(
        self, limits: Limits, uploads: Uploads | None, questions: Questions | None = None
    ) -> None:
        self.limits, self.uploads, self.questions = limits, uploads, questions
        self.reading = 0  # bytes of JSON that are being read now

    def check_size(self, scope: Scope) -> None:
        """Refuses what says itself that it is too large."""
        length = Headers(scope=scope).get("content-length", "0")
        limit = self._limit(scope)
        if not length.isdecimal() or int(length) > limit:
            raise _too_large(limit)

    def _limit(self, scope: Scope) -> int:
        if is_login(scope):
            return min(self.limits.login_bytes, self.limits.body_bytes)
        return self.limits.upload_bytes if is_upload(scope) else self.limits.body_bytes

    async def limited(self, scope: Scope, receive: Receive, root: str) -> Receive:
        """The rest of the request, never longer than its limit; JSON is read and checked here."""
        if scope["method"] in READING:
            return receive
        if is_upload(scope):
            await to_thread.run_sync(self._check_room)
            kind = Headers(scope=scope)["content-type"]
            counted = _counted(receive, self._limit(scope))
            return _fields_counted(counted, kind, self.limits.field_bytes)
        held = [0]
        try:
            body = await self._whole_body(_counted(receive, self._limit(scope)), held)
            # In a thread: whatever it holds, other visitors are answered.
            read = await to_thread.run_sync(self._checked, scope, body, root)
        finally:
            self.reading -= held[0]
        return _replayed(read, receive)

    async def _whole_body(self, receive: Receive, held: list[int]) -> bytes:
        """The body; `held` counts its bytes among those that all requests may hold together."""
        parts: list[bytes] = []
        try:
            with fail_after(self.limits.seconds):
                while True:
                    message = await receive()
                    parts.append(message.get("body", b""))
                    held[0] += len(parts[-1])
                    self.reading += len(parts[-1])
                    if self.reading > self.limits.all_bytes:
                        raise HTTPException(503, "too many requests are being read; try again")
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise HTTPException(
                408,
                f"the request took longer than {self.limits.seconds:g} seconds to come; send it "
                "at once",
                {"connection": "close"},
            ) from None

    def _check_room(self) -> None:
        """Refuses an upload where too much lies in the folder; what was cut off goes before."""
        if self.uploads is not None:
            self.uploads.sweep()
            if self.uploads.size() >= self.limits.folder_bytes:
                raise HTTPException(
                    507, "the page holds as many files as it may; try again in an hour"
                )

    def _checked(self, scope: Scope, body: bytes, root: str) -> bytes:
        """A request's JSON, which asks for what there is, of the uploads alone."""
        asks = self.questions is not None and self.questions.is_one(scope)
        values = self._values(body)
        if asks:
            assert self.questions is not None
            self.questions.check(scope, values)
        return body if values is None else self._with_paths(values, body, root)

    def _values(self, body: bytes) -> Any:
        """What JSON holds; None where it is none, which Gradio would not read either."""
        # Each value but the first comes after one of these signs, in whatever encoding.
        if sum(map(body.count, (b"[", b"{", b","))) > self.limits.values:
            raise HTTPException(
                400, f"the request holds more than {self.limits.values} values; send less at once"
            )
        try:
            # As Gradio reads it, in whatever encoding; but it would take what is no number.
            return json.loads(body, parse_constant=_no_number, parse_float=_finite)
        except RecursionError:
            raise _too_deep() from None
        except ValueError:
            return None

    def _with_paths(self, values: Any, body: bytes, root: str) -> bytes:
        """The same JSON, in which every file is one of the uploads, by its path."""
        own = f"{root}{API}file="
        try:
            files = list(_files(values))
        except RecursionError:
            raise _too_deep() from None
        if len(files) > self.limits.files:
            raise HTTPException(
                400,
                f"the request names {len(files)} files, at most {self.limits.files} are taken; "
                "send fewer at once",
            )
        for file in files:
            name = file["path"]
            if isinstance(name, str) and name.startswith(own):
                name = unquote(name.removeprefix(own))
            path = self._path(name)
            if path is None and isinstance(name, str) and ADDRESS.match(name):
                raise HTTPException(
                    400, "a photo was given by its address; this server fetches nothing: upload it"
                )
            if path is None:
                raise HTTPException(
                    400,
                    "a file was given that is not among the uploads; upload it and send its path",
                )
            file["path"] = path
            file.pop("url", None)  # which is Gradio's to tell
        return json.dumps(values).encode() if files else body

    def _path(self, name: object) -> str | None:
        return None if self.uploads is None else self.uploads.path(name)


def _no_number(name: str) -> float:
    raise HTTPException(400, f"the request holds {name[:20]}; expected finite numbers")


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _too_deep() -> HTTPException:
    return HTTPException(400, "the request is nested too deeply")


def _too_large(limit: int) -> HTTPException:
    size = f"{limit / MEBIBYTE:.3g} MB"
    return HTTPException(413, f"the request is larger than {size}; send less at once")


def _counted(receive: Receive, limit: int) -> Receive:
    """A `receive` that stops at the limit, whatever length the request claimed."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise _too_large(limit)
        return message

    return counted


def _fields_counted(receive: Receive, kind: str, limit: int) -> Receive:
    """A `receive` that stops where a form's fields that are no files grow beyond the limit."""
    boundary = boundary_of(kind)
    if boundary is None:
        return receive  # Gradio reads no such form
    fields = Fields(boundary)

    async def counted() -> Message:
        message = await receive()
        fields.read(message.get("body", b""))
        if fields.total > limit:
            raise HTTPException(
                413,
                f"the form's fields are larger than {limit // 2**10} kB; a file needs a file name",
            )
        return message

    return counted


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over the body that was read, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def holds_file(value: Any) -> bool:
    """Whether a value of JSON names a file, at whatever depth."""
    try:
        return any(True for _ in _files(value))
    except RecursionError:
        return True


def _files(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects of a request that name a path, at whatever depth.

    Raises:
        RecursionError: it is deeper than anything of ours.
    """
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, list):
        for entry in value:
            yield from _files(entry, depth + 1)
    elif isinstance(value, dict):
        if value.get("path") is not None:
            yield value
        for entry in value.values():
            yield from _files(entry, depth + 1)
