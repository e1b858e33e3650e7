"""What the page does, as plain functions: photos and words in, plain values for the viewers out.

Nothing here knows Gradio. A viewer's value is a JSON object: the photo as a JPEG of at most
`LONGEST` pixels, and the maps as bytes on one shared colour scale, so that every picture is drawn
in the browser.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captioner.captions.caption import Caption, word_shares
from captioner.captions.captioner import Captioner
from captioner.captions.look import Look
from captioner.errors import CaptionerError, CheckpointError, ConfigError
from captioner.options import DRAWING, SearchOptions
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import open_photo
from captioner.pictures.scale import shared_peak, spread
from captioner.settings import field_of, is_whole
from captioner.text import EOS, SPECIALS, sentences
from captioner.tracing import Trace
from captioner.translations.translation import Translation
from captioner.translations.translator import Translator
from captioner.ui.album import Album
from captioner.ui.endpoints import LONGEST_SENTENCE, LONGEST_TEXT
from captioner.words import Word

LONGEST = 1024  # pixels of the longer side of what a browser gets to see
QUALITY = 82  # of its JPEG
MOST_STROKES, MOST_POINTS = 400, 20_000  # of a painting
MOST_BEFORE, LONGEST_WORD = 50, 50  # words that a caption must start with, characters of each
LONGEST_MESSAGE = 500  # characters
STRIP = 64  # numbers of a vector that are drawn

MOST_INSIDE = 3  # sentences of a text whose steps are shown

LANGUAGE = "en"  # of the captions
END = ""  # how the end of a sentence reads for the viewer of one step; a full stop is a word there

View = dict[str, Any]


# Values for the viewers


def view(
    caption: Caption,
    photo: Image.Image | View | None = None,
    *,
    others: Sequence[tuple[str, Caption]] = (),
    title: str = "",
    busy: bool = False,
) -> View:
    """The viewer's value for a caption.

    Args:
        caption: with its maps.
        photo: what to draw on, or its value as `blank` makes it; left out, the caption's own.
        others: more captions of the same photo with what each is called, shown as cards behind
            the caption's own; all share one colour scale.
        title: what the caption's own card is called.
        busy: more words are to come.
    """
    everything = [caption, *(other for _, other in others)]
    peak = _peak(everything)
    shown = photo if isinstance(photo, dict) else blank(photo or caption.photo())
    value = {
        **shown,
        **_sentence(caption, peak),
        "grid": list(caption.maps.shape[1:]),
        "peak": peak,
        "busy": busy,
    }
    if caption.confidence is not None:
        value |= {"confidence": _rounded(caption.confidence), "unsure": caption.unsure}
    if others:
        named = [(title, caption), *others]
        value["choices"] = [{"title": name, **_sentence(c, peak)} for name, c in named]
    return value


def blank(photo: Image.Image | None) -> View:
    """The viewer's value for a photo that nothing has been said about yet."""
    if photo is None:
        return {"photo": "", "words": []}
    shown = photo.copy()
    shown.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return {"photo": data_url(shown), "size": list(shown.size), "words": []}


def data_url(picture: Image.Image) -> str:
    """A picture as a JPEG in a URL, without any of the file's own data."""
    buffer = io.BytesIO()
    plain = picture.convert("RGB")
    plain.info = {}
    plain.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _peak(captions: Sequence[Caption]) -> float:
    maps = [caption.maps for caption in captions if len(caption.maps)]
    return shared_peak(np.concatenate(maps)) if maps else 1.0


def _sentence(caption: Caption, peak: float) -> View:
    return {
        "caption": caption.text,
        "log_prob": _rounded(caption.log_prob),
        "words": [_word(word) for word in caption.words],
        "maps": map_bytes(caption.maps, peak),
        "spread": [] if not len(caption.maps) else spread(caption.maps).round(4).tolist(),
    }


def _word(word: Word) -> View:
    return {
        "text": word.text,
        "prob": None if word.prob is None else _rounded(word.prob),
        "alternatives": [[text, _rounded(prob)] for text, prob in word.alternatives],
        "known": word.known,
        "copied": word.copied,
    }


def map_bytes(maps: NDArray[np.floating[Any]], peak: float) -> str:
    """Maps (T, h, w) as base64 of T·h·w bytes; 255 is the shared peak and all above it."""
    levels = np.minimum(np.asarray(maps, np.float64) / peak, 1) * 255
    return base64.b64encode((levels + 0.5).astype(np.uint8).tobytes()).decode("ascii")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


# Painting


@dataclasses.dataclass(frozen=True)
class Painting:
    """What was painted over a photo; places are shares of its width and height."""

    lines: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = ()  # (radius, points)
    cells: tuple[int, ...] = ()  # row by row

    @classmethod
    def from_json(cls, strokes: object) -> Painting:
        """The painting that a browser sent.

        Raises:
            ConfigError: it is none.
        """
        try:
            assert isinstance(strokes, list)
            lines = [(float(s["radius"]), _points(s["points"])) for s in strokes if "points" in s]
            cells = tuple(int(s["cell"]) for s in strokes if "cell" in s)
            count = sum(len(points) for _, points in lines)
            assert len(strokes) <= MOST_STROKES
            assert count <= MOST_POINTS
            assert all(0 < radius < 1 for radius, _ in lines)
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
            raise ConfigError(
                f"the painting is damaged or has more than {MOST_STROKES} strokes; clear it and "
                "paint again"
            ) from None
        return cls(tuple(lines), cells)

    def __bool__(self) -> bool:
        return bool(self.lines or self.cells)

    def over(self, photo: Image.Image, grid: tuple[int, int]) -> Image.Image:
        """A copy of the photo, covered with its mean colour where it was painted."""
        painted = photo.convert("RGB").copy()
        pen, fill = ImageDraw.Draw(painted), mean_colour(photo)
        width, height = painted.size
        for radius, points in self.lines:
            around = radius * max(width, height)
            places = [(x * width, y * height) for x, y in points]
            pen.line(places, fill=fill, width=max(1, round(2 * around)), joint="curve")
            for x, y in places:
                pen.ellipse((x - around, y - around, x + around, y + around), fill=fill)
        geometry = Geometry((width, height), grid)
        for cell in self.cells:
            if 0 <= cell < grid[0] * grid[1]:
                left, top, right, bottom = geometry.box(*divmod(cell, grid[1]))
                pen.rectangle((round(left), round(top), round(right) - 1, round(bottom) - 1), fill)
        return painted


def _points(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    found = tuple((float(x), float(y)) for x, y in points)
    assert found
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in found)
    return found


def mean_colour(photo: Image.Image) -> tuple[int, int, int]:
    """The photo's mean colour, which says least about what it covers."""
    red, green, blue = photo.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


# The desk at which visitors' questions are answered


@dataclasses.dataclass(frozen=True)
class Seen:
    """A photo on the desk: looked at by the model, and made ready for a browser."""

    look: Look
    value: View  # the viewer's, with nothing said yet
    fill: tuple[int, int, int]  # mean colour, which a painting is shown in


class Desk:
    """Answers the page's questions with one captioner and, where there is one, one translator.

    It keeps nothing of a visitor but the last few photos, as they are shown and as the model sees
    them.
    """

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self.album = Album(self._seen)
        self.translator = translator_of(captioner)

    def _seen(self, photo: str) -> Seen:
        look = self.captioner.look(photo, side=LONGEST)
        assert look.picture is not None
        value = {**blank(look.picture), "grid": list(look.geometry.grid)}
        fill = mean_colour(look.picture)
        return Seen(dataclasses.replace(look, picture=None), value, fill)

    def warm_up(self) -> None:
        """Captions an empty picture, so that the first visitor does not wait for torch to start."""
        size = self.captioner.preprocess.size
        self.captioner(Image.new("RGB", (size, size)))

    def shown(self, photo: str | None) -> View:
        """The viewer's value for a photo alone."""
        return blank(None) if photo is None else {**self.album[photo].value}

    def write(
        self,
        photo: str,
        *,
        before: Sequence[str] = (),
        compare: bool = False,
        options: SearchOptions | None = None,
    ) -> Iterator[tuple[View, Caption]]:
        """Captions a photo; greedy and sampled sentences grow word by word.

        Args:
            photo: path.
            before: words that the caption must start with; `.` as the last of them ends it there.
            compare: put greedy decoding's sentence beside that of the beam.
            options: how to decode; left out, as the checkpoint has it.

        Yields:
            the viewer's value and the caption; the last is the finished one.

        Raises:
            ConfigError: `before` is no list of a few short words, or a setting is wrong.
        """
        _check_before(before)
        options = _ending(before, self.captioner.options(options))
        prefix = " ".join(word for word in before if word != ".")
        seen = self.album[photo]
        *growing, caption = seen.look.steps(prefix=prefix, options=options)
        for beginning in growing:
            yield view(beginning, seen.value, busy=True), beginning
        others, title = _ranked(caption), "1"
        if compare and not options.sample and options.beam_size > 1:
            title = f"beam {options.beam_size}"
            plain = dataclasses.replace(options, beam_size=1, n_best=1)
            others.append(("greedy", seen.look.caption(prefix=prefix, options=plain)))
        yield view(caption, seen.value, others=others, title=title), caption

    def explain(self, photo: str, sentence: str) -> tuple[View, Caption]:
        """What the model thinks of a sentence about a photo.

        Raises:
            ConfigError: the sentence has no words, or is too long.
        """
        _check_length("the sentence", sentence, LONGEST_SENTENCE)
        seen = self.album[photo]
        caption = seen.look.explain(sentence)
        return {**view(caption, seen.value), "fixed": True}, caption

    def paint(
        self,
        photo: str,
        said: Caption | None,
        strokes: object,
        options: SearchOptions | None = None,
    ) -> tuple[View, Caption]:
        """Captions a photo again with a part painted over, and asks what the old words are worth.

        Args:
            photo: path.
            said: the caption of the whole photo; left out, the photo is captioned first.
            strokes: what the browser sent, see `Painting`.
            options: how to decode; left out, as the checkpoint has it.

        Returns:
            the viewer's value, whose `moved` holds the old words with their probability before and
            after, and the old caption.
        """
        painting = Painting.from_json(strokes)
        seen = self.album[photo]
        said = seen.look.caption(options=options) if said is None else said
        brush = {"fixed": True, "paint": True, "fill": list(seen.fill)}
        if not painting:
            return {**view(said, seen.value), **brush}, said
        whole = open_photo(photo, side=self.captioner.preprocess.size)
        look = self.captioner.look(painting.over(whole, seen.look.geometry.grid))
        now = look.caption(options=options)
        after = look.explain(" ".join(word.text for word in said.words))
        peak = _peak([now, said])
        moved = {**_sentence(said, peak), "words": _moved(said.words, after.words)}
        value = {**view(now, seen.value), **_sentence(now, peak), "peak": peak, "moved": moved}
        return {**value, **brush}, said

    def languages(self) -> tuple[str, ...]:
        """What a caption can be translated into; none where the weights did not come along."""
        if self.translator is None:
            return ()
        spoken = self.translator.languages
        return tuple(to for source, to in spoken.directions if source == LANGUAGE)

    def in_language(self, said: Caption, to: str) -> View:
        """The viewer's value for a caption with its translation below, word linked to word.

        Args:
            said: what the model wrote about a photo.
            to: language, such as `de`; empty for none.

        Raises:
            ConfigError: there is no translator, or it does not speak the language.
        """
        photo = self.album[said.source].value
        value = view(said, photo, others=_ranked(said), title="1")
        return self.linked(value, said, to) if to else value

    def linked(self, value: View, said: Caption, to: str) -> View:
        """A caption's value with the translation of its words."""
        return {**value, "links": links(self.translated(said, to), value["peak"])}

    def translated(self, said: Caption, to: str) -> Caption:
        """A caption in another language, word for word the one that was said.

        Raises:
            ConfigError: there is no translator, or it does not speak the language.
        """
        self._translator()
        return self.captioner.translated(dataclasses.replace(said, n_best=()), to)

    def translate(self, text: str, to: str, source: str = "") -> tuple[View, View]:
        """The values of the viewer of linked words and of the viewer of one step.

        A text is translated sentence by sentence; a step is a piece of a word.

        Raises:
            ConfigError: there is no translator, or it cannot translate this.
        """
        translator = self._translator()
        _check_length("the text", text, LONGEST_TEXT)
        translator.languages.check(source or None, to)
        found = [
            dataclasses.replace(one, guessed=not source)
            for one in translator.stream(
                sentences(text), to=to, source_language=source or self._guessed(text, to)
            )
        ]
        for one in found:
            if one.error is not None:
                raise ConfigError(one.error)
        if not found:
            raise ConfigError("there is nothing to translate; write a sentence")
        inside = _one_after_another([self._inside(one) for one in found[:MOST_INSIDE]])
        return {"sentences": [pairs(one) for one in found]}, {**inside, "language": to}

    def _guessed(self, text: str, to: str) -> str | None:
        """The language of the whole text, which tells more than each of its sentences."""
        translator = self._translator()
        read = translator.subwords.encode(text).ids
        return translator.languages.guess(read, to) if read else None

    def _inside(self, found: Translation) -> View:
        """Every step of a translated sentence."""
        read = self._translator().trace(found)
        return steps(read.trace, read.words, read.following, [*read.source, END])

    def _translator(self) -> Translator:
        if self.translator is None:
            raise ConfigError("the weights for translation are not there")
        return self.translator

    def inside(self, photo: str, sentence: str) -> View:
        """Every step of a sentence about a photo, for the viewer of one step."""
        seen = self.album[photo]
        found = seen.look.trace(sentence)
        return {**seen.value, **steps(found.trace, found.words, found.following)}


def _check_length(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ConfigError(f"{name} has {len(text)} characters; expected at most {most}")


def _check_before(before: object) -> None:
    is_list = isinstance(before, (list, tuple)) and len(before) <= MOST_BEFORE
    if not is_list or not all(isinstance(word, str) for word in before):  # type: ignore[attr-defined]
        raise ConfigError(
            f"the words before are no list of at most {MOST_BEFORE} words; choose a word again"
        )
    for word in before:  # type: ignore[attr-defined]
        if len(word) > LONGEST_WORD:
            raise ConfigError(
                f"the word {word[:20]!r}… has {len(word)} characters; expected at most "
                f"{LONGEST_WORD}"
            )


def _ending(before: Sequence[str], options: SearchOptions) -> SearchOptions:
    """The options; after a chosen full stop, no word may follow."""
    if not before or before[-1] != ".":
        return options
    if len(before) < 2:
        raise ConfigError("a sentence needs a word before its full stop; choose a word")
    return dataclasses.replace(options, max_length=len(before) - 1)


def _ranked(caption: Caption) -> list[tuple[str, Caption]]:
    return [(str(rank), other) for rank, other in enumerate(caption.n_best, 2)]


def _moved(before: Sequence[Word], after: Sequence[Word]) -> list[View]:
    return [
        {**_word(old), "after": None if new.prob is None else _rounded(new.prob)}
        for old, new in zip(before, after, strict=True)
    ]


def steps(
    found: Trace,
    words: Sequence[str],
    names: Sequence[Sequence[str]],
    positions: Sequence[str] | None = None,
) -> View:
    """A trace as plain values, a step for each word and one for the end.

    Args:
        found: the trace.
        words: of the sentence.
        names: the likeliest next words of each step, best first.
        positions: of the memory, by name, where they are no cells of a photo.
    """
    said = [*words, END]
    memory: View = {"lengths": _rows(found.lengths)}
    if positions is not None:
        memory["positions"] = list(positions)
    return {
        "words": said,
        "memories": [memory],
        "steps": [
            {
                "memory": 0,
                "read": words[number - 1] if number else "",
                "query": _list(found.queries[number][:STRIP]),
                "query_size": found.queries.shape[1],
                "query_length": _rounded(float(np.linalg.norm(found.queries[number]))),
                "scores": _rows(found.scores[number]),
                "weights": _rows(found.weights[number]),
                "gate": None if found.gates is None else _rounded(float(found.gates[number])),
                "context": _list(found.contexts[number][:STRIP]),
                "context_size": found.contexts.shape[1],
                "next": [
                    [END if name == SPECIALS[EOS] else name, _rounded(prob)]
                    for name, prob in zip(names[number], found.probs[number], strict=True)
                ],
            }
            for number in range(len(said))
        ],
    }


def _one_after_another(inside: Sequence[View]) -> View:
    """The steps of several sentences, each over its own memory."""
    return {
        "photo": "",
        "words": [word for view in inside for word in view["words"]],
        "memories": [memory for view in inside for memory in view["memories"]],
        "steps": [
            {**step, "memory": number}
            for number, view in enumerate(inside)
            for step in view["steps"]
        ],
    }


def links(said: Caption, peak: float) -> View:
    """The lower line of the viewer: a translated caption, linked to the words above it."""
    assert said.translation is not None
    assert said.original is not None
    above = [word.text for word in said.original.words]
    return {
        **_sentence(said, peak),
        "alignment": _rows(word_shares(said.translation, above)),
        "language": said.translation.target_language,
    }


def pairs(found: Translation) -> View:
    """The value of the viewer of linked words."""
    return {
        "source_words": list(found.source_words),
        "words": [_word(word) for word in found.words],
        "alignment": _rows(found.alignment),
        "end_mass": _list(found.end_mass),
        "caption": found.text,
        "source_language": found.source_language,
        "target_language": found.target_language,
        "guessed": found.guessed,
        "log_prob": _rounded(found.log_prob),
        "warning": found.warning,
    }


def _rows(values: NDArray[np.floating[Any]]) -> list[list[float]]:
    return [_list(row) for row in values]


def _list(values: NDArray[np.floating[Any]]) -> list[float]:
    return [_rounded(float(value)) for value in values]


def options_of(own: SearchOptions, controls: Mapping[str, Any]) -> SearchOptions:
    """The checkpoint's own options with what the page's controls say put in.

    Numbers are made whole where they must be, and what only matters where words are drawn is left
    as it is where none are.

    Raises:
        ConfigError: a setting is out of range.
    """
    settings = {
        name: int(value) if value is not None and is_whole(field_of(SearchOptions, name)) else value
        for name, value in controls.items()
        if controls.get("sample") or name not in DRAWING
    }
    if not settings.get("sample"):
        settings["beam_size"] = max(settings.get("beam_size", 1), settings.get("n_best", 1))
    return own.changed(**settings)


def public_message(error: CaptionerError, *paths: str | None) -> str:
    """An error's one line without the server's own folders, never longer than a few lines."""
    message = str(error)
    for path in filter(None, paths):
        message = message.replace(str(path), Path(str(path)).name)
    message = re.sub(r"\s*[\r\n]\s*", " ", message)
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2  # what came is in the middle, what to do at the end
    return f"{message[:half]}…{message[-half:]}"


def translator_of(captioner: Captioner) -> Translator | None:
    """The captioner's translator; None where its weights did not come along."""
    try:
        return captioner.translator
    except CheckpointError:
        return None
