"""How events are queued, and how their errors reach the person who asked.

Every event has a name, so that none takes the name of a public endpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gradio as gr

from captioner.errors import CaptionerError
from captioner.ui.messages import public_message

MODEL = "model"
"""The queue that every event that runs the model shares."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
ASKING: dict[str, Any] = {**QUIET, "concurrency_id": MODEL, "concurrency_limit": 2}
LATEST: dict[str, Any] = {"trigger_mode": "always_last", **ASKING}
MANY: dict[str, Any] = {**QUIET, "concurrency_id": "many", "concurrency_limit": 1}

CARD = "{choice: (viewer && viewer.choice) || 0}"
"""What the server needs of the viewer's value, in JavaScript: which card is shown, no pictures."""


def follow(
    tab: gr.Tab,
    handler: Callable[..., Any],
    *,
    api_name: str,
    js: str = "(...inputs) => inputs",
    **settings: Any,
) -> None:
    """Calls a handler when a tab is opened, and when the photo or its caption changed meanwhile.

    `js` makes of the inputs, in the browser, what the handler gets.

    Once something was written, the page's script presses the button that lies in the open tab.
    """
    changed = gr.Button(elem_classes=["fetch", "follow"])
    triggers = [tab.select, changed.click]
    gr.on(triggers, None, js=f"() => captionerPage.begin('{api_name}')", **PRIVATE)
    gr.on(
        triggers,
        with_errors(handler),
        js=f"(...inputs) => captionerPage.run('{api_name}', ...({js})(...inputs))",
        api_name=api_name,
        trigger_mode="always_last",
        **settings,
        **ASKING,
    ).then(None, js=f"() => captionerPage.end('{api_name}')", **PRIVATE)


def with_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors are shown to the person who asked, in one line."""

    @wraps(function)
    def answer(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except CaptionerError as error:
            raise _shown(error, arguments) from None

    return answer


def streaming_with_errors(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """As `with_errors`, for a handler that answers bit by bit."""

    @wraps(function)
    def answer(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except CaptionerError as error:
            raise _shown(error, arguments) from None

    return answer


def _shown(error: CaptionerError, arguments: tuple[Any, ...]) -> gr.Error:
    paths = [text for text in arguments if isinstance(text, str) and os.sep in text]
    return gr.Error(public_message(error, *paths), print_exception=False)
