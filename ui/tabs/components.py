"""Gradio's components, stricter: they say what is wrong with anything but what the page sends.

The browser is not the only one that sends something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from gradio.components import Component
from gradio.data_classes import FileData, ImageData, ListFiles
from pydantic import BaseModel, ValidationError

from captioner.errors import shown
from captioner.ui import answers, assets, batches, bodies

M = TypeVar("M", bound=BaseModel)


class Drawing(gr.HTML):
    """A component that draws itself in the browser from a value; data never meets a template."""

    def __init__(self, viewer: str, **settings: Any) -> None:
        script = assets.script(viewer)
        self._quoted = frozenset(re.findall(r"[\"'`](\w+)[\"'`]", script))
        super().__init__(
            html_template=assets.markup(viewer),
            css_template=assets.style(viewer),
            js_on_load=script,
            apply_default_css=False,
            **settings,
        )

    def __getattr__(self, name: str) -> Any:
        """The listener of an event that its script names in quotes, as Gradio has it.

        Gradio searches the whole script for every attribute that it asks for and does not find,
        anew at every visit: 40 milliseconds that each visitor's first caption had to wait for.
        """
        if name not in self.__dict__.get("_quoted", ()):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return super().__getattr__(name)

    def get_block_name(self) -> str:
        """What the browser takes it for."""
        return "html"

    def api_info(self) -> dict[str, Any]:
        """What programs see of it."""
        return {"type": "object"}

    def preprocess(self, payload: Any) -> Any:
        """The value that was drawn, which holds no file: a download would tell its path."""
        if payload is not None and not isinstance(payload, dict):
            raise _unlike("a drawing", payload, "send what was drawn")
        if bodies.holds_file(payload):
            raise gr.Error("a drawing holds no file; send what was drawn", print_exception=False)
        return payload


class PhotoData(ImageData):
    """A photo as it is sent: an object that names an upload."""

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> PhotoData:
        """What came, as it is worked on; or one line that says what else came."""
        if not isinstance(obj, dict):
            raise _unlike("a photo", obj, "upload one and send its path")
        return _valid(super().model_validate, "a photo", obj, **settings)


class LinesData(FileData):
    """A file as it is sent: an object that names an upload."""

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> LinesData:
        """What came, as it is worked on; or one line that says what else came."""
        if not isinstance(obj, dict):
            raise _unlike("a file", obj, "upload one and send its path")
        return _valid(super().model_validate, "a file", obj, **settings)


class FilesData(ListFiles):
    """Files as they are sent: a list of objects that name uploads."""

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> FilesData:
        """What came, as it is worked on; or one line that says what else came."""
        if not isinstance(obj, list):
            raise _unlike("a list of files", obj, "upload them and send their paths")
        return _valid(super().model_validate, "a list of files", obj, **settings)


def _valid(validate: Callable[..., M], expected: str, value: Any, **settings: Any) -> M:
    try:
        return validate(value, **settings)
    except ValidationError:
        raise gr.Error(
            f"{expected} was expected, but what came names no upload; upload first, then send "
            "the path that is answered",
            print_exception=False,
        ) from None


def _unlike(expected: str, value: Any, mend: str) -> gr.Error:
    return gr.Error(
        f"{expected} was expected, but {_kind(value)} came; {mend}", print_exception=False
    )


def _kind(value: Any) -> str:
    """What a value of JSON is called."""
    kinds = {type(None): "nothing", str: "a text", dict: "an object", list: "a list"}
    return {**kinds, bool: "true or false"}.get(type(value), "a number")


class Photo(gr.Image):
    """A photo as its file: the project's own loader opens it, and says what is wrong with it."""

    is_template = True
    data_model = PhotoData

    def __init__(self, example: str = "", **settings: Any) -> None:
        super().__init__(type="filepath", image_mode=None, **settings)
        self.example = example  # its public name

    def example_payload(self) -> Any:
        """A photo with which the code that the page shows to programmers runs as it stands."""
        address = f"{answers.HERE}/gradio_api/file={self.example}"
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
            raise _unlike("a text", payload, "send a text")
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
        self.data_model = FilesData

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


class Lines(gr.File):
    """One file, of captions a line each."""

    is_template = True
    data_model = LinesData

    def __init__(self, **settings: Any) -> None:
        super().__init__(file_count="single", **settings)
        self.data_model = LinesData

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.File)


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
        if not self.minimum <= payload <= self.maximum:
            raise gr.Error(
                f"{self.setting} is {payload}; expected a number from {self.minimum} to "
                f"{self.maximum}",
                print_exception=False,
            )
        return super().preprocess(payload)


class _Choice:
    """One of some choices, and nothing else; before the component of Gradio that shows them."""

    def __init__(self, setting: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.setting = setting  # its name, for whoever sends something else

    def preprocess(self, payload: Any) -> Any:
        """The choice as it was sent."""
        choices = [value for _, value in self.choices]  # type: ignore[attr-defined]
        if not isinstance(payload, str) or payload not in choices:
            named = ", ".join(choice or '""' for choice in choices)
            raise gr.Error(
                f"{self.setting} is {shown(payload)}; expected one of {named}",
                print_exception=False,
            )
        return payload


class Radio(_Choice, gr.Radio):
    """One of a few choices."""

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Radio)


class Dropdown(_Choice, gr.Dropdown):
    """One of some choices, in a list that opens."""

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        return super().get_config(gr.Dropdown)


class Flag(gr.Checkbox):
    """True or false, and nothing else: Gradio would take any text for true."""

    is_template = True

    def __init__(self, setting: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.setting = setting  # its name, for whoever sends something else

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the browser is told of it."""
        own = super().get_config()  # which takes no class, and tells what the constructor names
        del own["setting"]
        return {**own, **Component.get_config(self, gr.Checkbox)}

    def preprocess(self, payload: Any) -> bool:
        """True or false, as it was sent."""
        if not isinstance(payload, bool):
            raise gr.Error(
                f"{self.setting} is {_kind(payload)}; expected true or false", print_exception=False
            )
        return payload


def _check_number(name: object, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise gr.Error(f"{name} is {_kind(value)}; expected a number", print_exception=False)
    if value is not None and not -(2**53) < value < 2**53:
        raise gr.Error(f"{name} is far out of range; expected a number", print_exception=False)
