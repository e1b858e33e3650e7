"""The column with the photo, the examples and how captions are written."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import gradio as gr

from captioner.options import DRAWING, SearchOptions
from captioner.settings import field_of
from captioner.ui.desk import Desk, options_of
from captioner.ui.pictures import Examples
from captioner.ui.tabs.components import Drawing, Flag, Photo, Slider
from captioner.ui.tabs.events import QUIET, with_errors
from captioner.ui.tabs.texts import I18N


class PhotoColumn:
    """What every tab about one photo asks: which photo, and how to write about it."""

    def __init__(self, desk: Desk, examples: Examples) -> None:
        self.desk, self.examples = desk, examples
        self.photo = Photo(
            value=examples.path(0),
            label=I18N("photo"),
            sources=["upload", "clipboard", "webcam"],
            height=220,
            buttons=[],
            elem_id="photo",
        )
        # Gradio deletes whatever it handed out a day ago, and the examples are handed out for ever.
        self.photo.keep_in_cache.update(examples.paths())
        strip = Drawing("strip", value=examples.value(), elem_id="strip")
        self.forget = gr.Button(I18N("forget"), size="sm", elem_id="forget")
        self.chosen = gr.State()
        strip.select(
            with_errors(self.choose_example),
            None,
            [self.photo, self.chosen],
            api_name="_example",
            **QUIET,
        )
        with gr.Accordion(I18N("options"), open=False, elem_id="how"):
            self.controls = _controls(desk.captioner.options())
        self.controls["sample"].input(
            lambda on: [gr.update(visible=bool(on))] * len(DRAWING),
            self.controls["sample"],
            [self.controls[name] for name in DRAWING],
            api_name="_draws",
            queue=False,
            **QUIET,
        )

    def choose_example(self, event: gr.EventData) -> tuple[str, str]:
        """The example's path, and a token that differs from the one before."""
        return self.examples.path(event._data.get("index")), token_hex(8)

    def options(self, controls: Sequence[Any]) -> SearchOptions:
        """How to decode, as the controls stand."""
        chosen = dict(zip(self.controls, controls, strict=True))
        del chosen["compare"]
        return options_of(self.desk.captioner.options(), chosen)

    def compared(self, controls: Sequence[Any]) -> bool:
        """Whether greedy decoding's sentence is wanted beside that of the beam."""
        return bool(dict(zip(self.controls, controls, strict=True))["compare"])


def _controls(options: SearchOptions) -> dict[str, Any]:
    """The page's controls for decoding, by the name of the setting each belongs to."""
    return {
        "beam_size": _slider("beam_size", options, info=I18N("beam_size_info")),
        "n_best": _slider("n_best", options),
        "compare": Flag("compare", value=False, label=I18N("compare")),
        "max_length": _slider("max_length", options),
        "sample": Flag("sample", value=options.sample, label=I18N("sample")),
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
