"""The page's own html, css, js and texts, which come along as files.

The viewers are ES modules in `static/`. A page without a server has to hold a whole viewer, and
Gradio takes the body of a function: `script` puts the modules that a viewer imports into one text,
each in a scope of its own, in the order in which they need each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "ko")
"""What the page can be read in; all its texts are in `strings.json`."""

BOTH = (
    *("need_photo", "need_files", "need_lines"),
    *("greyed", "rescaled", "unmatched", "beside_wrong"),  # with what is put in their places
)
"""Texts that are sent in both languages, where the server cannot know the visitor's."""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (function|const) (\w+)", re.MULTILINE)

_MODULE = """const {name}Module = (function () {{
{imports}{body}
return {{ {exports} }};
}})();
"""
_START = """const TEXTS = {texts};
const LANGUAGE = (document.documentElement.lang || navigator.language || "en").startsWith("ko")
  ? "ko" : "en";
{name}Module.start({{
  element, props, trigger, watch, language: LANGUAGE, texts: TEXTS[LANGUAGE],
}});
"""


@cache
def _text(name: str) -> str:
    return (files("captioner.ui") / name).read_text(encoding="utf-8")


def markup(viewer: str) -> str:
    """The static html of a viewer; no data ever goes into it."""
    return f'<div class="{viewer}"></div>'


def style(viewer: str) -> str:
    """The css of a viewer; every rule starts with the viewer's class."""
    return _text(f"static/{viewer}.css")


def module(name: str) -> str:
    """The text of an ES module."""
    return _text(f"static/{name}.js")


@cache
def early() -> dict[bytes, bytes]:
    """What is put before the scripts of Gradio's pages: what has to be there when they load."""
    own = "<script data-gradio-mode>"
    return {own.encode(): f"<script>{module('frames')}</script>{own}".encode()}


def modules(viewer: str) -> tuple[str, ...]:
    """The modules of a viewer, each behind those that it imports; the last is the viewer's own."""
    return tuple(dict.fromkeys(_needed(viewer, ())))


def _needed(name: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in above:
        raise ValueError(f"{name}.js imports itself, by way of {' and '.join(above)}")
    for _, needed in _IMPORT.findall(module(name)):
        yield from _needed(needed, (*above, name))
    yield name


@cache
def script(viewer: str) -> str:
    """The body of a viewer's function of `element`, `props`, `trigger` and `watch`."""
    bundled = "".join(_scoped(name) for name in modules(viewer))
    return bundled + _START.format(name=viewer, texts=json.dumps(texts(viewer), ensure_ascii=False))


def _scoped(name: str) -> str:
    """A module as a function that is called once and returns what the module exports."""
    text = module(name)
    exports = ", ".join(found for _, found in _EXPORT.findall(text))
    imports = "".join(
        f"const {{{names}}} = {needed}Module;\n" for names, needed in _IMPORT.findall(text)
    )
    body = _EXPORT.sub(r"\1 \2", _IMPORT.sub("", text)).strip()
    return _MODULE.format(name=name, imports=imports, body=body, exports=exports)


def texts(viewer: str) -> dict[str, dict[str, str]]:
    """What a viewer says, by language; what all of them say included."""
    said = strings()
    return {language: {**said[language]["shared"], **said[language][viewer]} for language in said}


@cache
def reasons() -> str:
    """What errors say, in Korean, as JSON: [a pattern of the English line, its translation]."""
    pairs = json.loads(_text("reasons.json"))
    said = {key: {code: texts["page"][key] for code, texts in strings().items()} for key in BOTH}
    return json.dumps({"patterns": pairs, "both": list(said.values())}, ensure_ascii=False)


@cache
def strings() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """All that the page says: language → part of the page → key → text."""
    words: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(_text("strings.json"))
    return words
