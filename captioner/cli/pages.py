"""`captioner ui`: the web page, served from this machine."""

from __future__ import annotations

import argparse
import re
import webbrowser
from threading import Timer

from captioner.cli.models import load_captioner
from captioner.errors import ConfigError


def ui(arguments: argparse.Namespace) -> int:
    """Serves the page until it is interrupted; returns 0."""
    auth, ancestors = _auth(arguments.auth), _ancestors(arguments.embed)
    from captioner.ui import server

    with server.bound(arguments.host, arguments.port) as listener:  # before weights are loaded
        port = listener.getsockname()[1]
    captioner = load_captioner(arguments)
    from captioner.ui import app

    hosts = server.hosts_of(arguments.host)
    page = app.serving(captioner, hosts=hosts, auth=auth, frame_ancestors=ancestors)
    address = f"http://{_shown(arguments.host)}:{port}"
    print(f"captioner ui: {address} (Ctrl-C stops it)", flush=True)
    if arguments.open:
        Timer(1.0, webbrowser.open, [address]).start()
    server.serve(page, arguments.host, port)
    return 0


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _auth(text: str | None) -> tuple[str, str] | None:
    """A name and a password, as --auth gives them.

    Raises:
        ConfigError: one of them is missing.
    """
    if text is None:
        return None
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise ConfigError("--auth takes a name and a password with a colon between: ann:secret")
    return name, password


def _ancestors(site: str | None) -> str:
    """The pages that may show this one in a frame: its own, and those of --embed.

    Raises:
        ConfigError: that is no web site's address.
    """
    if site is None:
        return "'self'"
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", site, re.ASCII):
        raise ConfigError(
            f"--embed is {site!r}; expected a web site such as https://huggingface.co"
        )
    return f"'self' {site.rstrip('/')}"
