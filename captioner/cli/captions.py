"""`captioner caption`, `explain` and `demo`: captions in, lines, objects and sheets out."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from captioner.cli.display import columns, one_line, percent
from captioner.cli.models import load_captioner
from captioner.cli.results import Results
from captioner.cli.settings import check_decoding, given
from captioner.cli.streams import check_text, descriptor, standard_input
from captioner.config import SearchOptions
from captioner.errors import CaptionerError, ConfigError
from captioner.outputs import Guard, Sheets
from captioner.text import half_character, not_utf8

if TYPE_CHECKING:
    from captioner.folders import Found
    from captioner.prediction import Caption


def caption(arguments: argparse.Namespace) -> int:
    """Captions photos; returns how many failed."""
    check_decoding(arguments)
    _check_outputs(arguments)
    from captioner.folders import find_photos

    watched = sys.stdout.isatty()

    def line(caption: Caption) -> str:
        texts = [text for one in (caption, *caption.n_best) for text in _texts(one, watched)]
        return "\t".join(map(one_line, [str(caption.file), *texts]))

    streamed = "-" in arguments.paths
    items: Iterable[Found] = find_photos(_paths(arguments.paths))
    if not streamed:
        items = _any(list(items))
    total = None if streamed else _count(items)
    read = [] if streamed else [item.path for item in items if item.is_photo]
    with _Results(arguments, line, total, read) as results:
        photos = results.expect(items) if streamed else list(results.expect(items))
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream(
            photos,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            prefix=arguments.prefix,
            to=arguments.to,
            **given(arguments, SearchOptions),
        )
        for caption in stream:
            results.add(caption)
            if caption.translation is not None and caption.translation.warning:
                results.tell(f"{caption.file}: {caption.translation.warning}")
        if streamed and not results.count:
            raise ConfigError("standard input named no photo; expected one path a line")
    return results.failed


def _any(items: list[Found]) -> list[Found]:
    """The items.

    Raises:
        ImageError: none is a photo; what is wrong with all but the last is printed.
    """
    problems = [item.problem for item in items if item.problem is not None]
    if problems and not _count(items):
        from captioner.errors import ImageError

        for problem in problems[:-1]:
            print(f"captioner: {problem}", file=sys.stderr)
        raise ImageError(problems[-1])
    return items


def _count(items: Iterable[Found]) -> int:
    return sum(item.is_photo for item in items)


def _texts(caption: Caption, marked: bool) -> list[str]:
    """The caption, for people marked as unsure; before a translated one, the model's own."""
    text = f"{caption.text} (unsure)" if marked and caption.unsure else caption.text
    return [text] if caption.original is None else [caption.original.text, text]


def _paths(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, `-` replaced by the lines of standard input, as they come."""
    for argument in arguments:
        if argument == "-":
            for line in standard_input():
                path = os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))
                if path:
                    yield path
        else:
            yield argument


def _lines(file: str) -> list[str]:
    """The lines of a text file or, for `-`, of standard input; a path need not be UTF-8.

    Raises:
        ConfigError: the whole file is UTF-16 or UTF-32.
    """
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    check_text(data.partition(b"\n")[0], "standard input" if file == "-" else file)
    text = data.decode("utf-8-sig", errors="surrogateescape")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _check_outputs(arguments: argparse.Namespace) -> None:
    if arguments.maps and not arguments.jsonl:
        raise ConfigError("--maps belongs to the objects of --jsonl; add --jsonl FILE")
    _check_languages(arguments)
    _check_grid(arguments)


def _check_languages(arguments: argparse.Namespace) -> None:
    if arguments.translator and not arguments.to:
        raise ConfigError("--translator belongs to --to; add --to LANGUAGE")


def _check_grid(arguments: argparse.Namespace) -> None:
    if arguments.grid and not arguments.overlay:
        raise ConfigError("--grid belongs to the sheets of --overlay; add --overlay DIR")


def explain(arguments: argparse.Namespace) -> int:
    """Shows what the model thinks of given sentences; returns how many pairs failed."""
    _check_grid(arguments)
    pairs, broken = _pairs(arguments)
    line = _verdict if arguments.input else _word_table
    read = [descriptor(arguments.input), *(path for path, _ in pairs)]
    with _Results(arguments, line, len(pairs), read) as results:
        results.expect_pairs(pairs, broken)
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream_explained(
            pairs,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            alternatives=arguments.alternatives,
        )
        for number, caption in enumerate(stream, 1):
            if number in broken:
                caption = dataclasses.replace(caption, file=None, error=broken[number])
            _tell_unknown(caption, results)
            results.add(caption)
    return results.failed


def _pairs(arguments: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """The photos and sentences, a pair a line, and what is wrong with the lines that hold none."""
    if bool(arguments.input) == bool(arguments.photo and arguments.sentence):
        raise ConfigError(
            "explain takes a photo and a sentence, or many with --input FILE; see captioner "
            "explain --help"
        )
    if not arguments.input:
        sentence = " ".join(arguments.sentence)
        if (half := half_character(sentence)) is not None:
            raise ConfigError(f"{sentence!r}: {half}")
        return [(arguments.photo, sentence)], {}
    lines = _lines(arguments.input)
    if not lines:
        raise ConfigError(f"{arguments.input}: no line; expected a path, a tab and a sentence")
    broken = {
        number: f"line {number} is {line!r}; expected a path, a tab and a sentence"
        for number, line in enumerate(lines, 1)
        if "\t" not in line
    }
    pairs = []
    for number, line in enumerate(lines, 1):
        path, _, text = line.partition("\t")
        try:
            text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError as error:
            broken[number] = f"line {number}: the sentence is {not_utf8(error)}"
            text = ""  # nothing else is scored in its place
        pairs.append((path, text))
    return pairs, broken


def _word_table(caption: Caption) -> str:
    """The words below each other: probability, likeliest other word, spread of the map."""
    from captioner.render import spread

    rows = [("word", "probability", "likeliest other", "spread of its map")]
    for word, share in zip(caption.words, spread(caption.maps).tolist(), strict=True):
        others = [(text, prob) for text, prob in word.alternatives if text != word.text]
        text, prob = others[0] if others else ("", 0.0)
        other = f"{'(end)' if text == '.' else text} {percent(prob)}" if text else "–"
        chance = "unknown" if word.prob is None else percent(word.prob)
        if word.copied:
            chance = f"copied, {chance}"
        rows.append((one_line(word.text), chance, one_line(other), percent(share)))
    end = f"log probability of the sentence, its end included: {caption.log_prob:.2f}"
    return f"{columns(rows, right=(1, 3))}\n{end}"


def _verdict(caption: Caption) -> str:
    return f"{one_line(str(caption.file))}\t{caption.log_prob:.4g}\t{one_line(caption.text)}"


def _tell_unknown(caption: Caption, results: _Results) -> None:
    unknown = [word.text for word in caption.words if not word.known]
    if unknown:
        results.tell(
            f"{caption.file}: the model does not know {', '.join(map(repr, unknown))}; an unknown "
            "word keeps its place and its map, but has no probability"
        )


def demo(arguments: argparse.Namespace) -> int:
    """Captions the photographs that installed packages brought; returns 0, as none may fail."""
    _check_languages(arguments)
    from captioner.examples import EXAMPLES, found

    examples = list(found())
    there = {example for example, _ in examples}
    for package, lacking in groupby(EXAMPLES, lambda example: example.distribution):
        names = [example.name for example in lacking if example not in there]
        if names:
            print(f"left out: {', '.join(names)} (pip install {package})", file=sys.stderr)
    if not examples:
        raise ConfigError(
            "no photographs for the demo; pip install gradio scikit-image, or caption a photo of "
            "yours: captioner caption PHOTO"
        )
    guard = Guard([path for _, path in examples], arguments.overwrite)
    sheets = Sheets(arguments.output, False, guard, flag="--output")
    places = [sheets.place(str(path), name=example.name) for example, path in examples]
    captioner = load_captioner(arguments)
    for (example, path), place in zip(examples, places, strict=True):
        caption = captioner(path, to=arguments.to)
        print(f"{example.name}: {one_line(' – '.join(_texts(caption, marked=True)))}")
        print(f"  {path} ({example.credit}; {example.licence})")
        print(f"  {sheets.draw(caption, place)}", flush=True)
    print("\nEach sheet shows every word over the place that it looked at. Your own photos:")
    print("  captioner caption PHOTO… --overlay sheets")
    return 0


class _Results(Results):
    """Captions as lines, objects and sheets."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        line: Callable[[Caption], str],
        total: int | None,
        read: Iterable[str | int | None],
    ) -> None:
        """Opens nothing yet.

        Args:
            arguments: as typed.
            line: what is printed of a caption.
            total: how many there will be, where that is known.
            read: what is known of the command's inputs.
        """
        weights = (arguments.checkpoint, getattr(arguments, "translator", None))
        guard = Guard([*weights, *read], arguments.overwrite, complete=total is not None)
        super().__init__(arguments.jsonl, "photo", total, guard)
        self.line = line
        self.maps: bool = arguments.maps
        self.overlay, self.grid = arguments.overlay, arguments.grid
        self.places: deque[Callable[[], Path] | None] = deque()  # of sheets, a caption each
        self.drawn = 0  # sheets that lie among the photos

    def __enter__(self) -> Self:
        self.sheets = Sheets(self.overlay, self.grid, self.guard) if self.overlay else None
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.drawn and error[0] is None:
            self.tell(f"sheets that captioner drew are left out ({self.drawn})")
        super().__exit__(*error)

    def expect(self, items: Iterable[Found]) -> Iterator[str]:
        """The photos among the items; the others are told, and no output will replace a photo.

        Where all items are there already, so are the places of their sheets, or an error.
        """
        for item in items:
            if item.problem is not None:
                self.leave_out(item.problem)
            elif item.drawn:
                self.drawn += 1
            else:
                self.guard.reads(item.path)
                self._expect(item.path, item.root, now=isinstance(items, list))
                yield item.path

    def expect_pairs(self, pairs: Sequence[tuple[str, str]], broken: Container[int]) -> None:
        """The same for pairs of photos and sentences, but for the lines that hold none."""
        for number, (path, _) in enumerate(pairs, 1):
            if number in broken:
                self.places.append(None)
            else:
                self._expect(path, "", now=True)

    def _expect(self, path: str, root: str, now: bool) -> None:
        if self.sheets is None:
            return
        find = functools.partial(self.sheets.place, path, root)
        found = find() if now else None
        self.places.append(find if found is None else lambda: found)

    def add(self, caption: Caption) -> None:
        """Puts one caption wherever it was asked for."""
        values, error = caption.to_dict(maps=self.maps), caption.error
        if self.sheets is not None:
            sheet, problem = self._drawn(caption, self.sheets)
            error = error or problem
            stated = values.pop("error")  # which stays the last
            values |= {"sheet": sheet, "error": stated}
        line = self.line(caption) if caption.error is None else None
        self.put(values, line, error)

    def _drawn(self, caption: Caption, sheets: Sheets) -> tuple[str | None, str | None]:
        """The sheet, or why there is none, whatever it is: the other photos go on."""
        place = self.places.popleft() if self.places else None
        if caption.error is not None:
            return None, None
        try:
            return str(sheets.draw(caption, place() if place else None)), None
        except CaptionerError as error:  # gone since it was captioned, or nowhere to draw it
            return None, str(error)
        except Exception as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            named = f"{type(error).__name__}: {reason}".rstrip(": ")
            return None, f"{caption.file}: the sheet cannot be drawn ({named})"
