"""What every answer is dressed in: headers that keep doors shut, and the page's own names.

No answer says where the server keeps its files, and none may be read by another web page.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Scope, Send

from captioner.ui.uploads import Renaming

HERE = "http://this.page.invalid"
"""What stands in answers for the page's own address, as each visitor sees it."""

FAILED = {
    quote.encode(): replacement.encode()
    for quote, replacement in (
        ('{"error": null', '{"error": "the server failed over this, and its log says why"'),
        ('{"error":null', '{"error":"the server failed over this, and its log says why"'),
    )
}
"""What Gradio says where an event failed for no reason that it may tell, and what is said instead.

Within a text, the quotation marks are escaped; no object of ours begins with its `error`.
"""

_RETRY = "10"  # seconds after which a full queue is worth another try

# Gradio compiles templates in the browser, hence the two unsafe words; there is no foreign origin
# that could be read from or written to all the same.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Answer:
    """Sends an answer with its headers, some things in it called by other names.

    Args:
        send: where it goes.
        policy: of its content, in the words of CSP, where it has none of its own.
        names: what is to be said instead of what; nothing of a file that is fetched.
    """

    def __init__(self, send: Send, policy: str, names: Mapping[bytes, bytes] | None = None) -> None:
        self.send, self.policy = send, policy
        self.renamed: Renaming | None = Renaming(names) if names else None
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Sends one part of it."""
        if message["type"] == "http.response.start":
            self._dress(message)
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

    def _dress(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]  # Gradio's, for any page of this machine, cookies included
        headers.update(_HEADERS)
        headers.setdefault("content-security-policy", self.policy)
        if message["status"] == 503:
            headers.setdefault("retry-after", _RETRY)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.partition(";")[0].strip() == "application/json"


def refusal_of(scope: Scope, refusal: HTTPException) -> Response:
    """An answer that says why not: in JSON to whoever speaks JSON, as Gradio's own are."""
    kind = Headers(scope=scope).get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "application/json":
        return JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
    return PlainTextResponse(refusal.detail, refusal.status_code, refusal.headers)
