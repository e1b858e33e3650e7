"""`captioner ui`: the web page, served from this machine."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
import webbrowser
from threading import Timer
from typing import Any

from captioner.cli import flags
from captioner.cli.models import load_captioner
from captioner.errors import ConfigError

PASSWORD = "CAPTIONER_PASSWORD"
"""The variable that holds the password of --auth, where that gives a name alone."""


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "ui",
        usage="captioner ui [options]",
        description="Serves the web page: drop a photo, touch a word of its caption, and see where "
        "it looked.\nNothing leaves this machine, and only this machine reaches the page unless "
        "--host says otherwise.",
        epilog="""\
examples:
  captioner ui --open
  captioner ui --checkpoint runs/mine/best.safetensors --port 8000
  captioner ui --host 0.0.0.0 --auth ann              (asks for ann's password)
  captioner ui --allow-host captions.example --root-path /captions   (behind a proxy)""",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 is every network (default: 127.0.0.1, this machine)",
    )
    parser.add_argument(
        "--port",
        type=flags.whole(0, 65535),  # 0: any that is free
        default=7860,
        metavar="N",
        help="port to listen on (default: 7860)",
    )
    parser.add_argument(
        "--auth",
        metavar="NAME",
        help="what visitors must give before they see the page, with a password that is in "
        "CAPTIONER_PASSWORD or asked for; NAME:PASSWORD shows it to whoever lists processes",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="what a reverse proxy calls the page, such as captions.example or example.org:8443 "
        "(may be repeated)",
    )
    parser.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="where a reverse proxy shows the page, such as /captions (default: at the top)",
    )
    parser.add_argument(
        "--embed",
        metavar="SITE",
        help="a web site that may show the page in a frame, such as https://huggingface.co",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--translator",
        type=flags.file_name,
        metavar="FILE",
        help="weights that translate (default: as they came along)",
    )
    flags.add_model(parser)
    flags.add_runtime(parser)
    flags.add_map_size(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves the page until it is interrupted or told to end; returns 0."""
    ancestors, root_path = _ancestors(arguments.embed), _root_path(arguments.root_path)
    names = [_name(name) for name in arguments.allow_host]
    auth = _auth(arguments.auth)
    from captioner.ui import server

    with server.bound(arguments.host, arguments.port) as listener:  # before weights are loaded
        port = listener.getsockname()[1]
    captioner = load_captioner(arguments)
    from captioner.ui import app

    page = app.serving(
        captioner,
        hosts=server.hosts_of(arguments.host, names),
        origins=names,
        root_path=root_path,
        auth=auth,
        frame_ancestors=ancestors,
    )
    address = f"http://{_shown(arguments.host)}:{port}{root_path}"
    print(f"captioner ui: {address} (Ctrl-C stops it)", flush=True)
    if arguments.open:
        Timer(1.0, webbrowser.open, [address]).start()
    behind_proxy = bool(names or root_path)
    server.serve(page, arguments.host, port, behind_proxy=behind_proxy)
    return 0


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _auth(text: str | None) -> tuple[str, str] | None:
    """The name and the password of --auth; a name alone has its password elsewhere.

    Raises:
        ConfigError: one of them is missing.
    """
    if text is None:
        return None
    name, colon, password = text.partition(":")
    if name and not colon:
        password = os.environ.get(PASSWORD, "") or _asked(name)
    if not (name and password):
        raise ConfigError(
            "--auth takes a name, whose password is in the environment's "
            f"{PASSWORD} or asked for, or both with a colon between: ann:secret"
        )
    return name, password


def _asked(name: str) -> str:
    """The password as it is typed; empty where nobody is there to type."""
    if not sys.stdin or not sys.stdin.isatty():
        return ""
    try:
        return getpass.getpass(f"password of {name}, for visitors of the page: ")
    except EOFError:
        return ""


def _name(text: str) -> str:
    """A name of this server as --allow-host gives it, in lower case.

    Raises:
        ConfigError: that is no host name, with or without a port.
    """
    if not re.fullmatch(
        r"([\w-]+(\.[\w-]+)*|\[[0-9a-f:]+\])(:\d+)?", text, re.ASCII | re.IGNORECASE
    ):
        raise ConfigError(
            f"--allow-host is {text!r}; expected a host name such as captions.example, with its "
            "port where that is not 80 or 443"
        )
    return text.lower()


def _root_path(text: str) -> str:
    """Where a proxy shows the page, as --root-path gives it, without a slash at its end.

    Raises:
        ConfigError: that is no path.
    """
    if not re.fullmatch(r"(/[\w.~-]+)*/?", text, re.ASCII) or {".", ".."} & {*text.split("/")}:
        raise ConfigError(f"--root-path is {text!r}; expected a path such as /captions")
    return text.rstrip("/")


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
