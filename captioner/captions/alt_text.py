"""Alternative texts: what stands for a photo where it is heard instead of seen."""

from __future__ import annotations

import re

LONGEST = 125  # characters; longer ones are cut or read in pieces by some screen readers
UNSURE = " (unsure)"
_OPENING = re.compile(
    r"(?:(?:an?|the|this is an?|this)\s+)?"
    r"(?:(?:close[- ]?up|black and white|colou?r|blurry|small|large|old)\s+)*"
    r"(?:image|photo|photograph|picture|pic|shot|view|close[- ]?up)\s+"
    r"(?:of|shows|showing|depicting)\s+(?:an?\s+(?=\w)|the\s+(?=\w))?",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(an?|the)\s+$", re.IGNORECASE)


def alt_text(caption: str, *, unsure: bool = False) -> str:
    """A caption as alternative text: no "image of" before it, at most `LONGEST` characters.

    A screen reader says by itself that there is an image. Too long a text is cut behind a word.

    Args:
        caption: a sentence.
        unsure: mark it, so that somebody looks before it is published.
    """
    text = " ".join(caption.split())
    opening = _OPENING.match(text)
    if opening and opening.end() < len(text):
        article = _ARTICLE.search(opening.group())
        text = (article.group() if article else "") + text[opening.end() :]
        text = text[:1].upper() + text[1:]
    mark = UNSURE if unsure and text else ""
    return _cut(text, LONGEST - len(mark)) + mark


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[: most - 1].rpartition(" ")[0].rstrip(",;:–- ") or text[: most - 1]
    return f"{kept}…"
