"""The page put together: which tab stands where, and the application that is served.

Whatever is hovered, walked over or played is answered in the browser; the server is asked only for
new words.
"""

from __future__ import annotations

from captioner.ui.tabs import FOLDER  # before Gradio is imported

# isort: split

from collections.abc import Sequence
from typing import Any

import gradio as gr
import matplotlib
from fastapi import FastAPI

from captioner.captions.captioner import Captioner
from captioner.ui import LARGEST_FILE, assets, exports, pictures, server, sharing, uploads
from captioner.ui.desk import Desk
from captioner.ui.questions import Event, Questions
from captioner.ui.tabs import theme
from captioner.ui.tabs.about import AboutTab
from captioner.ui.tabs.caption import CaptionTab
from captioner.ui.tabs.events import PRIVATE
from captioner.ui.tabs.inside import InsideTab
from captioner.ui.tabs.many import ManyTab
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.programs import Programs
from captioner.ui.tabs.sentence import SentenceTab
from captioner.ui.tabs.texts import I18N
from captioner.ui.tabs.translate import TranslateTab
from captioner.ui.tabs.what_if import WhatIfTab

QUEUE = 32  # requests that wait; the next one is told so
VISITS = 512  # whose state is kept: twice as many as connections; of more, the oldest are forgotten

# Gradio makes `css` hold for what is inside of the page's frame only.
HEAD = (
    f"<style>{assets.style('frame')}</style>"
    f"<script>const captionerReasons = {assets.reasons()};{assets.module('page')}</script>"
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
            title=sharing.TITLE, analytics_enabled=False, delete_cache=(3600, 86400)
        ) as self.blocks:
            with gr.Column(elem_id="title", min_width=0):
                gr.Markdown("# captioner")
                gr.Markdown(I18N("tagline"))
            with gr.Tabs(elem_id="pages"):
                with gr.Tab(I18N("tab_photo"), id="photo") as tab:
                    self._one_photo()
                tab.select(None, js="() => setTimeout(captionerPage.follow)", **PRIVATE)
                with gr.Tab(I18N("tab_many"), id="many"):
                    self.many = ManyTab(desk, self.downloads)
                with gr.Tab(I18N("tab_translate"), id="translate"):
                    TranslateTab(desk, self.downloads)
                with gr.Tab(I18N("tab_about"), id="about") as about:
                    AboutTab()
                about.select(None, js="() => setTimeout(captionerPage.reach, 100)", **PRIVATE)
            Programs(desk, self.examples.public(0, FOLDER))

    def _one_photo(self) -> None:
        with gr.Row(elem_id="one-photo"):
            with gr.Column(scale=1, elem_id="photo-column"):
                self.column = PhotoColumn(self.desk, self.examples)
            with gr.Column(scale=3, elem_id="stage"), gr.Tabs():
                with gr.Tab(I18N("tab_caption"), id="caption"):
                    self.caption = CaptionTab(self.desk, self.column, self.downloads)
                with gr.Tab(I18N("tab_sentence"), id="sentence") as tab:
                    self.sentence = SentenceTab(self.desk, self.column, tab)
                with gr.Tab(I18N("tab_paint"), id="paint") as tab:
                    self.what_if = WhatIfTab(self.desk, self.column, self.caption, tab)
                with gr.Tab(I18N("tab_inside"), id="inside") as tab:
                    self.inside = InsideTab(self.desk, self.column, self.caption, tab)


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
    page = Page(desk)
    # With an open api, anybody could pass by the queue.
    blocks = page.blocks.queue(max_size=QUEUE, default_concurrency_limit=4, api_open=False)
    health = {"captioner": True, "translator": desk.translator is not None}

    def mounted(app: FastAPI) -> None:
        sharing.serve(app, page.caption.written.value.caption())
        mount(app, blocks, auth=auth, root_path=root_path)

    return server.create(
        mounted,
        health=lambda: health,
        uploads=uploads.Uploads(FOLDER),
        questions=questions_of(blocks),
        hosts=hosts,
        origins=origins,
        root_path=root_path,
        behind_proxy=bool(origins or root_path),
        frame_ancestors=frame_ancestors,
    )


def questions_of(blocks: gr.Blocks) -> Questions:
    """What can be asked of a page, and which answers wait."""
    named = blocks.get_api_info()["named_endpoints"]
    numbers, events = {}, {}
    for number, function in blocks.fns.items():
        public = named.get(f"/{function.api_name}")
        arguments = public and {
            one["parameter_name"]: not one["parameter_has_default"] for one in public["parameters"]
        }
        seen = [block for block in function.inputs if not block.skip_api]
        counts = frozenset((len(function.inputs), len(seen)))
        event = Event(arguments, counts, function.collects_event_data)
        numbers[number] = events[str(function.api_name)] = event
    queue = blocks._queue

    def waits(event: str) -> bool:
        return any(event in waiting for waiting in [*queue.pending_event_ids_session.values()])

    def forget(event: str) -> None:
        # Gradio makes a visit of every question that names none, and keeps what was sent with it.
        blocks.state_holder.session_data.pop(event, None)
        blocks.state_holder.time_last_used.pop(event, None)

    return Questions(
        events, numbers, waits, forget, queue.pending_messages_per_session.__contains__
    )


def mount(app: FastAPI, blocks: gr.Blocks, **more: Any) -> None:
    """Puts the page into an application, with Gradio's own check of files at work.

    Gradio checks nothing before its own server was launched, which this one stands in for.
    """
    blocks.state_session_capacity = VISITS
    gr.mount_gradio_app(app, blocks, path="/", **{**mount_settings(), **more})
    blocks.has_launched = True
    # Else Gradio asks before its first answer which one there is, and all of pyplot is imported: a
    # quarter of a second that the first visitor would wait.
    matplotlib.use("agg")


def mount_settings() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` is told besides the application and the page."""
    return {
        "theme": theme.calm(),
        "css": assets.style("page"),
        "head": HEAD,
        "i18n": I18N,
        "footer_links": ["api"],
        "show_error": False,
        "max_file_size": LARGEST_FILE,
        "run_history": False,
        "favicon_path": str(sharing.ICON),
        "ssr_mode": False,
        "enable_monitoring": False,
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }
