"""The page: what stands where, and which function answers what. The only file that knows Gradio.

Whatever is hovered, walked over or played is answered in the browser; the server is asked only for
new words. Every event has a name, so that none takes the name of a public endpoint.
"""

from __future__ import annotations

import os
import re

from captioner.ui import uploads

# Both are read when gradio is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ[uploads.VARIABLE] = str(uploads.claim())

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from importlib.resources import files
from secrets import token_hex
from typing import Any

import gradio as gr
from fastapi import FastAPI

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.checkpoint import CAPTION, TRANSLATE
from captioner.errors import CaptionerError, ConfigError, ImageError
from captioner.options import DRAWING, SearchOptions
from captioner.pictures.open import open_photo
from captioner.settings import field_of
from captioner.ui import (
    LARGEST_FILE,
    assets,
    batches,
    endpoints,
    exports,
    imports,
    pictures,
    server,
)
from captioner.ui.handlers import (
    LANGUAGE,
    LONGEST,
    Desk,
    View,
    options_of,
    public_message,
    view,
)

FOLDER = uploads.claim()
QUEUE = 32  # requests that wait; the next one is told so
MODEL = "model"  # every event that runs the model shares this queue
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
ASKING: dict[str, Any] = {**QUIET, "concurrency_id": MODEL, "concurrency_limit": 2}
LONGEST_CODE = 40  # characters of a language's code
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "cs": "Čeština"}

I18N = gr.I18n(**{language: dict(words) for language, words in assets.strings().items()})

HEAD = """<script>
document.documentElement.lang = (navigator.language || "en").startsWith("ko") ? "ko" : "en";
</script>"""


class Drawing(gr.HTML):
    """A component that draws itself in the browser from a value; data never meets a template."""

    def __init__(self, viewer: str, **settings: Any) -> None:
        super().__init__(
            html_template=assets.markup(viewer),
            css_template=assets.style(viewer),
            js_on_load=assets.script(viewer),
            apply_default_css=False,
            **settings,
        )

    def get_block_name(self) -> str:
        """What the browser takes it for."""
        return "html"

    def api_info(self) -> dict[str, Any]:
        """What programs see of it."""
        return {"type": "object"}

    def preprocess(self, payload: Any) -> Any:
        """The value that was drawn, which holds no file: a download would tell its path."""
        if server.holds_file(payload):
            raise gr.Error("a drawing holds no file; send what was drawn", print_exception=False)
        return payload


class Photo(gr.Image):
    """A photo as its file: the project's own loader opens it, and says what is wrong with it."""

    is_template = True

    def __init__(self, example: str = "", **settings: Any) -> None:
        super().__init__(type="filepath", image_mode=None, **settings)
        self.example = example  # its public name

    def example_payload(self) -> Any:
        """A photo with which the code that the page shows to programmers runs as it stands."""
        address = f"{server.HERE}/gradio_api/file={self.example}"
        return {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Image)  # whose constructor names what the browser is told

    def preprocess(self, payload: Any) -> Any:
        """The path of the file as it was uploaded; whoever opens it says what is wrong."""
        return None if payload is None else payload.path


class Text(gr.Textbox):
    """A text, and nothing that only reads like one: not a file, whose path would be told."""

    is_template = True

    def __init__(self, example: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.example = example  # for the code that the page shows to programmers

    def example_payload(self) -> str:
        """What that code sends."""
        return self.example

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Textbox)

    def preprocess(self, payload: Any) -> str | None:
        """The text as it was typed; the browser is not the only one that sends some."""
        if payload is not None and not isinstance(payload, str):
            kind = {dict: "an object", list: "a list", bool: "true or false"}
            raise gr.Error(
                f"a text was expected, but {kind.get(type(payload), 'a number')} came; send a text",
                print_exception=False,
            )
        if payload is not None and self.max_length and len(payload) > self.max_length:
            raise gr.Error(
                f"the text has {len(payload)} characters; expected at most {self.max_length}",
                print_exception=False,
            )
        return payload


class Files(gr.File):
    """Files to work on one after the other: no more of them than the page promises."""

    is_template = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(file_count="multiple", **settings)

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.File)

    def preprocess(self, payload: Any) -> Any:
        """Their paths, or why there are too many; nothing is done for any of them before."""
        count = 0 if payload is None else len(payload.root)
        if count > batches.MOST_PHOTOS:
            raise gr.Error(
                f"{count} photos were given; expected 1 to {batches.MOST_PHOTOS} at once",
                print_exception=False,
            )
        return super().preprocess(payload)


class Number(gr.Number):
    """A number, and nothing else: Gradio would fail over it without a word."""

    is_template = True

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Number)

    def preprocess(self, payload: Any) -> Any:
        """The number as it was sent."""
        _check_number(self.label, payload)
        return super().preprocess(payload)


class Slider(gr.Slider):
    """A number between two, and nothing else."""

    is_template = True

    def __init__(self, setting: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.setting = setting  # its name, for whoever sends something else

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Slider)

    def preprocess(self, payload: Any) -> Any:
        """The number as it was sent."""
        if payload is None:
            raise gr.Error(f"{self.setting} is missing; expected a number", print_exception=False)
        _check_number(self.setting, payload)
        return super().preprocess(payload)


def _check_number(name: object, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        kind = {str: "a text", dict: "an object", list: "a list", bool: "true or false"}[
            type(value)
        ]
        raise gr.Error(f"{name} is {kind}; expected a number", print_exception=False)
    if value is not None and not -(2**53) < value < 2**53:
        raise gr.Error(f"{name} is far out of range; expected a number", print_exception=False)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors are told to the person who asked, in one line."""

    @wraps(function)
    def answer(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except CaptionerError as error:
            raise _told(error, arguments) from None

    return answer


def told_streaming(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """As `told`, for a handler that answers bit by bit."""

    @wraps(function)
    def answer(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except CaptionerError as error:
            raise _told(error, arguments) from None

    return answer


def _told(error: CaptionerError, arguments: tuple[Any, ...]) -> gr.Error:
    paths = [text for text in arguments if isinstance(text, str) and os.sep in text]
    return gr.Error(public_message(error, *paths), print_exception=False)


def theme() -> gr.themes.Base:
    """Calm: one accent, greys without a tint, the system's own fonts."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans KR", "sans-serif"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.zinc,
        font=fonts,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        color_accent="#b45309",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_weight="500",
        block_shadow="none",
        button_primary_background_fill="#b45309",
        button_primary_background_fill_hover="#92400e",
        button_primary_background_fill_dark="#b45309",
        button_primary_background_fill_hover_dark="#92400e",
        button_primary_text_color="white",
        button_primary_border_color="#b45309",
        button_primary_border_color_dark="#b45309",
        button_secondary_background_fill="*background_fill_primary",
        button_secondary_background_fill_dark="*background_fill_primary",
        button_secondary_border_color="*border_color_primary",
        button_border_width="1px",
        link_text_color="#92400e",
        link_text_color_dark="#fbbf24",
    )


def build(captioner: Captioner) -> gr.Blocks:
    """The page over one captioner, and its translator where the weights are there."""
    return Page(Desk(captioner)).blocks


class Page:
    """The page's parts, put together once; nothing of a visitor is kept here."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.downloads = exports.Downloads(folder=FOLDER)
        self.examples = pictures.examples(FOLDER)
        with gr.Blocks(
            title="captioner", analytics_enabled=False, delete_cache=(3600, 86400)
        ) as self.blocks:
            self._state()
            self._title()
            with gr.Tabs():
                with gr.Tab(I18N("tab_photo"), id="photo"):
                    self._one_photo()
                self._many()
                self._translate()
                with gr.Tab(I18N("tab_about"), id="about"):
                    gr.Markdown(I18N("about"))
                    gr.Markdown(_cards(), elem_id="about")
            self._endpoints()

    def _state(self) -> None:
        """What belongs to one visitor alone, kept by Gradio while their page is open."""
        self.said = gr.State()  # the last caption of the photo
        self.sentence_seen, self.paint_seen, self.inside_seen = gr.State(), gr.State(), gr.State()
        self.many_said = gr.State()

    def _title(self) -> None:
        with gr.Column(elem_id="title", min_width=0):
            gr.Markdown("# captioner")
            gr.Markdown(I18N("tagline"))

    def _one_photo(self) -> None:
        with gr.Row():
            with gr.Column(scale=1, elem_id="photo-column"):
                self._photo()
            with gr.Column(scale=3, elem_id="stage"), gr.Tabs():
                with gr.Tab(I18N("tab_caption"), id="caption"):
                    self._caption()
                with gr.Tab(I18N("tab_sentence"), id="sentence") as tab:
                    self._sentence(tab)
                with gr.Tab(I18N("tab_paint"), id="paint") as tab:
                    self._paint(tab)
                with gr.Tab(I18N("tab_inside"), id="inside") as tab:
                    self._inside(tab)

    # The photo and how it is written about

    def _photo(self) -> None:
        self.photo = Photo(
            label=I18N("photo"),
            sources=["upload", "clipboard", "webcam"],
            height=220,
            buttons=[],
            elem_id="photo",
        )
        # Gradio deletes whatever it handed out a day ago, and the examples are handed out for ever.
        self.photo.keep_in_cache.update(self.examples.paths())
        strip = Drawing("strip", value=self.examples.value())
        self.chosen = gr.State()
        strip.select(
            told(self._chosen_example),
            None,
            [self.photo, self.chosen],
            api_name="_example",
            **QUIET,
        )
        with gr.Accordion(I18N("options"), open=False):
            self.controls = _controls(self.desk.captioner.options())
        draws = [self.controls[name] for name in DRAWING]
        self.controls["sample"].input(
            lambda on: [gr.update(visible=bool(on))] * len(DRAWING),
            self.controls["sample"],
            draws,
            api_name="_draws",
            queue=False,
            **QUIET,
        )

    def _chosen_example(self, event: gr.EventData) -> tuple[str, str]:
        """The example's path, and a token that differs from the one before."""
        return self.examples.path(event._data.get("index")), token_hex(8)

    def _options(self, controls: Any) -> SearchOptions:
        chosen = dict(zip(self.controls, controls, strict=True))
        del chosen["compare"]
        return options_of(self.desk.captioner.options(), chosen)

    def _compared(self, controls: Any) -> bool:
        return bool(dict(zip(self.controls, controls, strict=True))["compare"])

    # Caption

    def _caption(self) -> None:
        self.viewer = Drawing("viewer", elem_id="caption-viewer")
        with gr.Row(elem_id="under"):
            self.to = self._languages()
            for kind in ("sheet", "json", "html"):
                self._download(kind)
        inputs = [self.photo, self.to, *self.controls.values()]
        outputs = [self.viewer, self.said]
        latest: dict[str, Any] = {"trigger_mode": "always_last", **ASKING}
        # A photo that replaces another fires `change` twice, and would be written about twice.
        arrives = [self.photo.input, self.chosen.change]
        gr.on(arrives, told_streaming(self._write), inputs, outputs, api_name="_write", **latest)
        for name, control in self.controls.items():
            listen = control.release if isinstance(control, gr.Slider) else control.input
            listen(
                told_streaming(self._write), inputs, outputs, api_name=f"_write_{name}", **latest
            )
        self.viewer.select(
            told_streaming(self._go_on), inputs, outputs, api_name="_go_on", **latest
        )

    def _write(
        self, photo: str | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Caption | None]]:
        if photo is None:
            yield self.desk.shown(None), None
            return
        options = self._options(controls)
        try:
            answers = self.desk.write(photo, compare=self._compared(controls), options=options)
            yield from self._said_in(to, answers)
        except ImageError:  # the caption of the photo before must not stand beside it
            yield self.desk.shown(None), None
            raise

    def _go_on(
        self, event: gr.EventData, photo: str | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Caption | None]]:
        if photo is None:
            return
        before, word = event._data.get("before", []), event._data.get("word", "")
        words = [*before, word] if isinstance(before, list) else before
        answers = self.desk.write(photo, before=words, options=self._options(controls))
        yield from self._said_in(to, answers)

    def _said_in(
        self, to: str, answers: Iterator[tuple[View, Caption]]
    ) -> Iterator[tuple[View, Caption]]:
        """The answers, and at their end the translation, if one is wanted."""
        for value, said in answers:
            yield value, said
        if to:
            yield self.desk.linked(value, said, to), said

    def _languages(self) -> Any:
        """The choice of another language; without a translator, a note in its place."""
        spoken = self.desk.languages()
        if not spoken:
            gr.Markdown(I18N("no_translation"), elem_classes="quiet")
            return gr.State("")
        choices = [(I18N("no_language"), ""), *((LANGUAGES.get(c, c), c) for c in spoken)]
        to = gr.Radio(choices, value="", label=I18N("to"), elem_id="to", container=False)
        to.input(
            told(self._in_language),
            [self.photo, self.said, to],
            self.viewer,
            api_name="_in_language",
            **ASKING,
        )
        return to

    def _in_language(self, photo: str | None, said: Caption | None, to: str) -> Any:
        about = None if photo is None else _about(photo, said)
        if photo is None or about is None:
            return gr.skip()
        return self.desk.in_language(about, to)

    def _download(self, kind: str) -> None:
        """A button that makes a file of the caption, and a hidden one that fetches it."""
        button = gr.Button(I18N(kind), size="sm", scale=0, min_width=120)
        fetch = gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")
        button.click(
            told(partial(self._file, kind)),
            [self.said, self.viewer, self.to],
            fetch,
            api_name=f"_{kind}",
            **ASKING,
        ).success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def _file(self, kind: str, said: Caption | None, shown: View | None, to: str) -> str:
        """A file of the caption; in another language, where one is chosen, with its English."""
        if said is None:
            raise ConfigError(_plain("need_photo"))
        caption = exports.public(self.desk.translated(said, to) if to else said)
        made: dict[str, tuple[str, Callable[[], str | bytes]]] = {
            "sheet": (".png", lambda: exports.sheet(caption)),
            "json": (".json", lambda: exports.json_text(caption)),
            "html": (".html", lambda: exports.page(shown or view(caption))),
        }
        suffix, make = made[kind]
        return self.downloads.put(exports.file_name(caption, suffix), make())

    # Your own sentence

    def _sentence(self, tab: gr.Tab) -> None:
        gr.Markdown(I18N("sentence_help"), elem_classes="quiet")
        with gr.Row(elem_id="typed-row"):
            typed = Text(
                label=I18N("sentence"),
                placeholder=I18N("sentence_placeholder"),
                max_length=400,
                scale=5,
                elem_id="typed",
            )
            ask = gr.Button(I18N("ask"), variant="primary", scale=0, min_width=100, elem_id="ask")
        viewer = Drawing("viewer", elem_id="sentence-viewer")
        outputs = [viewer, self.sentence_seen]
        tab.select(
            told(self._unexplained),
            [self.photo, self.sentence_seen],
            outputs,
            api_name="_open_sentence",
            **ASKING,
        )
        gr.on(
            [typed.submit, ask.click],
            told(self._explain),
            [self.photo, typed],
            outputs,
            api_name="_explain",
            **ASKING,
        )

    def _unexplained(self, photo: str | None, seen: str | None) -> Any:
        return (gr.skip(), gr.skip()) if photo == seen else (self.desk.shown(photo), photo)

    def _explain(self, photo: str | None, sentence: str) -> tuple[View, str]:
        if photo is None:
            raise ConfigError(_plain("need_photo"))
        return self.desk.explain(photo, sentence)[0], photo

    # What if

    def _paint(self, tab: gr.Tab) -> None:
        gr.Markdown(I18N("paint_help"), elem_classes="quiet")
        viewer = Drawing("viewer", elem_id="paint-viewer")
        controls = list(self.controls.values())
        outputs = [viewer, self.paint_seen]
        tab.select(
            told(self._unpainted),
            [self.photo, self.said, self.paint_seen, *controls],
            outputs,
            api_name="_open_paint",
            **ASKING,
        )
        viewer.paint(
            told(self._painted),
            [self.photo, self.said, *controls],
            outputs,
            api_name="_paint",
            trigger_mode="always_last",
            **ASKING,
        )

    def _unpainted(self, photo: str | None, said: Caption | None, seen: Any, *controls: Any) -> Any:
        if photo is None:
            return self.desk.shown(None), None
        if said is not None and seen == (photo, said.text):
            return gr.skip(), gr.skip()
        return self._repainted(photo, said, [], controls)

    def _painted(
        self, event: gr.EventData, photo: str | None, said: Caption | None, *controls: Any
    ) -> Any:
        if photo is None:
            return gr.skip(), gr.skip()
        return self._repainted(photo, said, event._data.get("strokes"), controls)

    def _repainted(self, photo: str, said: Caption | None, strokes: Any, controls: Any) -> Any:
        value, caption = self.desk.paint(
            photo, _about(photo, said), strokes, self._options(controls)
        )
        return value, (photo, caption.text)

    # Inside one step

    def _inside(self, tab: gr.Tab) -> None:
        gr.Markdown(I18N("inside_help"), elem_classes="quiet")
        viewer = Drawing("steps", elem_id="inside-viewer")
        tab.select(
            told(self._looked_inside),
            [self.photo, self.said, self.inside_seen],
            [viewer, self.inside_seen],
            api_name="_open_inside",
            **ASKING,
        )

    def _looked_inside(self, photo: str | None, said: Caption | None, seen: Any) -> Any:
        about = None if photo is None else _about(photo, said)
        if photo is None or about is None:
            return {}, None
        if seen == (photo, about.text):
            return gr.skip(), gr.skip()
        return self.desk.inside(photo, about.text), (photo, about.text)

    # Many photos

    def _many(self) -> None:
        with gr.Tab(I18N("tab_many"), id="many"):
            gr.Markdown(I18N("many_help"), elem_classes="quiet")
            with gr.Row():
                with gr.Column(scale=1, elem_classes="side"):
                    photos = Files(label=I18N("files"), height=150, elem_id="files")
                    start = gr.Button(I18N("start"), variant="primary")
                    with gr.Accordion(I18N("import"), open=False):
                        gr.Markdown(I18N("import_help"), elem_classes="quiet")
                        lines = gr.File(label=I18N("import_file"), height=110, elem_id="lines")
                        grounds = Files(label=I18N("import_photos"), height=110)
                        opened = gr.Button(I18N("open"))
                    for kind in ("csv", "jsonl", "zip"):
                        self._download_many(kind)
                with gr.Column(scale=3):
                    table = Drawing("table", elem_id="table")
                    viewer = Drawing("viewer", elem_id="many-viewer", visible=False)
        outputs = [table, self.many_said, viewer]
        start.click(
            told_streaming(self._caption_many),
            photos,
            outputs,
            api_name="_many",
            concurrency_id="many",
            concurrency_limit=1,
            **QUIET,
        )
        opened.click(
            told_streaming(self._imported),
            [lines, grounds],
            outputs,
            api_name="_import",
            concurrency_id="many",
            concurrency_limit=1,
            **QUIET,
        )
        table.select(told(self._row), self.many_said, viewer, api_name="_row", **QUIET)

    def _caption_many(self, files: list[str] | None) -> Iterator[Any]:
        if not files:
            raise ConfigError(_plain("need_files"))
        for progress in batches.caption_many(self.desk.captioner, files):
            yield _table(progress), progress.captions, gr.update(visible=False)

    def _imported(self, lines: str | None, photos: list[str] | None) -> Iterator[Any]:
        if lines is None:
            raise ConfigError(_plain("need_lines"))
        named = {exports.base_name(path): path for path in photos or []}
        rows: tuple[batches.Row, ...] = ()
        for found in imports.stream(lines, named):
            rows += batches.rows(found.captions[len(rows) :])
            progress = batches.Progress(len(rows), found.total, rows, found.captions)
            yield _table(progress), found.captions, gr.update(visible=False)
        for key, count in (("greyed", found.without_photo), ("rescaled", found.rescaled)):
            if count:
                gr.Info(_plain(key).format(count=count))

    def _row(self, event: gr.EventData, captions: Sequence[Caption] | None) -> Any:
        index = event._data.get("index")
        if not captions or not isinstance(index, int) or not 0 <= index < len(captions):
            return gr.skip()
        caption = captions[index]
        if caption.error is not None:
            return gr.update(visible=False)
        value = view(caption, open_photo(caption.source, side=LONGEST))
        return gr.update(value={**value, "fixed": True}, visible=True)

    def _download_many(self, kind: str) -> None:
        button = gr.Button(I18N(kind), size="sm")
        fetch = gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")
        button.click(
            told(partial(self._file_of_many, kind)),
            self.many_said,
            fetch,
            api_name=f"_{kind}",
            **QUIET,
        ).success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def _file_of_many(self, kind: str, captions: Sequence[Caption] | None) -> str:
        if not captions:
            raise ConfigError(_plain("need_files"))
        if kind == "zip":
            target = self.downloads.reserve("captions.zip")
            for _ in exports.archive(captions, target):
                pass
            return str(target)
        text = exports.csv_table(captions) if kind == "csv" else exports.json_lines(captions)
        return self.downloads.put(f"captions.{kind}", text)

    # Translate

    def _translate(self) -> None:
        with gr.Tab(I18N("tab_translate"), id="translate"):
            if self.desk.translator is None:
                gr.Markdown(I18N("no_weights"), elem_classes="quiet")
                return
            spoken = self.desk.translator.languages
            gr.Markdown(I18N("translate_help"), elem_classes="quiet")
            with gr.Row():
                with gr.Column(scale=1, elem_classes="side"):
                    text = Text(
                        label=I18N("text"),
                        placeholder=I18N("text_placeholder"),
                        lines=3,
                        max_length=2000,
                        elem_id="text",
                    )
                    named = [(LANGUAGES.get(code, code), code) for code in spoken.sources]
                    source = gr.Dropdown(
                        [(I18N("guess"), ""), *named], value="", label=I18N("source")
                    )
                    named = [(LANGUAGES.get(code, code), code) for code in spoken.targets]
                    first = _first_target(self.desk)
                    to = gr.Dropdown(named, value=first, label=I18N("target"))
                    go = gr.Button(I18N("translate"), variant="primary")
                with gr.Column(scale=3):
                    linked = Drawing("pairs", elem_id="pairs")
                    with gr.Accordion(I18N("tab_inside"), open=False):
                        steps = Drawing("steps", elem_id="translation-steps")
        gr.on(
            [go.click, text.submit],
            told(self.desk.translate),
            [text, to, source],
            [linked, steps],
            api_name="_translate",
            **ASKING,
        )

    # For programs

    def _endpoints(self) -> None:
        """The public endpoints, over components that nobody sees."""
        answers = endpoints.Endpoints(self.desk.captioner, self.desk.translator)
        photo = Photo(self.examples.public(0, FOLDER), label="photo", visible=False)
        result = gr.JSON(label="answer", visible=False)
        longest = endpoints.LONGEST_TEXT  # of a sentence, the function itself says
        text = Text(
            "A dog runs through the snow.", label="sentence", max_length=longest, visible=False
        )
        language: dict[str, Any] = {"max_length": LONGEST_CODE, "visible": False}
        to = Text(_first_target(self.desk) or "de", label="to", **language)
        source = Text("en", label="source", **language)
        beam, count, most = (
            Number(value, label=label, visible=False)
            for label, value in (("beam_size", None), ("n_best", 1), ("max_length", None))
        )
        maps = gr.Checkbox(True, label="maps", visible=False)
        public: dict[str, Any] = {"concurrency_id": MODEL, "show_progress": "hidden"}

        def named(name: str, function: Callable[..., Any], inputs: list[Any], **more: Any) -> None:
            said = str(function.__doc__).partition("\n")[0]
            button = gr.Button(visible=False)
            button.click(
                function, inputs, result, api_name=name, api_description=said, **{**public, **more}
            )

        named("caption", told(answers.caption), [photo, beam, count, most, maps, to])
        named("caption_batch", answers.caption_batch, [photo, maps], batch=True, max_batch_size=16)
        named("explain", told(answers.explain), [photo, text, maps])
        named("translate", told(answers.translate), [text, to, source])


def _first_target(desk: Desk) -> str | None:
    """A language to translate into, not that of the captions where there is another."""
    if desk.translator is None:
        return None
    targets = desk.translator.languages.targets
    return next((code for code in targets if code != LANGUAGE), targets[0])


def _about(photo: str, said: Caption | None) -> Caption | None:
    """The caption, if it is about this photo and not about the one before."""
    return said if said is not None and said.source == photo else None


def _table(progress: batches.Progress) -> View:
    rows = [dataclasses.asdict(row) for row in progress.rows]
    counts = {"done": progress.done, "total": progress.total, "failed": progress.failed}
    return {**counts, "rows": rows}


def _controls(options: SearchOptions) -> dict[str, Any]:
    """The page's controls for decoding, by the name of the setting each belongs to."""
    return {
        "beam_size": _slider("beam_size", options, info=I18N("beam_size_info")),
        "n_best": _slider("n_best", options),
        "compare": gr.Checkbox(False, label=I18N("compare")),
        "max_length": _slider("max_length", options),
        "sample": gr.Checkbox(options.sample, label=I18N("sample")),
        **{name: _slider(name, options, visible=options.sample) for name in DRAWING},
    }


def _slider(name: str, options: SearchOptions, **more: Any) -> Slider:
    """A setting's slider, from the option's own least to its largest, and to what stands now."""
    low, high, step = field_of(SearchOptions, name).metadata["slider"]
    value = getattr(options, name)
    return Slider(
        name,
        minimum=min(low, value),
        maximum=max(high, value),
        value=value,
        step=step,
        label=I18N(name),
        **more,
    )


def _plain(key: str) -> str:
    """A text in both languages, where the browser cannot choose."""
    return " · ".join(words[key] for words in assets.strings().values())


def _cards() -> str:
    """The model cards of the weights that came along, their headings one level down."""
    cards = [files("captioner.checkpoints") / f"{task}.md" for task in (CAPTION, TRANSLATE)]
    text = "\n\n".join(card.read_text(encoding="utf-8") for card in cards if card.is_file())
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def serving(
    captioner: Captioner,
    *,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    root_path: str = "",
    auth: tuple[str, str] | None = None,
    frame_ancestors: str = "'self'",
) -> FastAPI:
    """The whole application: the page, the endpoints and `/healthz`, ready to be served.

    Args:
        captioner: shared by all visitors.
        hosts: names of this server that are answered to; none is any.
        origins: what a proxy calls this server, see `server.create`.
        root_path: where a proxy shows the page, such as `/captions`.
        auth: a name and a password that visitors must give.
        frame_ancestors: pages that may show this one in a frame, in the words of CSP.
    """
    desk = Desk(captioner)
    desk.warm_up()
    # With an open api, anybody could pass by the queue.
    blocks = Page(desk).blocks.queue(max_size=QUEUE, default_concurrency_limit=4, api_open=False)
    health = {"captioner": True, "translator": desk.translator is not None}
    return server.create(
        lambda app: mount(app, blocks, auth=auth, root_path=root_path),
        health=lambda: health,
        uploads=uploads.Uploads(FOLDER),
        hosts=hosts,
        origins=origins,
        root_path=root_path,
        behind_proxy=bool(origins or root_path),
        frame_ancestors=frame_ancestors,
    )


def mount(app: FastAPI, blocks: gr.Blocks, **more: Any) -> None:
    """Puts the page into an application, with Gradio's own check of files at work.

    Gradio checks nothing before its own server was launched, which this one stands in for.
    """
    gr.mount_gradio_app(app, blocks, path="/", **{**mount_settings(), **more})
    blocks.has_launched = True


def mount_settings() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` is told besides the application and the page."""
    return {
        "theme": theme(),
        "css": (files("captioner.ui") / "page.css").read_text(encoding="utf-8"),
        "head": HEAD,
        "i18n": I18N,
        "footer_links": ["api", "settings"],
        "show_error": False,
        "max_file_size": LARGEST_FILE,
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }
