"""The web server around the page: health, limits, and doors that stay shut.

The page itself is mounted by its owner (`create` takes a function that does so); here is what holds
for every request. Three things need closing, since nothing may leave this machine: Gradio fetches
a public address for whoever asks for `/gradio_api/file=https://…` or `/gradio_api/proxy=…`, and it
fetches the photo of a request whose `path` is an address.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.errors import ConfigError

MEBIBYTE = 2**20
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# A scheme has two letters or more: file=C:/… is a path on Windows.
_OUTBOUND = re.compile(r"/proxy[=/]|/file[=/]\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_READING = ("GET", "HEAD", "OPTIONS")
_ADDRESS = re.compile(r"\s*https?:", re.IGNORECASE)
_DEEPEST = 100  # levels of a request's JSON
_RETRY = "10"  # seconds after which a full queue is worth another try

# Gradio compiles templates in the browser, hence the two unsafe words; there is no foreign origin
# that could be read from or written to all the same.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
)


@dataclass(frozen=True)
class Limits:
    """The largest requests that are read."""

    body_bytes: int = 16 * MEBIBYTE  # of a request's JSON
    upload_bytes: int = 512 * MEBIBYTE  # of all files of one upload together


def create(
    mount: Callable[[FastAPI], Any],
    *,
    health: Callable[[], Mapping[str, Any]] = dict,
    limits: Limits = Limits(),
    hosts: Sequence[str] = (),
    frame_ancestors: str = "'self'",
) -> FastAPI:
    """The application: `/healthz`, what `mount` adds, and the guard in front of both.

    Args:
        mount: adds the page, as with `gradio.mount_gradio_app(app, blocks, path="/")`.
        health: what `/healthz` says besides `"status": "ok"`; called at every request.
        limits: of a request's size.
        hosts: names of this server that are answered to; none is any. See `hosts_of`.
        frame_ancestors: pages that may show this one in a frame, in the words of CSP.
    """
    app = FastAPI(title="captioner", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", **health()}

    mount(app)
    app.add_middleware(
        Guard, limits=limits, hosts=tuple(hosts), policy=_POLICY.format(ancestors=frame_ancestors)
    )
    return app


def hosts_of(host: str) -> tuple[str, ...]:
    """The names to answer to when listening on `host`: on loopback, no others than its own.

    A web page that points its own name at 127.0.0.1 (DNS rebinding) could otherwise read what this
    server says. Any other address is reached by names that only its owner knows: none is any.
    """
    bare = host.strip("[]")
    return LOOPBACK if bare in LOOPBACK or bare.startswith("127.") else ()


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serves until it is interrupted.

    Raises:
        ConfigError: nothing can listen there.
    """
    listener = bound(host, port)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=3
    )
    running = uvicorn.Server(config)
    # Pages that are open at the end are cut off, which is nothing to report.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not running.should_exit)
    with listener, contextlib.suppress(KeyboardInterrupt):
        running.run(sockets=[listener])


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound already, so that a taken port is known before weights are loaded.

    Raises:
        ConfigError: the address is not this machine's, or the port is taken or not allowed.
    """
    if not 0 <= port < 2**16:  # getaddrinfo would take the rest of the division
        raise ConfigError(f"port is {port}; expected 1 to 65535, or 0 for any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unusable(host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unusable(host, port, error) from None
    return listener


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {host}, port {port} ({error.strerror}); choose another --host or --port"
    )


class Guard:
    """Stands before every request: who asks for what, how large it is; and dresses every answer."""

    def __init__(
        self, app: ASGIApp, limits: Limits, hosts: tuple[str, ...] = (), policy: str = ""
    ) -> None:
        self.app, self.limits, self.hosts, self.policy = app, limits, hosts, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP (the start and the end of the server) passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(message)
            await send(message)

        try:
            self._check(scope)
            receive = await self._limited(scope, receive)
        except HTTPException as refusal:
            answer = PlainTextResponse(refusal.detail, refusal.status_code)
            await answer(scope, receive, dressed)
            return
        await self.app(scope, receive, dressed)

    def _check(self, scope: Scope) -> None:
        """Refuses what can be refused before the body."""
        headers = Headers(scope=scope)
        host = _hostname(headers.get("host", ""))
        if self.hosts and host not in self.hosts:
            raise HTTPException(421, f"this server answers to {', '.join(self.hosts)} only")
        if scope["method"] not in _READING and headers.get("sec-fetch-site") == "cross-site":
            raise HTTPException(403, "this server does not work for other web pages")
        if _OUTBOUND.search(scope["path"]):
            raise HTTPException(403, "this server fetches nothing from other addresses")
        length = headers.get("content-length", "0")
        limit = self._limit(scope)
        if not length.isdecimal() or int(length) > limit:
            raise _too_large(limit)

    def _limit(self, scope: Scope) -> int:
        limits = self.limits
        return limits.upload_bytes if _is_form(scope) else limits.body_bytes

    async def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The rest of the request, never longer than its limit; JSON is read and checked here."""
        limit = self._limit(scope)
        if scope["method"] in _READING:
            return receive
        if _is_form(scope):
            return _counted(receive, limit)
        body = await _whole_body(_counted(receive, limit))
        if _asks_to_fetch(body):
            raise HTTPException(
                400, "a photo was given by its address; this server fetches nothing: upload it"
            )
        return _replayed(body, receive)

    def _dress(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers["permissions-policy"] = "camera=(self), microphone=(), geolocation=()"
        headers["cross-origin-opener-policy"] = "same-origin"
        headers.setdefault("content-security-policy", self.policy)
        if message["status"] == 503:
            headers.setdefault("retry-after", _RETRY)


def _hostname(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_form(scope: Scope) -> bool:
    """Whether the body holds files; only then may it be as large as an upload."""
    kind = Headers(scope=scope).get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "multipart/form-data"


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


async def _whole_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over the body that was read, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _asks_to_fetch(body: bytes) -> bool:
    """Whether JSON holds a file whose path is an address, at any depth."""
    if b"path" not in body and b"\\u" not in body:
        return False
    try:
        return _holds_address(json.loads(body))
    except (ValueError, RecursionError):
        return False  # no JSON: nothing that Gradio would read


def _holds_address(value: Any, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return True  # nothing of ours is that deep
    if isinstance(value, list):
        return any(_holds_address(entry, depth + 1) for entry in value)
    if not isinstance(value, dict):
        return False
    path = value.get("path")
    if isinstance(path, str) and _ADDRESS.match(path):
        return True
    return any(_holds_address(entry, depth + 1) for entry in value.values())
