"""Who asks: the page itself, a program, a proxy; and no other web page.

Starlette's `TrustedHostMiddleware` does less than is needed here: it reads the first `Host` only
and not what a proxy forwards; where any name is answered to, it lets through what is none, though
that comes back in answers; and its refusal says neither which names are answered to nor that the
request went astray (421).
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

READING = ("GET", "HEAD")

_LINKED = ("/", "/healthz")  # what a link of another page may lead to
_PROXIED = (
    *(b"x-gradio-server", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for"),
    *(b"x-forwarded-port", b"x-forwarded-prefix", b"forwarded"),
)
# A name or an address, with a port or without; both come back in answers.
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)


class Senders:
    """Who is answered to, and where the page is to them.

    Args:
        hosts: names of this server that are answered to; none is any.
        origins: what a proxy calls this server.
        root_path: where a proxy shows the page.
        behind_proxy: believe a proxy about the host and the scheme that a visitor sees.
    """

    def __init__(
        self,
        hosts: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        root_path: str = "",
        behind_proxy: bool = False,
    ) -> None:
        self.hosts, self.origins = hosts, origins
        self.root_path, self.behind_proxy = root_path, behind_proxy

    def believed(self, scope: Scope) -> Scope:
        """The request without what only a proxy can know, where there is none."""
        # Gradio would believe it about where the page is.
        unbelieved = (b"x-gradio-server",) if self.behind_proxy else _PROXIED
        kept = [(name, value) for name, value in scope["headers"] if name not in unbelieved]
        return {**scope, "headers": kept}

    def check(self, scope: Scope) -> None:
        """Refuses names of this server that are not its own, and other web pages."""
        headers = Headers(scope=scope)
        forwarded = headers.getlist("x-forwarded-host")
        hosts = [name.strip() for text in forwarded for name in text.split(",")]
        hosts += headers.getlist("host") or [""]
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise HTTPException(421, "the request's Host is no host name; use the page's address")
        names = {hostname(host) for host in hosts}
        if self.hosts and not names <= {*self.hosts}:
            raise HTTPException(421, f"this server answers to {', '.join(self.hosts)} only")
        is_link = scope["method"] in READING and self.stripped(scope["path"]) in _LINKED
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

    def root(self, scope: Scope) -> str:
        """Where this visitor sees the page, as Gradio would say it, without a slash at its end."""
        headers = Headers(scope=scope)
        scheme = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        if scheme not in ("http", "https"):
            scheme = "https" if scope.get("scheme") == "https" else "http"
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        return f"{scheme}://{host.partition(',')[0].strip()}{self.root_path}"

    def stripped(self, path: str) -> str:
        """A path without the one that a proxy shows the page at."""
        if path == self.root_path or path.startswith(f"{self.root_path}/"):
            return path.removeprefix(self.root_path) or "/"
        return path


def address_of(scope: Scope) -> str:
    """The network address that a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def hostname(host: str) -> str:
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
