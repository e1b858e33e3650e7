"""`captioner translate`: sentences in; lines, objects and a heat map out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import is_quiet, one_line
from captioner.cli.models import load_translator
from captioner.cli.results import Results
from captioner.cli.streams import descriptor
from captioner.cli.texts import Lines, Objects, Table
from captioner.errors import ConfigError
from captioner.options import SENTENCES_AT_ONCE
from captioner.outputs import DRAWING, LINKS, Guard, draw, file_path, json_lines
from captioner.pictures.drawings import Drawing, suffix_of
from captioner.text import half_character, has_words

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
        "lines of a file. Words that the answer guesses or\nleaves out are told too.\n\n"
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
  captioner translate --to es --input words.tsv --tsv english > more.tsv
  captioner translate --to de --input english.txt --alignment links.txt --alignment-format pharaoh
  captioner caption photo.jpg --jsonl - | captioner translate --to fr - --objects caption""",
    )
    parser.add_argument(
        "sentence", nargs="*", metavar="TEXT", help="what to translate; `-` is standard input"
    )
    parser.add_argument(
        "--to", required=True, metavar="LANGUAGE", help="such as de, fr, cs, en; or German"
    )
    parser.add_argument(
        "--from",
        dest="source_language",
        metavar="LANGUAGE",
        help="of the sentences; left out, it is guessed for each and told",
    )
    parser.add_argument(
        "--input", type=flags.file_name, metavar="FILE", help="many: a text on every line"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--tsv",
        metavar="COLUMN",
        help="the input is tab-separated: translate this column, a number from 1 or its name in "
        "the first row; every row is printed as it was, the translation behind it",
    )
    form.add_argument(
        "--objects",
        metavar="KEY",
        help="the input is JSON lines: translate what stands under this key, such as caption",
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
        metavar="FILE",
        help="draw the heat map of one sentence as FILE.png: which word looked at which; as "
        "FILE.svg or FILE.pdf, text stays text; or see --alignment-format",
    )
    parser.add_argument(
        "--alignment-format",
        choices=("drawing", "pharaoh"),
        default="drawing",
        help="pharaoh: a line a text, such as 0-0 1-2: a token of the source and one of the "
        "translation that looked at it, counted from 0, as spaces part them (default: %(default)s)",
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

    An answer that went astray, into another language say, counts as failed where the text was
    typed; among the many lines of a file it is reported and marked, but not counted. Nor are
    warnings about single words.
    """
    flags.check_decoding(arguments)
    typed = _texts(arguments.sentence)
    file = "-" if typed == ["-"] else arguments.input
    _check_input(arguments, typed, file)
    lines = _lines(arguments, file) if file else None
    doubtful = 0
    languages: Counter[str] = Counter()
    guard = Guard([descriptor(file), arguments.checkpoint, arguments.photo], arguments.overwrite)
    drawn = _drawn(arguments, guard)
    with Results(arguments.jsonl, "line", None if lines else len(typed), guard) as results:
        links = _links(arguments, guard, results)
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
        for count, translation in enumerate(stream, 1):
            number, row = lines.read.popleft() if lines else (count, "")
            if lines and number in lines.broken:
                translation = dataclasses.replace(translation, error=lines.broken.pop(number))
            if lines and count == 1:
                _head(results, lines, arguments.to)
            place = f"line {number}: " if lines or len(typed) > 1 else ""
            error = translation.error and place + translation.error
            said = _line(translation)
            results.put(translation.to_dict(), lines.printed(row, said) if lines else said, error)
            links(translation.pharaoh())
            if translation.warning:
                results.tell(place + translation.warning)
            doubtful += translation.astray and not lines
            languages[translation.source_language] += translation.guessed
            for name, path in drawn.items():
                if translation.error is None:
                    _draw(_DRAWN[name](translation), path)
        if lines and not results.count:
            _head(results, lines, arguments.to)
    read_as = [f"{name} ({_counted(count)})" for name, count in languages.most_common() if count]
    if read_as and not is_quiet():
        print(
            f"captioner: language guessed from the words: {', '.join(read_as)}; if it is another, "
            "name it with --from",
            file=sys.stderr,
        )
    return results.failures + doubtful


def _counted(count: int) -> str:
    return "1 text" if count == 1 else f"{count} texts"


def _lines(arguments: argparse.Namespace, file: str) -> Lines:
    """What the texts are read from."""
    if arguments.tsv is not None:
        return Table(file, arguments.tsv)
    return Lines(file) if arguments.objects is None else Objects(file, arguments.objects)


def _head(results: Results, lines: Lines, to: str) -> None:
    """Prints the names of a table's columns, where rows are printed."""
    if (heading := lines.heading(to)) is not None and not results.printed:
        results.show(heading)


def _links(
    arguments: argparse.Namespace, guard: Guard, results: Results
) -> Callable[[str], object]:
    """What takes each text's alignment in Pharaoh's format."""
    if arguments.alignment is None or arguments.alignment_format == "drawing":
        return lambda line: None
    path = file_path(arguments.alignment, "--alignment")
    lines = json_lines(path, guard, flag="--alignment", kind=LINKS, tell=results.note)
    return results.stack.enter_context(lines)


def _drawn(arguments: argparse.Namespace, guard: Guard) -> dict[str, Path]:
    """The pictures that were asked for, by flag, and where they go.

    Raises:
        ConfigError: one must not go there.
    """
    found = {}
    for name in _pictures(arguments):
        place = getattr(arguments, name)
        _check_drawing(f"--{name}", place, guard)
        found[name] = Path(place)
    return found


def _pictures(arguments: argparse.Namespace) -> list[str]:
    """Flags by which a picture was asked for."""
    asked = [name for name in _DRAWN if getattr(arguments, name)]
    return [n for n in asked if n != "alignment" or arguments.alignment_format == "drawing"]


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
    for flag in ("tsv", "objects"):
        if getattr(arguments, flag) is not None and not file:
            raise ConfigError(f"--{flag} reads a file: name it with --input FILE, or `-`")
    if arguments.alignment_format != "drawing" and arguments.alignment is None:
        raise ConfigError("--alignment-format says how --alignment FILE is written; name the FILE")
    for flag in (f"--{name}" for name in _pictures(arguments)):
        if file:
            also = "; --alignment-format pharaoh takes many" if flag == "--alignment" else ""
            raise ConfigError(f"{flag} draws one sentence; type it instead of naming a file{also}")
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


def _check_drawing(flag: str, name: str, guard: Guard) -> None:
    """Refuses a place for a picture where it must not go."""
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
