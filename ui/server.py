"""The web server around the page: health, the address it listens on, and the guard in front.

The page itself is mounted by its owner (`create` takes a function that does so). `guard` holds for
every request, and answers its questions one by one: who asks (`senders`), for what (`routes`), how
much (`bodies`, `forms`); and what goes out (`answers`).
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI

from captioner.errors import ConfigError
from captioner.ui.answers import POLICY
from captioner.ui.bodies import Limits
from captioner.ui.guard import Guard
from captioner.ui.questions import Questions
from captioner.ui.senders import Senders, hostname
from captioner.ui.uploads import Uploads

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_LOOPBACKS = re.compile(r"127\.\d+\.\d+\.\d+")
_LIMITS = Limits()
_CONNECTIONS = 256  # open ones; every visitor's page keeps one or two


def create(
    mount: Callable[[FastAPI], Any],
    *,
    health: Callable[[], Mapping[str, Any]] = dict,
    limits: Limits = _LIMITS,
    uploads: Uploads | None = None,
    questions: Questions | None = None,
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
        questions: what may be asked of the page; None is anything.
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
        senders=Senders(tuple(hosts), tuple(origins), root_path, behind_proxy),
        limits=limits,
        uploads=uploads,
        questions=questions,
        policy=POLICY.format(ancestors=frame_ancestors),
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
    named = tuple(hostname(name) for name in names)
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
