"""What is asked for: of Gradio's many routes only those that the page and programs use."""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from captioner.ui.senders import READING, Senders
from captioner.ui.uploads import Uploads

API = "/gradio_api/"

# A scheme has two letters or more: C:/… is a path on Windows.
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)
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


class Routes:
    """Which addresses are open, and where they lead.

    Args:
        senders: know where a proxy shows the page.
        uploads: the only files that can be fetched; None is none at all.
    """

    def __init__(self, senders: Senders, uploads: Uploads | None) -> None:
        self.senders, self.uploads = senders, uploads

    def below(self, scope: Scope) -> Scope:
        """The request as it were without the path that a proxy shows the page at."""
        root, stripped = self.senders.root_path, self.senders.stripped
        if root and scope["path"] == root:  # or its own addresses lead astray
            raise HTTPException(307, headers={"location": f"{root}/"})
        path = stripped(scope["path"])
        if root and stripped(path) != path:  # whoever routes it would strip it, too
            raise HTTPException(404, "there is no such page")
        return scope if path == scope["path"] else redirected(scope, path)

    def open(self, scope: Scope) -> tuple[Scope, bool]:
        """The request as Gradio gets it, and whether it is for a file; refuses what is shut."""
        path = scope["path"]
        if not path.startswith(API.rstrip("/")):
            return scope, False
        wanted = _FILE.fullmatch(path)
        if wanted is not None:
            if ADDRESS.match(wanted[1]):
                raise HTTPException(403, _FETCHES_NOTHING)
            found = None if self.uploads is None else self.uploads.path(wanted[1])
            if found is None:
                raise HTTPException(404, "there is no such file among the uploads")
            return redirected(scope, f"{API}file={found}"), True
        route = path.removeprefix(API).partition("/")[0]
        if route not in _ROUTES:
            raise HTTPException(403, _FETCHES_NOTHING if route.startswith("proxy") else _SHUT)
        if route == "info":  # else it would be kept for all, with its first caller's address
            scope = {**scope, "query_string": scope["query_string"] + b"&page="}
        return scope, False


def redirected(scope: Scope, path: str) -> Scope:
    """The same request for another path."""
    return {**scope, "path": path, "raw_path": quote(path).encode()}


def check_method(scope: Scope) -> None:
    """Refuses what is sent to an address that takes nothing, before any of it is read."""
    if scope["method"] in READING or is_login(scope):
        return
    path = scope["path"]
    route = path.removeprefix(API).partition("/")[0] if path.startswith(API) else ""
    if scope["method"] != "POST" or route not in _POSTED:
        raise HTTPException(405, _NOT_SENT_TO, {"allow": "GET, HEAD"})


def is_login(scope: Scope) -> bool:
    """Whether a name and a password are sent."""
    return scope["method"] == "POST" and scope["path"].rstrip("/") == "/login"


def is_upload(scope: Scope) -> bool:
    """Whether the body holds files; only then may it be as large as an upload."""
    kind = Headers(scope=scope).get("content-type", "")
    is_form = kind.partition(";")[0].strip().lower() == "multipart/form-data"
    return is_form and scope["path"].rstrip("/") == f"{API}upload"
