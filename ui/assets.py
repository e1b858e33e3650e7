"""The page's own html, css, js and words, which come along as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "ko")


@cache
def _text(name: str) -> str:
    return (files("captioner.ui") / name).read_text(encoding="utf-8")


def markup(viewer: str) -> str:
    """The static html of a viewer; no data ever goes into it."""
    return f'<div class="{viewer}"></div>'


def style(viewer: str) -> str:
    """The css of a viewer; every rule starts with the viewer's class."""
    return _text(f"{viewer}.css")


def script(viewer: str) -> str:
    """The body of a viewer's function of `element`, `props`, `trigger` and `watch`."""
    return f"{_text('maps.js')}\n{_text(f'{viewer}.js')}"


@cache
def strings() -> Mapping[str, Mapping[str, str]]:
    """The page's words: language → key → text."""
    words: Mapping[str, Mapping[str, str]] = json.loads(_text("strings.json"))
    return words
