"""The web server around the page: health, limits, and doors that stay shut.

The page itself is mounted by its owner (`create` takes a function that does so); here is what holds
for every request. A file of a request is one that was uploaded, whatever Gradio would make of it:
it would copy any path it is told to where everybody can fetch it, and fetch the photo whose `path`
is an address. Of Gradio's many routes only those stay open that the page and programs use, and none
for another web page, be it served by the next port of this machine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import quote, unquote

import uvicorn
from anyio import fail_after, to_thread
from fastapi import FastAPI
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.errors import ConfigError
from captioner.ui.logins import Logins
from captioner.ui.uploads import Renaming, Uploads

MEBIBYTE = 2**20
HERE = "http://this.page.invalid"
"""What stands in answers for the page's own address, as each visitor sees it."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# A scheme has two letters or more: C:/… is a path on Windows.
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_READING = ("GET", "HEAD")
_API = "/gradio_api/"
_FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)
# The first part of what follows `/gradio_api/`. Left out are, among others, `proxy=` (fetches),
# `api` and `stream` (pass by the queue), `deep_link` (writes down what a visitor does for whoever
# knows their session), `process_recording` (runs ffmpeg), `component_server` and `dev`.
_ROUTES = frozenset(
    (
        *("app_id", "call", "cancel", "heartbeat", "info", "login_check", "openapi.json"),
        *("queue", "reset", "run", "startup-events", "theme.css"),
        *("upload", "upload_progress", "user"),
    )
)
_POSTED = frozenset(("call", "cancel", "queue", "reset", "run", "upload"))  # what is sent to
_FETCHES_NOTHING = "this server fetches nothing from other addresses"
_SHUT = "this is not open to visitors; docs/api.md says what is"
_NOT_SENT_TO = "nothing can be sent to this address; docs/api.md says what is open to visitors"
_LINKED = ("/", "/healthz")  # what a link of another page may lead to
_PROXIED = (
    *(b"x-gradio-server", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for"),
    *(b"x-forwarded-port", b"x-forwarded-prefix", b"forwarded"),
)
_LOOPBACKS = re.compile(r"127\.\d+\.\d+\.\d+")
_DEEPEST = 100  # levels of a request's JSON
# A name or an address, with a port or without; both come back in answers.
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)
_CONNECTIONS = 256  # open ones; every visitor's page keeps one or two
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


def create(
    mount: Callable[[FastAPI], Any],
    *,
    health: Callable[[], Mapping[str, Any]] = dict,
    limits: Limits = Limits(),
    uploads: Uploads | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    root_path: str = "",
    behind_proxy: bool = False,
    frame_ancestors: str = "'self'",
) -> FastAPI:
    """The application: `/healthz`, what `mount` adds, and the guard in front of both.

    Args:
        mount: adds the page, as with `gradio.mount_gradio_app(app, blocks, path="/")`.
        health: what `/healthz` says besides `"status": "ok"`; called at every request.
        limits: of a request's size.
        uploads: the only files that a request may name; None is none at all.
        hosts: names of this server that are answered to; none is any. See `hosts_of`.
        origins: what a proxy calls this server, as a host name with the port where that is not the
            usual one; besides the name in a request's own `Host`.
        root_path: where a proxy shows the page, such as `/captions`; it may leave that out of the
            requests that it passes on, or not.
        behind_proxy: believe a proxy about the host and the scheme that a visitor sees; without
            one, anybody could say so, and what they say is left out.
        frame_ancestors: pages that may show this one in a frame, in the words of CSP.
    """
    app = FastAPI(title="captioner", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", **health()}

    mount(app)
    app.add_middleware(
        Guard,
        limits=limits,
        uploads=uploads,
        hosts=tuple(hosts),
        origins=tuple(origins),
        root_path=root_path,
        behind_proxy=behind_proxy,
        policy=_POLICY.format(ancestors=frame_ancestors),
    )
    return app


def hosts_of(host: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The names to answer to when listening on `host`: on loopback, no others than its own.

    A web page that points its own name at 127.0.0.1 (DNS rebinding) could otherwise read what this
    server says. Any other address is reached by names that only its owner knows: none is any.

    Args:
        host: the address that is listened on.
        names: what a proxy, or whoever looks after names, calls this server, ports left aside.
            Where there are any, no others are answered to, on whatever address.
    """
    bare = host.strip("[]")
    named = tuple(_hostname(name) for name in names)
    if bare in LOOPBACK or _LOOPBACKS.fullmatch(bare):
        return (*dict.fromkeys((*LOOPBACK, bare, *named)),)
    return (*LOOPBACK, *named) if named else ()


def serve(
    app: FastAPI, host: str = "127.0.0.1", port: int = 7860, *, behind_proxy: bool = False
) -> None:
    """Serves until it is interrupted.

    Args:
        app: what `create` made.
        host: address to listen on.
        port: to listen on.
        behind_proxy: believe a proxy on this machine about where a request came from; without one,
            anybody here could say so.

    Raises:
        ConfigError: nothing can listen there.
    """
    listener = bound(host, port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        proxy_headers=behind_proxy,
        timeout_graceful_shutdown=3,
        limit_concurrency=_CONNECTIONS,
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
        self,
        app: ASGIApp,
        limits: Limits,
        uploads: Uploads | None = None,
        hosts: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        root_path: str = "",
        policy: str = "",
        behind_proxy: bool = False,
    ) -> None:
        self.app, self.limits, self.uploads = app, limits, uploads
        self.hosts, self.origins, self.root_path = hosts, origins, root_path
        self.policy, self.behind_proxy = policy, behind_proxy
        self.reading = 0  # bytes of JSON that are being read now
        self.logins = Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP (the start and the end of the server) passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        whole = _Answer(send, self._dress, {})
        scope = self._believed(scope)
        root = self._root(scope)
        try:
            self._check_sender(scope)
            scope = self._below(scope)
            self._check_size(scope)
            self._check_patience(scope)
            scope, is_file = self._routed(scope)
            _check_method(scope)
            receive = await self._limited(scope, receive, root)
        except HTTPException as refusal:
            await _refusal(scope, refusal)(scope, receive, whole)
            return
        names = {} if self.uploads is None else self.uploads.names
        named = _Answer(send, self._dress, {**names, HERE.encode(): root.encode()})
        answer = whole if is_file else named
        await self.app(scope, receive, answer)
        if _is_login(scope) and answer.status == 200:
            self.logins.right(_address(scope))
        elif _is_login(scope) and answer.status == 422:  # without a name or a password
            self.logins.undone(_address(scope))

    def _believed(self, scope: Scope) -> Scope:
        """The request without what only a proxy can know, where there is none."""
        # Gradio would believe it about where the page is.
        unbelieved = (b"x-gradio-server",) if self.behind_proxy else _PROXIED
        kept = [(name, value) for name, value in scope["headers"] if name not in unbelieved]
        return {**scope, "headers": kept}

    def _check_sender(self, scope: Scope) -> None:
        """Refuses names of this server that are not its own, and other web pages."""
        headers = Headers(scope=scope)
        forwarded = headers.getlist("x-forwarded-host")
        hosts = [name.strip() for text in forwarded for name in text.split(",")]
        hosts += headers.getlist("host") or [""]
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise HTTPException(421, "the request's Host is no host name; use the page's address")
        names = {_hostname(host) for host in hosts}
        if self.hosts and not names <= {*self.hosts}:
            raise HTTPException(421, f"this server answers to {', '.join(self.hosts)} only")
        is_link = scope["method"] in _READING and self._stripped(scope["path"]) in _LINKED
        if not is_link and not self._is_own(headers):
            raise HTTPException(403, "this server does not work for other web pages")

    def _is_own(self, headers: Headers) -> bool:
        """Whether it is the page itself that asks, or no web page at all.

        Browsers tell in `Sec-Fetch-Site` over HTTPS and on this machine, and in `Origin` wherever
        something is to be changed; programs tell neither. What a proxy was called no page can say
        for it, as this server allows no other page a header of its own.
        """
        called = [headers.get("host", ""), headers.get("x-forwarded-host", "").partition(",")[0]]
        own = {_authority(name) for name in (*called, *self.origins) if name}
        return all(
            site in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")
        ) and all(_origin(origin) in own for origin in headers.getlist("origin"))

    def _root(self, scope: Scope) -> str:
        """Where this visitor sees the page, as Gradio would say it, without a slash at its end."""
        headers = Headers(scope=scope)
        scheme = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        if scheme not in ("http", "https"):
            scheme = "https" if scope.get("scheme") == "https" else "http"
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        return f"{scheme}://{host.partition(',')[0].strip()}{self.root_path}"

    def _stripped(self, path: str) -> str:
        if path == self.root_path or path.startswith(f"{self.root_path}/"):
            return path.removeprefix(self.root_path) or "/"
        return path

    def _below(self, scope: Scope) -> Scope:
        """The request as it were without the path that a proxy shows the page at."""
        if self.root_path and scope["path"] == self.root_path:  # or its own addresses lead astray
            raise HTTPException(307, headers={"location": f"{self.root_path}/"})
        path = self._stripped(scope["path"])
        if self.root_path and self._stripped(path) != path:  # whoever routes it would strip it, too
            raise HTTPException(404, "there is no such page")
        return scope if path == scope["path"] else _redirected(scope, path)

    def _check_patience(self, scope: Scope) -> None:
        """Refuses a login that comes too soon after wrong ones."""
        if _is_login(scope):
            wait = ceil(self.logins.wait(_address(scope)))
            if wait > 0:
                raise HTTPException(
                    429,
                    f"too many wrong logins; try again in {wait} seconds",
                    {"retry-after": str(wait)},
                )

    def _check_size(self, scope: Scope) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        limit = self._limit(scope)
        if not length.isdecimal() or int(length) > limit:
            raise _too_large(limit)

    def _routed(self, scope: Scope) -> tuple[Scope, bool]:
        """The request as Gradio gets it, and whether it is for a file; refuses what is shut."""
        path = scope["path"]
        if not path.startswith(_API.rstrip("/")):
            return scope, False
        wanted = _FILE.fullmatch(path)
        if wanted is not None:
            if _ADDRESS.match(wanted[1]):
                raise HTTPException(403, _FETCHES_NOTHING)
            found = self._path(wanted[1])
            if found is None:
                raise HTTPException(404, "there is no such file among the uploads")
            return _redirected(scope, f"{_API}file={found}"), True
        route = path.removeprefix(_API).partition("/")[0]
        if route not in _ROUTES:
            raise HTTPException(403, _FETCHES_NOTHING if route.startswith("proxy") else _SHUT)
        if route == "info":  # else it would be kept for all, with its first caller's address
            scope = {**scope, "query_string": scope["query_string"] + b"&page="}
        return scope, False

    def _path(self, name: object) -> str | None:
        return None if self.uploads is None else self.uploads.path(name)

    def _limit(self, scope: Scope) -> int:
        if _is_login(scope):
            return min(self.limits.login_bytes, self.limits.body_bytes)
        return self.limits.upload_bytes if _is_upload(scope) else self.limits.body_bytes

    async def _limited(self, scope: Scope, receive: Receive, root: str) -> Receive:
        """The rest of the request, never longer than its limit; JSON is read and checked here."""
        if scope["method"] in _READING:
            return receive
        if _is_upload(scope):
            await to_thread.run_sync(self._check_room)
            kind = Headers(scope=scope)["content-type"]
            counted = _counted(receive, self._limit(scope))
            return _fields_counted(counted, kind, self.limits.field_bytes)
        held = [0]
        try:
            body = await self._whole_body(_counted(receive, self._limit(scope)), held)
            # In a thread: whatever it holds, other visitors are answered.
            read = await to_thread.run_sync(self._with_paths, body, root)
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

    def _with_paths(self, body: bytes, root: str) -> bytes:
        """A request's JSON, in which every file is one of the uploads, by its path."""
        own = f"{root}{_API}file="
        # Each value but the first comes after one of these signs, in whatever encoding.
        if sum(map(body.count, (b"[", b"{", b","))) > self.limits.values:
            raise HTTPException(
                400, f"the request holds more than {self.limits.values} values; send less at once"
            )
        try:
            values = json.loads(body)  # as Gradio reads it, in whatever encoding
            files = list(_files(values))
        except RecursionError:
            raise HTTPException(400, "the request is nested too deeply") from None
        except ValueError:
            return body  # no JSON: nothing that Gradio would read
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
            if path is None and isinstance(name, str) and _ADDRESS.match(name):
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

    def _dress(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]  # Gradio's, for any page of this machine, cookies included
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers["permissions-policy"] = "camera=(self), microphone=(), geolocation=()"
        headers["cross-origin-opener-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        headers.setdefault("content-security-policy", self.policy)
        if message["status"] == 503:
            headers.setdefault("retry-after", _RETRY)


class _Answer:
    """Sends an answer with its headers, some things in it called by other names."""

    def __init__(
        self, send: Send, dress: Callable[[Message], None], names: Mapping[bytes, bytes]
    ) -> None:
        self.send, self.dress = send, dress
        self.renamed: Renaming | None = Renaming(names) if names else None
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.dress(message)
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            if "content-encoding" in headers or not _is_text(headers.get("content-type", "")):
                self.renamed = None
            elif self.renamed is not None:
                del headers["content-length"]  # of the answer with the other names
        elif self.renamed is not None and message["type"] == "http.response.body":
            said = self.renamed(message.get("body", b""), message.get("more_body", False))
            message = {**message, "body": said}
        await self.send(message)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.partition(";")[0].strip() == "application/json"


def _refusal(scope: Scope, refusal: HTTPException) -> Response:
    """An answer that says why not: in JSON to whoever speaks JSON, as Gradio's own are."""
    kind = Headers(scope=scope).get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "application/json":
        return JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
    return PlainTextResponse(refusal.detail, refusal.status_code, refusal.headers)


def _redirected(scope: Scope, path: str) -> Scope:
    """The same request for another path."""
    return {**scope, "path": path, "raw_path": quote(path).encode()}


def _check_method(scope: Scope) -> None:
    """Refuses what is sent to an address that takes nothing, before any of it is read."""
    if scope["method"] in _READING or _is_login(scope):
        return
    path = scope["path"]
    route = path.removeprefix(_API).partition("/")[0] if path.startswith(_API) else ""
    if scope["method"] != "POST" or route not in _POSTED:
        raise HTTPException(405, _NOT_SENT_TO, {"allow": "GET, HEAD"})


def _is_login(scope: Scope) -> bool:
    return scope["method"] == "POST" and scope["path"].rstrip("/") == "/login"


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _hostname(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _authority(host: str) -> str:
    """A host with its port, as browsers write it in an origin: the usual ports are left out."""
    return re.sub(r":(80|443)$", "", host.strip().lower())


def _origin(origin: str) -> str | None:
    """The host and port of an origin; None where a page hides its own."""
    found = re.fullmatch(r"https?://([^/@]+)", origin.strip().lower())
    return None if found is None else _authority(found[1])


def _is_upload(scope: Scope) -> bool:
    """Whether the body holds files; only then may it be as large as an upload."""
    kind = Headers(scope=scope).get("content-type", "")
    is_form = kind.partition(";")[0].strip().lower() == "multipart/form-data"
    return is_form and scope["path"].rstrip("/") == f"{_API}upload"


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
    boundary = parse_options_header(kind.encode("latin-1"))[1].get(b"boundary")
    if boundary is None:
        return receive  # Gradio reads no such form
    fields = _Fields(boundary)

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


class _Fields:
    """Counts the bytes of a form's fields that Gradio would keep in memory: all that are no file.

    The form is read by the parser that Gradio reads it with, header by header as Gradio does.
    """

    def __init__(self, boundary: bytes) -> None:
        self.total = 0
        self.name = self.value = self.disposition = b""
        self.is_file = False
        self.parser: MultipartParser | None = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._field,
                "on_header_value": self._value,
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
            },
        )

    def read(self, part: bytes) -> None:
        """Counts what comes; of a damaged form nothing more, as Gradio stops there as well."""
        try:
            if self.parser is not None:
                self.parser.write(part)
        except MultipartParseError:
            self.parser = None

    def _begin(self) -> None:
        self.disposition, self.is_file = b"", False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def _header(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name = self.value = b""

    def _headers(self) -> None:
        self.is_file = b"filename" in parse_options_header(self.disposition)[1]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self.is_file:
            self.total += end - start


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
