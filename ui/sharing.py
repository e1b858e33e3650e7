"""What a link to the page looks like where it is shared: its title, its picture and its icon."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from captioner.captions.caption import Caption
from captioner.pictures.animation import sentence
from captioner.pictures.blocks import BOLD, REGULAR, Block, fitted, font, matted, paragraph, stacked
from captioner.pictures.ink import INK, MUTED, PAPER
from captioner.pictures.scale import spread

TITLE = "captioner: what is in a photo, and where it looked for every word"
DESCRIPTION = "Drop a photo: it says what is there, and for every word it shows where it looked."
ICON = Path(str(files("captioner.ui") / "static/icon.svg"))

_PICTURE = "/share.jpg"
_SIZE, _HALF = (1200, 630), 600  # pixels, as the sites that show links want them

# What Gradio writes into its pages, for whoever reads them without running their scripts. Within
# JSON, which an answer may hold, the quotation marks would be escaped.
_FOREIGN = "https://raw.githubusercontent.com/gradio-app/gradio/main/js/_website/src/lib/assets"


def meta(root: str) -> dict[bytes, bytes]:
    """What the page's head says instead of Gradio's own words, for a page at `root`."""
    head = f'<title>{TITLE}</title><meta name="description" content="{DESCRIPTION}" />'
    said = {
        '<meta property="og:title" content="Gradio" />': (
            f'{head}<meta property="og:title" content="{TITLE}" />'
        ),
        f'content="{_FOREIGN}/img/header-image.jpg"': f'content="{root}{_PICTURE}"',
        'content="Click to try out the app!"': f'content="{DESCRIPTION}"',
        'name="twitter:title" content="Gradio"': f'name="twitter:title" content="{TITLE}"',
        '<meta property="og:url" content="https://gradio.app/" />': "",
        'property="og:url" content="{url}"': f'property="og:url" content="{root}/"',
        '<meta property="og:image" content="" />': "",
        'description"\n\t\t\tcontent=""': f'description" content="{DESCRIPTION}"',
        '<meta name="twitter:image" content="" />': "",
        '<meta name="twitter:creator" content="@Gradio" />': "",
        '<meta name="twitter:creator" content="@teamGradio" />': "",
    }
    return {name.encode(): other.encode() for name, other in said.items()}


def serve(app: FastAPI, caption: Caption) -> None:
    """Adds the picture that sites show with a link: the caption that the page begins with."""
    data = picture(caption)

    @app.get(_PICTURE)
    def share() -> Response:
        return Response(data, media_type="image/jpeg")


def picture(caption: Caption) -> bytes:
    """A JPEG of 1200 × 630 pixels: the photo under the map of one word, and the sentence."""
    named = (place for place, word in enumerate(caption.words) if word.copied)
    shown = next(named, int(spread(caption.maps).argmin()) if len(caption.maps) else -1)
    look = caption.overlay(shown) if len(caption.maps) else caption.photo()
    ground = matted(fitted(look, (_HALF - 80, _SIZE[1] - 80)), (_HALF, _SIZE[1]), PAPER)
    width = _SIZE[0] - _HALF - 40
    text = stacked(
        [
            paragraph("captioner", font(30, BOLD), MUTED, width),
            sentence([word.text for word in caption.words], shown, 44, width),
            paragraph(DESCRIPTION.partition(": ")[2].capitalize(), font(26, REGULAR), INK, width),
        ],
        36,
    )
    beside = text.moved(_HALF, max(0, (_SIZE[1] - text.height) // 2))
    buffer = io.BytesIO()
    Block(*_SIZE, (*ground.marks, *beside)).painted().save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
