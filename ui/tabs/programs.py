"""The public endpoints, over components that nobody sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from captioner.ui import endpoints
from captioner.ui.desk import Desk
from captioner.ui.tabs.components import Flag, Number, Photo, Text
from captioner.ui.tabs.events import MODEL, with_errors

LONGEST_CODE = 40  # characters of a language's code


class Programs:
    """What `docs/api.md` describes: names, parameters and answers."""

    def __init__(self, desk: Desk, example: str) -> None:
        answers = endpoints.Endpoints(desk.captioner, desk.translator)
        photo = Photo(example, label="photo", visible=False)
        self.result = gr.JSON(label="answer", visible=False)
        longest = endpoints.LONGEST_TEXT  # of a sentence, the function itself says
        text = Text(
            "A dog runs through the snow.", label="sentence", max_length=longest, visible=False
        )
        language: dict[str, Any] = {"max_length": LONGEST_CODE, "visible": False}
        to = Text(desk.first_target() or "de", label="to", **language)
        source = Text("en", label="source", **language)
        beam, count, most = (
            Number(value, label=label, visible=False)
            for label, value in (("beam_size", None), ("n_best", 1), ("max_length", None))
        )
        maps = Flag("maps", value=True, label="maps", visible=False)
        batch = {"batch": True, "max_batch_size": 16}
        self._endpoint("caption", with_errors(answers.caption), photo, beam, count, most, maps, to)
        self._endpoint("caption_batch", answers.caption_batch, photo, maps, **batch)
        self._endpoint("explain", with_errors(answers.explain), photo, text, maps)
        self._endpoint("translate", with_errors(answers.translate), text, to, source)

    def _endpoint(
        self, name: str, function: Callable[..., Any], *inputs: Any, **settings: Any
    ) -> None:
        gr.Button(visible=False).click(
            function,
            list(inputs),
            self.result,
            api_name=name,
            api_description=str(function.__doc__).partition("\n")[0],
            concurrency_id=MODEL,
            show_progress="hidden",
            **settings,
        )
