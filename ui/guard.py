"""Stands before every request: who asks, for what, how much; and dresses every answer."""

from __future__ import annotations

from math import ceil

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from captioner.ui import assets, sharing
from captioner.ui.answers import FAILED, HERE, Answer, refusal_of
from captioner.ui.bodies import Bodies, Limits
from captioner.ui.logins import Logins
from captioner.ui.questions import Questions
from captioner.ui.routes import Routes, check_method, is_login
from captioner.ui.senders import Senders, address_of
from captioner.ui.uploads import Uploads


class Guard:
    """An ASGI application around another one.

    Args:
        app: what is guarded.
        senders: who is answered to.
        limits: of what is sent.
        uploads: the only files that can be named and fetched; None is none at all.
        policy: of answers' content, in the words of CSP.
        questions: what may be asked; None is anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        senders: Senders,
        limits: Limits,
        uploads: Uploads | None = None,
        policy: str = "",
        questions: Questions | None = None,
    ) -> None:
        self.app, self.senders, self.policy = app, senders, policy
        self.routes, self.bodies = Routes(senders, uploads), Bodies(limits, uploads, questions)
        self.questions = questions or Questions({}, {}, lambda _: True)
        self.names = {} if uploads is None else uploads.names
        self.logins = Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP (the start and the end of the server) passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        plain = Answer(send, self.policy)
        scope = self.senders.believed(scope)
        root = self.senders.root(scope)
        try:
            self.senders.check(scope)
            scope = self.routes.below(scope)
            self.bodies.check_size(scope)
            self._check_patience(scope)
            scope, is_file = self.routes.open(scope)
            check_method(scope)
            receive = await self.bodies.limited(scope, receive, root)
            self.questions.check_answer(scope)
        except HTTPException as refusal:
            await refusal_of(scope, refusal)(scope, receive, plain)
            return
        named = Answer(send, self.policy, self._said(root))
        answer = plain if is_file else named
        with self.questions.handing_out(scope):
            await self.app(scope, receive, answer)
        if is_login(scope) and answer.status == 200:
            self.logins.right(address_of(scope))
        elif is_login(scope) and answer.status == 422:  # without a name or a password
            self.logins.undone(address_of(scope))

    def _said(self, root: str) -> dict[bytes, bytes]:
        """What answers say instead of what, for a visitor who sees the page at `root`."""
        page = {**sharing.meta(root), **assets.early()}
        return {**self.names, **FAILED, **page, HERE.encode(): root.encode()}

    def _check_patience(self, scope: Scope) -> None:
        """Refuses a login that comes too soon after wrong ones."""
        if is_login(scope):
            wait = ceil(self.logins.wait(address_of(scope)))
            if wait > 0:
                raise HTTPException(
                    429,
                    f"too many wrong logins; try again in {wait} seconds",
                    {"retry-after": str(wait)},
                )
