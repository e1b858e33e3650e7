"""Many photos at once, and captions that were made elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from secrets import token_hex
from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.errors import ConfigError
from captioner.pictures.open import open_photo
from captioner.ui import batches, exports, imports
from captioner.ui.desk import Desk
from captioner.ui.tabs.components import Drawing, Files, Lines
from captioner.ui.tabs.events import MANY, PRIVATE, QUIET, streaming_with_errors, with_errors
from captioner.ui.tabs.texts import I18N, in_both
from captioner.ui.values import LONGEST, View, view

EDITS = "(captions, table) => [captions, (table && table.edits) || {}]"
"""What the server needs of the table for a file, in JavaScript: what was corrected, no pictures."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """What the table is about, kept by Gradio while the visitor's page is open."""

    captions: tuple[Caption, ...] = ()
    others: tuple[Caption | None, ...] = ()  # of another model, where two are compared
    models: tuple[str, ...] = ()  # the names of the two


class ManyTab:
    """A contact sheet of photos with their captions; a chosen one shows its maps beside it."""

    def __init__(self, desk: Desk, downloads: exports.Downloads) -> None:
        self.desk, self.downloads = desk, downloads
        self.batch = gr.State()
        gr.Markdown(I18N("many_help"), elem_classes="quiet")
        with gr.Row(elem_id="many-files"):
            with gr.Column(scale=1, min_width=240):
                photos = Files(label=I18N("files"), height=140, elem_id="files")
            with gr.Column(scale=1, min_width=240):
                start = gr.Button(I18N("start"), variant="primary")
                with gr.Accordion(I18N("import"), open=False):
                    gr.Markdown(I18N("import_help"), elem_classes="quiet")
                    lines = Lines(label=I18N("import_file"), height=140, elem_id="lines")
                    beside = Lines(label=I18N("import_beside"), height=140, elem_id="beside")
                    their_photos = Files(label=I18N("import_photos"), height=140)
                    opened = gr.Button(I18N("open"))
        with gr.Row(elem_id="many-sheet"):
            with gr.Column(scale=2, min_width=320, elem_id="many-list"):
                self.table = Drawing("table", elem_id="table")
            with gr.Column(scale=3, min_width=320, elem_id="many-beside"):
                viewer = Drawing("viewer", elem_id="many-viewer")
        with gr.Row(elem_id="many-take"):
            for kind in ("csv", "jsonl", "texts"):
                self._download(kind)
            self._archive()
        outputs = [self.table, self.batch, viewer]
        start.click(streaming_with_errors(self.caption), photos, outputs, api_name="_many", **MANY)
        opened.click(
            streaming_with_errors(self.open),
            [lines, beside, their_photos],
            outputs,
            api_name="_import",
            **MANY,
        )
        self.table.select(with_errors(self.row), self.batch, viewer, api_name="_row", **QUIET)

    def caption(self, files: list[str] | None) -> Iterator[Any]:
        """The table as it grows, its captions, and the viewer put away."""
        if not files:
            raise ConfigError(in_both("need_files"))
        run = token_hex(8)
        for progress in batches.caption_many(self.desk.captioner, files):
            yield _table(progress, run), Batch(progress.captions), self.desk.shown(None)

    def open(
        self, lines: str | None, beside: str | None, photos: list[str] | None
    ) -> Iterator[Any]:
        """As `caption`, for captions that were made elsewhere, by one model or by two."""
        if lines is None:
            raise ConfigError(in_both("need_lines"))
        named = {exports.base_name(path): path for path in photos or []}
        run = token_hex(8)
        rows: tuple[batches.Row, ...] = ()
        nothing = self.desk.shown(None)
        for found in imports.stream(lines, named):
            rows = (*rows, *batches.rows(found.captions[len(rows) :]))
            progress = batches.Progress(len(rows), found.total, rows, found.captions)
            yield _table(progress, run), Batch(found.captions), nothing
        if beside is not None:
            other = imports.read(beside, named)
            others, alone = batches.beside(found.captions, other.captions)
            models = tuple(_model(path) for path in (lines, beside))
            rows = tuple(
                dataclasses.replace(row, other="" if one is None else one.text)
                for row, one in zip(rows, others, strict=True)
            )
            progress = dataclasses.replace(progress, rows=rows)
            yield _table(progress, run, models), Batch(found.captions, others, models), nothing
            if alone:
                gr.Info(in_both("unmatched").format(count=alone))
            wrong = [one.error for one in other.captions if one.error is not None]
            if wrong:
                gr.Info(in_both("beside_wrong").format(count=len(wrong), reason=wrong[0]))
        for key, count in (("greyed", found.without_photo), ("rescaled", found.rescaled)):
            if count:
                gr.Info(in_both(key).format(count=count))

    def row(self, event: gr.EventData, batch: Batch | None) -> Any:
        """The viewer for a row of the table; two models' sentences are cards side by side."""
        index = event._data.get("index")
        if batch is None or not isinstance(index, int) or not 0 <= index < len(batch.captions):
            return gr.skip()
        caption = batch.captions[index]
        if caption.error is not None:
            return self.desk.shown(None)
        other = batch.others[index] if batch.others else None
        value = view(
            caption,
            open_photo(caption.source, side=LONGEST),
            others=[] if other is None else [(batch.models[1], other)],
            title="" if other is None else batch.models[0],
        )
        return {**value, "fixed": True}

    def _download(self, kind: str) -> None:
        """A button that makes a file of all rows, and a hidden one that fetches it."""
        button, fetch = self._buttons(kind)
        made = button.click(
            with_errors(partial(self.file, kind)),
            [self.batch, self.table],
            fetch,
            js=EDITS,
            api_name=f"_{kind}",
            **QUIET,
        )
        made.success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def _archive(self) -> None:
        """The same for everything with its sheets, whose drawing can be watched."""
        button, fetch = self._buttons("zip")
        progress = Drawing("progress", elem_id="zip-progress")
        made = button.click(
            streaming_with_errors(self.archive),
            [self.batch, self.table],
            [progress, fetch],
            js=EDITS,
            api_name="_zip",
            **MANY,
        )
        made.success(None, js="() => document.querySelector('#fetch-zip').click()", **PRIVATE)

    @staticmethod
    def _buttons(kind: str) -> tuple[gr.Button, gr.DownloadButton]:
        button = gr.Button(I18N(kind), size="sm", scale=0, min_width=120)
        return button, gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")

    def archive(self, batch: Batch | None, edits: object) -> Iterator[tuple[View, Any]]:
        """How many sheets are drawn, and at the end the path of the ZIP file."""
        captions = _there(batch)
        alts = batches.alt_texts(captions, edits)
        target = self.downloads.reserve("captions.zip")
        total = len(captions)
        for done in exports.archive(captions, target, alts=alts):
            yield {"done": done, "total": total}, gr.skip()
        yield {}, str(target)

    def file(self, kind: str, batch: Batch | None, edits: object) -> str:
        """The path of a file with all captions: `csv`, `jsonl` or `texts`, the corrected ones."""
        captions = _there(batch)
        alts = batches.alt_texts(captions, edits)
        if kind == "texts":
            return self.downloads.put("texts.zip", exports.sidecar_archive(captions, alts))
        text = exports.json_lines(captions, alts)
        if kind == "csv":
            text = exports.csv_table(captions, alts)
        return self.downloads.put(f"captions.{kind}", text)


def _there(batch: Batch | None) -> Sequence[Caption]:
    if batch is None or not batch.captions:
        raise ConfigError(in_both("need_files"))
    return batch.captions


def _model(path: str) -> str:
    """What the captions of a file are called."""
    return exports.base_name(path).rpartition(".")[0] or exports.base_name(path)


def _table(progress: batches.Progress, run: str, models: Sequence[str] = ()) -> View:
    rows = [dataclasses.asdict(row) for row in progress.rows]
    counts = {"done": progress.done, "total": progress.total, "failed": progress.failed}
    return {**counts, "rows": rows, "run": run, "models": list(models)}
