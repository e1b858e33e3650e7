"""`captioner translate`: sentences in; lines, objects and a heat map out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import is_quiet, one_line
from captioner.cli.models import load_translator
from captioner.cli.results import Results
from captioner.cli.streams import check_text, descriptor, standard_input
from captioner.errors import ConfigError
from captioner.options import SENTENCES_AT_ONCE
from captioner.outputs import DRAWING, Guard, draw, file_path
from captioner.pictures.drawings import Drawing, suffix_of
from captioner.text import half_character, has_words, not_utf8

if TYPE_CHECKING:
    from captioner.translations.translation import Translation

_STOPS = tuple(".!?…。！？।")  # with which a sentence ends


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "translate",
        usage="captioner translate --to LANGUAGE TEXT… [options]\n"
        "       captioner translate --to LANGUAGE --input FILE [options]",
        description="Translates a text, or the lines of a file, sentence by sentence: one line in, "
        "one line out, in\norder. A line that cannot be translated is told on standard error and "
        "leaves an empty line; the\nexit code is then 1. An answer that looks like another "
        "language is told as well, and printed; the\nexit code is 1 for a typed text, 0 for the "
        "lines of a file.\n\n"
        "A row of bare words is one text: captioner translate --to de A dog runs. Where every "
        "argument has a\nspace inside or ends in a full stop or the like, each is a text, with a "
        "line of its own.",
        epilog="""\
examples:
  captioner translate --to de "A brown dog runs through the snow."
  captioner translate --to de "A dog runs." "Two men sit on a bench."
  captioner translate --from fr --to en "Je suis étudiant." --alignment heatmap.png
  captioner translate --checkpoint multimodal.safetensors --photo dog.jpg --to de "A dog runs."
  captioner translate --to cs --input english.txt --jsonl czech.jsonl > czech.txt
  captioner caption photo.jpg --jsonl - | jq -r .caption | captioner translate --to fr -""",
    )
    parser.add_argument(
        "sentence", nargs="*", metavar="TEXT", help="what to translate; `-` is standard input"
    )
    parser.add_argument("--to", required=True, metavar="LANGUAGE", help="such as de, fr, cs, en")
    parser.add_argument(
        "--from",
        dest="source_language",
        metavar="LANGUAGE",
        help="of the sentences; left out, it is guessed for each and told",
    )
    parser.add_argument(
        "--input", type=flags.file_name, metavar="FILE", help="many: a text on every line"
    )
    parser.add_argument(
        "--jsonl",
        type=flags.file_name,
        metavar="FILE",
        help="write an object a line, with words and alignment; `-` is standard output. "
        "FILE.partial grows line by line and takes the name FILE at the end",
    )
    parser.add_argument(
        "--alignment",
        type=flags.file_name,
        metavar="FILE.png",
        help="draw the heat map of one sentence: which word looked at which; as FILE.svg or "
        "FILE.pdf, text stays text",
    )
    parser.add_argument(
        "--photo",
        type=flags.file_name,
        metavar="PHOTO",
        help="what the texts are about, for a checkpoint that looks at it while it translates",
    )
    parser.add_argument(
        "--sheet",
        type=flags.file_name,
        metavar="FILE.png",
        help="with --photo: draw where each word of one translation looked on it; as FILE.svg or "
        "FILE.pdf, too",
    )
    flags.add_overwrite(parser)
    flags.add_model(parser)
    flags.add_loudness(parser)
    parser.add_argument(
        "--batch-size",
        type=flags.BATCH_SIZE,
        default=SENTENCES_AT_ONCE,
        metavar="N",
        help=f"sentences computed together (default: {SENTENCES_AT_ONCE})",
    )
    flags.add_decoding(parser, omit=("max_length",))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Translates texts or the lines of a file; returns how many failed.

    An answer with a warning counts as failed where the text was typed; among the many lines of a
    file it is reported and marked, but not counted.
    """
    flags.check_decoding(arguments)
    typed = _texts(arguments.sentence)
    file = "-" if typed == ["-"] else arguments.input
    _check_input(arguments, typed, file)
    lines = _Lines(file) if file else None
    doubtful = 0
    languages: Counter[str] = Counter()
    guard = Guard([descriptor(file), arguments.checkpoint, arguments.photo], arguments.overwrite)
    drawn = {name: getattr(arguments, name) for name in _DRAWN}
    for name, place in drawn.items():
        _check_drawing(f"--{name}", place, guard)
    with Results(arguments.jsonl, "line", None if lines else len(typed), guard) as results:
        translator = load_translator(arguments)
        sight = translator.look(arguments.photo) if arguments.photo else None
        stream = translator.stream(
            lines or typed,
            to=arguments.to,
            source_language=arguments.source_language,
            photos=sight,
            batch_size=arguments.batch_size,
            options=flags.decoding(arguments, translator.options()),
        )
        for number, translation in enumerate(stream, 1):
            if lines and number in lines.broken:
                translation = dataclasses.replace(translation, error=lines.broken.pop(number))
            place = f"line {number}: " if lines or len(typed) > 1 else ""
            error = translation.error and place + translation.error
            results.put(translation.to_dict(), _line(translation), error)
            if translation.warning:
                results.tell(place + translation.warning)
            doubtful += bool(translation.warning) and not lines
            languages[translation.source_language] += translation.guessed
            for name, place in drawn.items():
                if place and translation.error is None:
                    _draw(_DRAWN[name](translation), Path(place))
    read_as = [f"{name} ({count})" for name, count in languages.most_common() if count]
    if read_as and not is_quiet():
        print(
            f"captioner: language guessed from the words: {', '.join(read_as)}; if it is another, "
            "name it with --from",
            file=sys.stderr,
        )
    return results.failures + doubtful


def _texts(arguments: Sequence[str]) -> list[str]:
    """What was typed as texts: a row of bare words is one.

    Where every argument has a space inside or ends as sentences do, each is a text by itself.
    """
    several = all(" " in text.strip() or text.strip().endswith(_STOPS) for text in arguments)
    texts = list(arguments) if several else [" ".join(arguments)]
    return [text for text in texts if text]


def _check_input(arguments: argparse.Namespace, typed: Sequence[str], file: str | None) -> None:
    if bool(typed) == bool(arguments.input):
        raise ConfigError(
            "translate takes a sentence, `-` for standard input, or --input FILE; see captioner "
            "translate --help"
        )
    for flag in (f"--{name}" for name in _DRAWN if getattr(arguments, name)):
        if file:
            raise ConfigError(f"{flag} draws one sentence; type it instead of naming a file")
        if len(typed) > 1:
            raise ConfigError(f"{flag} draws one text, but {len(typed)} were typed; draw each")
    if arguments.sheet and not arguments.photo:
        raise ConfigError("--sheet shows where words looked on a photo; name it with --photo PHOTO")
    for text in typed if not file else ():
        if (half := half_character(text)) is not None:
            raise ConfigError(f"{text!r}: {half}")
        if not text.strip():
            raise ConfigError(f"{text!r} is blank; expected a sentence to translate")
        if not has_words(text):
            raise ConfigError(f"{text!r} has no words to translate; write a sentence")


def _line(translation: Translation) -> str:
    """The translation, and behind tabs the next best; always one line, which may be empty."""
    texts = [translation.text, *(other.text for other in translation.n_best)]
    return "\t".join(map(one_line, texts))


def _check_drawing(flag: str, name: str | None, guard: Guard) -> None:
    """Refuses a place for a picture where it must not go."""
    if name is None:
        return
    path = file_path(name, flag)
    suffix_of(path, "heat map" if flag == "--alignment" else "sheet")
    guard.claim(path, DRAWING, flag)


_DRAWN: Mapping[str, Callable[[Translation], Drawing]] = {  # by flag
    "alignment": lambda translation: translation.drawing(),
    "sheet": lambda translation: translation.seen_drawing(),
}


def _draw(drawing: Drawing, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(drawing, path)


class _Lines:
    """The lines of a file or, for `-`, of standard input, read as they are needed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.broken: dict[int, str] = {}  # lines that cannot be read, with the reason

    def __iter__(self) -> Iterator[str]:
        """The lines without their ends; an empty one for what is not UTF-8.

        Raises:
            ConfigError: the whole file is UTF-16 or UTF-32.
        """
        with contextlib.ExitStack() as stack:
            typed = self.file == "-"
            stream = standard_input() if typed else stack.enter_context(Path(self.file).open("rb"))
            for number, line in enumerate(stream, 1):
                if number == 1:
                    check_text(line, self.file)
                content = line.removesuffix(b"\n").removesuffix(b"\r")
                try:
                    yield content.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    self.broken[number] = not_utf8(error)
                    yield ""
