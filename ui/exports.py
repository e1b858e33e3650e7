"""What a person takes along: a page that works without a server, sheets, tables, one ZIP of all.

The page holds the viewer of the web page itself (`viewer.html`, `viewer.css`, `viewer.js`) and one
caption as JSON. Captions, words and file names may hold anything at all, so nothing of them is ever
part of the page's markup: the JSON escapes what could end its element, the viewer writes text only,
and the page's content security policy lets no script run but the viewer, named by its digest.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import dataclasses
import hashlib
import html
import io
import itertools
import json
import re
import shutil
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from captioner.errors import CaptionerError
from captioner.outputs import Sheets
from captioner.pictures.animation import frames, gif
from captioner.pictures.drawings import save_png
from captioner.pictures.scale import spread
from captioner.ui import assets

if TYPE_CHECKING:
    from captioner.captions.caption import Caption

COLUMNS = (
    "file",
    "caption",
    "alt_text",
    "log_prob",
    "mean_probability",
    "mean_spread",
    "confidence",
    "error",
)
"""The columns of the CSV table; `alt_text` is what a person made of the caption."""

# What makes a spreadsheet compute a cell, at its beginning or after what may part it into several:
# Excel splits by semicolons in half of the world.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[ ]*[=+\-@\t\r])")
_LONGEST_NAME = 80
_MOST_BYTES = 200  # of a name in an archive, as of an upload; file systems take 255
_ESCAPED = re.compile("%(?:22|0A|0D)")  # what browsers make of the signs " and line feed in a name
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)  # Windows' own
_LONGEST_LINE = 500  # characters of a credit
_PHOTO = re.compile(r"data:image/jpeg;base64,[0-9A-Za-z+/=]+")

# The names of Gradio's own colours, which the viewer takes, for a page without Gradio.
COLOURS = """
:root { color-scheme: light;
  --body-background-fill: #fafaf8; --background-fill-primary: #ffffff;
  --background-fill-secondary: #f3f3f1; --body-text-color: #1c2128;
  --body-text-color-subdued: #5b626c; --border-color-primary: #dddfe0;
  --block-background-fill: #ffffff; --color-accent: #b45309; --color-accent-soft: #fef3e2;
  --link-text-color: #9a4a06; --error-text-color: #b91c1c; --input-background-fill: #ffffff;
  --button-secondary-background-fill: #ececea; --button-secondary-text-color: #1c2128;
  --radius-md: 8px; --radius-lg: 12px; }
:root.dark { color-scheme: dark;
  --body-background-fill: #14171c; --background-fill-primary: #1b1f26;
  --background-fill-secondary: #242932; --body-text-color: #eceef1;
  --body-text-color-subdued: #a9b0ba; --border-color-primary: #3b424d;
  --block-background-fill: #1b1f26; --color-accent: #f59e0b; --color-accent-soft: #3a2a10;
  --link-text-color: #fbbf55; --error-text-color: #fca5a5; --input-background-fill: #242932;
  --button-secondary-background-fill: #2f3540; --button-secondary-text-color: #eceef1; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--body-background-fill); color: var(--body-text-color);
  font: 16px/1.5 system-ui, "Noto Sans KR", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: clamp(0.75rem, 3vw, 2rem); }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 12px; }
figcaption, footer { font-size: 0.85rem; color: var(--body-text-color-subdued); }
footer { margin-top: 1rem; }
@media (scripting: enabled) { figure { display: none; }
  h1 { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); } }
"""

# Dark or light is the reader's own choice, also when it changes while the page is open. The viewer
# is run as Gradio runs it: a function body with these four names; there is nobody to trigger.
_START = """
(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", paint);
  paint();
  const page = document.documentElement;
  if (!page.lang) page.lang = (navigator.language || "en").startsWith("ko") ? "ko" : "en";
  const value = JSON.parse(document.getElementById("captioner-view").textContent);
  const root = document.getElementById("captioner-root");
  const start = function (element, props, trigger, watch) {
%s
  };
  start(root, { value: value }, function () {}, function () {});
})();
"""

_PAGE = """<!doctype html>
<html lang="%(language)s">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%(policy)s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="captioner">
<title>%(title)s</title>
<style>%(colours)s
%(style)s</style>
</head>
<body>
<main>
<h1>%(title)s</h1>
%(figure)s<div id="captioner-root">%(markup)s</div>
<footer>%(credit)sMade with captioner.</footer>
</main>
<script type="application/json" id="captioner-view">%(data)s</script>
<script>%(script)s</script>
</body>
</html>
"""


def page(view: Mapping[str, Any], *, language: str = "") -> str:
    """One HTML file, without a server or a network, in which the words still answer.

    Args:
        view: what the viewer shows, as `values.view` makes it; its `offline` is set, so that the
            viewer leaves out what only a server can do.
        language: of the viewer's own texts, `en` or `ko`; empty is what the reader's browser
            prefers.
    """
    script = _START % assets.script("viewer")
    title = str(view.get("caption") or view.get("title") or "captioner")
    return _PAGE % {
        "language": html.escape(language, quote=True),
        "policy": _policy(script),
        "title": html.escape(title, quote=True),
        "colours": COLOURS,
        "style": assets.style("viewer"),
        "figure": _figure(view, title),
        "credit": f"{html.escape(_one_line(view.get('credit')))} · " if view.get("credit") else "",
        "markup": assets.markup("viewer"),
        "data": script_json({**view, "offline": True}),
        "script": script,
    }


def _figure(view: Mapping[str, Any], title: str) -> str:
    """The photo with each word's probability, for a reader whose scripts do not run."""
    photo = str(view.get("photo", ""))
    if not _PHOTO.fullmatch(photo):
        return ""
    listed = view.get("words")
    words = [word for word in listed if isinstance(word, dict)] if isinstance(listed, list) else []
    said = " · ".join(
        f"{_one_line(word.get('text'))} {100 * word['prob']:.0f} %"
        for word in words
        if isinstance(word.get("prob"), (int, float)) and 0 <= word["prob"] <= 1
    )
    alt = html.escape(title, quote=True)
    return (
        f'<figure><img alt="{alt}" src="{photo}"><figcaption>{html.escape(said)}</figcaption>'
        "</figure>\n"
    )


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_LONGEST_LINE]


def script_json(value: Any) -> str:
    """JSON that may stand inside a `script` element: no character of it can end or open one."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")  # outside of strings JSON has none of them
    return text


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def public(caption: Caption) -> Caption:
    """The caption with its photo's bare name in `file` and in `error`: no folder of the server."""
    paths = [caption.file] if caption.file else []
    if isinstance(caption.source, (str, PathLike)):
        paths.append(fspath(caption.source))
    error = caption.error and without_folders(caption.error, *paths)
    others = tuple(public(other) for other in caption.n_best)
    return dataclasses.replace(
        caption,
        file=caption.file and base_name(caption.file),
        error=error,
        n_best=others,
        original=caption.original and public(caption.original),
    )


def without_folders(message: str, *paths: str) -> str:
    """A message that names files by their bare names."""
    for path in paths:
        # A name's odd signs look different in a message; the folder of an upload has none.
        folder = path.removesuffix(base_name(path))
        message = message.replace(folder, "") if len(folder) > 1 else message
    return message


def base_name(path: str) -> str:
    """The last part of a path, in whichever system's spelling."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def file_name(caption: Caption, suffix: str) -> str:
    """A name for a download that every file system takes: `dog.html` for `holiday/dog.jpg`."""
    stem = unicodedata.normalize("NFC", Path(base_name(caption.file or "")).stem)
    kept = "".join(c if c.isalnum() or c in "-_" else " " for c in _ESCAPED.sub(" ", stem))
    name = "-".join(kept.split())[:_LONGEST_NAME].strip("-") or "caption"
    return f"{_no_device(name)}{suffix}"


def _no_device(name: str) -> str:
    return _DEVICE.sub(r"\g<0>_", name, count=1) if _DEVICE.match(name) else name


def sheet(caption: Caption, *, grid: bool = False) -> bytes:
    """The contact sheet of all words as a PNG file.

    Raises:
        ImageError: the photo is no longer where it was.
    """
    buffer = io.BytesIO()
    save_png(caption.sheet(grid=grid), buffer)
    return buffer.getvalue()


def animation(caption: Caption) -> bytes:
    """The words one after the other, each over its map, as an animated GIF.

    Raises:
        ImageError: the photo is no longer where it was.
    """
    words = [word.text for word in caption.words]
    return gif(frames(caption.photo(), words, caption.maps))


def json_text(caption: Caption) -> str:
    """The caption with its maps as one JSON object, as `captioner caption --jsonl --maps` does."""
    return json.dumps(caption.to_dict(maps=True), ensure_ascii=False)


def json_lines(captions: Iterable[Caption], alts: Sequence[str] = ()) -> str:
    """One JSON object a line, maps included: the file that `imports.read` opens again.

    Args:
        captions: a line each.
        alts: their alternative texts, as `alt_text`; left out, there are none.
    """
    if not alts:
        return "".join(f"{json_text(caption)}\n" for caption in captions)
    pairs = zip(captions, alts, strict=True)
    lines = ({**caption.to_dict(maps=True), "alt_text": alt} for caption, alt in pairs)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def csv_table(captions: Sequence[Caption], alts: Sequence[str] = ()) -> str:
    """A table for spreadsheets: a row a photo, `COLUMNS` as its first line.

    It starts with a byte order mark, without which Excel takes UTF-8 for something else; a text
    that a spreadsheet would compute is preceded by an apostrophe.

    Args:
        captions: a row each.
        alts: their alternative texts; left out, those cells are empty.
    """
    buffer = io.StringIO()
    buffer.write("\ufeff")
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(COLUMNS)
    for caption, alt in zip(captions, alts or [""] * len(captions), strict=True):
        certain = (caption.log_prob, *certainty(caption), caption.confidence)
        numbers = (None,) * len(certain) if caption.error else certain
        texts = [_inert(text or "") for text in (caption.file, caption.text, alt, caption.error)]
        writer.writerow([*texts[:3], *map(_cell, numbers), texts[3]])
    return buffer.getvalue()


def certainty(caption: Caption) -> tuple[float | None, float | None]:
    """The mean probability of the caption's known words, and the mean spread of its maps."""
    probs = [word.prob for word in caption.words if word.prob is not None]
    if not len(caption.maps):
        return None, None
    return (sum(probs) / len(probs) if probs else None), float(spread(caption.maps).mean())


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _inert(text: str) -> str:
    return _FORMULA.sub("'", text)


def sidecars(captions: Sequence[Caption], alts: Sequence[str]) -> dict[str, str]:
    """A text file for each photo, as `captioner caption --sidecar .txt` names it: `lion.txt`.

    Photos of one name in two formats, or from two folders, get texts of two names. Signs that some
    file system does not take are replaced, and what is too long is cut.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for caption, alt in zip(captions, alts, strict=True):
        if caption.error is not None:
            continue
        stem = _stem(caption)
        name = f"{stem}.txt"
        for number in itertools.count(2):
            if _key(name) not in taken:
                break
            name = f"{stem}-{number}.txt"
        taken.add(_key(name))
        found[name] = f"{alt}\n"
    return found


def _stem(caption: Caption) -> str:
    """The name of a caption's photo without its ending, as a name in an archive."""
    name = base_name(caption.file or "")
    shown = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in name)
    stem = Path(shown).stem.encode()[:_MOST_BYTES].decode(errors="ignore")
    return _no_device(stem.strip(". ") or "caption")


def _key(name: str) -> str:
    """Alike for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def sidecar_archive(captions: Sequence[Caption], alts: Sequence[str]) -> bytes:
    """The sidecars as one ZIP file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in sidecars(captions, alts).items():
            file.writestr(name, encoded(text))
    return buffer.getvalue()


def archive(
    captions: Sequence[Caption],
    target: BinaryIO | Path,
    *,
    alts: Sequence[str] = (),
    grid: bool = False,
) -> Iterator[int]:
    """Writes a ZIP file with a sheet a photo, `captions.csv` and `captions.jsonl`.

    With alternative texts, a folder `texts` holds them as sidecars.

    A photo that is gone, or that never was one, has a line with its error and no sheet.

    Args:
        captions: in the order of the table.
        target: a file to write; it is complete when the iterator ends.
        alts: the captions' alternative texts.
        grid: show bare cells on the sheets instead of smoothed maps.

    Yields:
        How many photos are done, after each.
    """
    written = list(captions)
    with (
        tempfile.TemporaryDirectory(prefix="captioner-") as folder,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file,  # PNG does not get smaller
    ):
        sheets = Sheets(folder, grid)
        for place, caption in enumerate(written):
            if caption.error is None:
                try:
                    drawn = sheets.draw(dataclasses.replace(caption, file=file_name(caption, "")))
                    file.write(drawn, f"sheets/{drawn.name}")
                    drawn.unlink()
                except CaptionerError as error:
                    failed = dataclasses.replace(caption, error=str(error))
                    written[place] = public(failed)
            yield place + 1
        for name, text in (
            ("captions.csv", csv_table(written, alts)),
            ("captions.jsonl", json_lines(written, alts)),
            *(
                (f"texts/{name}", text)
                for name, text in (sidecars(written, alts) if alts else {}).items()
            ),
        ):
            file.writestr(name, encoded(text), compress_type=zipfile.ZIP_DEFLATED)


class Downloads:
    """A folder of files that wait to be downloaded; they vanish after a while, and with it."""

    def __init__(self, age: float = 3600, folder: Path | None = None) -> None:
        self.age = age  # seconds
        self._folder = tempfile.TemporaryDirectory(prefix="downloads-", dir=folder)

    def reserve(self, name: str) -> Path:
        """A path for a new file called `name`, in a folder of its own; old files are removed."""
        root = Path(self._folder.name)
        for old in root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another request removed it
                if time.time() - old.stat().st_mtime > self.age:
                    shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=root)) / base_name(name)

    def put(self, name: str, data: str | bytes) -> str:
        """Writes a file called `name` and says where it lies."""
        path = self.reserve(name)
        path.write_bytes(encoded(data) if isinstance(data, str) else data)
        return str(path)


def encoded(text: str) -> bytes:
    """UTF-8; half a character from a file's name comes out as JSON writes it."""
    return text.encode("utf-8", "backslashreplace")
