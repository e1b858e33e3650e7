"""The colours (red, green, blue) of what is drawn around photos and maps."""

from __future__ import annotations

PAPER, MAT = (250, 250, 248), (236, 237, 236)
INK, MUTED, LINE, WARNING = (28, 33, 40), (91, 98, 108), (221, 223, 224), (150, 82, 0)
