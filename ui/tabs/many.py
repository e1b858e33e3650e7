"""Many photos at once, and captions that were made elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.errors import ConfigError
from captioner.pictures.open import open_photo
from captioner.ui import batches, exports, imports
from captioner.ui.desk import Desk
from captioner.ui.tabs.components import Drawing, Files
from captioner.ui.tabs.events import MANY, PRIVATE, QUIET, streaming_with_errors, with_errors
from captioner.ui.tabs.texts import I18N, in_both
from captioner.ui.values import LONGEST, View, view


class ManyTab:
    """A table with a row a photo; a row that is chosen shows its maps."""

    def __init__(self, desk: Desk, downloads: exports.Downloads) -> None:
        self.desk, self.downloads = desk, downloads
        self.captions = gr.State()
        gr.Markdown(I18N("many_help"), elem_classes="quiet")
        with gr.Row():
            with gr.Column(scale=1, elem_classes="side"):
                photos = Files(label=I18N("files"), height=150, elem_id="files")
                start = gr.Button(I18N("start"), variant="primary")
                with gr.Accordion(I18N("import"), open=False):
                    gr.Markdown(I18N("import_help"), elem_classes="quiet")
                    lines = gr.File(label=I18N("import_file"), height=110, elem_id="lines")
                    their_photos = Files(label=I18N("import_photos"), height=110)
                    opened = gr.Button(I18N("open"))
                for kind in ("csv", "jsonl", "zip"):
                    self._download(kind)
            with gr.Column(scale=3):
                table = Drawing("table", elem_id="table")
                viewer = Drawing("viewer", elem_id="many-viewer", visible=False)
        outputs = [table, self.captions, viewer]
        start.click(streaming_with_errors(self.caption), photos, outputs, api_name="_many", **MANY)
        opened.click(
            streaming_with_errors(self.open),
            [lines, their_photos],
            outputs,
            api_name="_import",
            **MANY,
        )
        table.select(with_errors(self.row), self.captions, viewer, api_name="_row", **QUIET)

    def caption(self, files: list[str] | None) -> Iterator[Any]:
        """The table as it grows, its captions, and the viewer put away."""
        if not files:
            raise ConfigError(in_both("need_files"))
        for progress in batches.caption_many(self.desk.captioner, files):
            yield _table(progress), progress.captions, gr.update(visible=False)

    def open(self, lines: str | None, photos: list[str] | None) -> Iterator[Any]:
        """As `caption`, for captions that were made elsewhere."""
        if lines is None:
            raise ConfigError(in_both("need_lines"))
        named = {exports.base_name(path): path for path in photos or []}
        rows: tuple[batches.Row, ...] = ()
        for found in imports.stream(lines, named):
            rows += batches.rows(found.captions[len(rows) :])
            progress = batches.Progress(len(rows), found.total, rows, found.captions)
            yield _table(progress), found.captions, gr.update(visible=False)
        for key, count in (("greyed", found.without_photo), ("rescaled", found.rescaled)):
            if count:
                gr.Info(in_both(key).format(count=count))

    def row(self, event: gr.EventData, captions: Sequence[Caption] | None) -> Any:
        """The viewer for a row of the table."""
        index = event._data.get("index")
        if not captions or not isinstance(index, int) or not 0 <= index < len(captions):
            return gr.skip()
        caption = captions[index]
        if caption.error is not None:
            return gr.update(visible=False)
        value = view(caption, open_photo(caption.source, side=LONGEST))
        return gr.update(value={**value, "fixed": True}, visible=True)

    def _download(self, kind: str) -> None:
        button = gr.Button(I18N(kind), size="sm")
        fetch = gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")
        button.click(
            with_errors(partial(self.file, kind)),
            self.captions,
            fetch,
            api_name=f"_{kind}",
            **QUIET,
        ).success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def file(self, kind: str, captions: Sequence[Caption] | None) -> str:
        """The path of a file with all captions: `csv`, `jsonl` or `zip`."""
        if not captions:
            raise ConfigError(in_both("need_files"))
        if kind == "zip":
            target = self.downloads.reserve("captions.zip")
            for _ in exports.archive(captions, target):
                pass
            return str(target)
        text = exports.csv_table(captions) if kind == "csv" else exports.json_lines(captions)
        return self.downloads.put(f"captions.{kind}", text)


def _table(progress: batches.Progress) -> View:
    rows = [dataclasses.asdict(row) for row in progress.rows]
    counts = {"done": progress.done, "total": progress.total, "failed": progress.failed}
    return {**counts, "rows": rows}
