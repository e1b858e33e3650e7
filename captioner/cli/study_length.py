"""`captioner study`: sentence pairs and checkpoints in; tables and figures out."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import progress_bar
from captioner.cli.models import pick_device
from captioner.errors import ConfigError
from captioner.options import SENTENCES_AT_ONCE
from captioner.outputs import DRAWING, OBJECTS, TABLE, Guard, draw, write_text

if TYPE_CHECKING:
    from captioner.metrics import Score
    from captioner.studies.length import LengthStudy, Section
    from captioner.translations.translation import Translation


def add(topics: Any) -> None:
    """The flags."""
    parser = topics.add_parser(
        "length",
        usage="captioner study length NAME=CHECKPOINT … --source FILE --target FILE\n"
        "       --from LANGUAGE --to LANGUAGE [options]",
        description="Scores translations by length of the source, then of sentences joined two "
        "and three at a time:\na table with intervals and a figure. A name with brackets, such as "
        "'attention (short)', is drawn like\nthe name before them, dashed.",
        epilog="""\
examples:
  captioner study length attention=runs/attention/best.safetensors \\
    "last state=runs/bottleneck/best.safetensors" --source val.en --target val.de \\
    --from en --to de --output docs/length""",
    )
    parser.add_argument(
        "systems", nargs="+", metavar="NAME=CHECKPOINT", help="checkpoints and what to call them"
    )
    flags.add_pairs(parser)
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=NAME",
        help="systems whose difference is wanted, with an interval; may be given several times "
        "(default: the first with each of the others)",
    )
    parser.add_argument(
        "--output",
        type=flags.file_name,
        default="length-study",
        metavar="DIR",
        help="folder for length.md, length.png, length.json and outputs.jsonl (default: "
        "./length-study)",
    )
    flags.add_overwrite(parser)
    parser.add_argument(
        "--batch-size",
        type=flags.BATCH_SIZE,
        default=SENTENCES_AT_ONCE,
        metavar="N",
        help=f"default: {SENTENCES_AT_ONCE}",
    )
    flags.add_device(parser)
    flags.add_decoding(parser, omit=("n_best", "alternatives", "max_length"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compares translation checkpoints by length of the source; returns 0."""
    flags.check_decoding(arguments)
    if arguments.bootstrap < 1:
        raise ConfigError(f"--bootstrap is {arguments.bootstrap}; the intervals need at least 1")
    systems = _systems(arguments.systems)
    comparisons = [_compared(text, systems) for text in arguments.compare] or None
    pairs = flags.pairs(arguments)
    _check_outputs(arguments, systems.values())
    from captioner.studies import length as studies

    texts = [(pair.source_text, pair.target_text) for pair in pairs]
    sections = studies.cut_by_length(*map(list, zip(*texts, strict=True)))
    outputs, decodings = {}, {}
    for name, path in systems.items():
        outputs[name], decodings[name] = _translated(arguments, name, path, sections)
    _write_outputs(Path(arguments.output), sections, outputs)  # before anything can go wrong
    lines = []
    for name, path in systems.items():
        scores = _scores(arguments, sections, outputs[name], decodings[name])
        lines += [f"- {name}: {path}", *(f"  - {score}" for score in scores)]
    found = studies.study_lengths(
        sections, outputs, arguments.to, comparisons=comparisons, bootstrap=arguments.bootstrap
    )
    print("\n".join([found.table(), "", *lines]))
    _write_study(Path(arguments.output), found, lines, shlex.join(arguments.typed))
    return 0


def _check_outputs(arguments: argparse.Namespace, checkpoints: Iterable[str]) -> None:
    """Refuses to write over what is read, or over what is not ours."""
    guard = Guard([arguments.source, arguments.target, *checkpoints], arguments.overwrite)
    kinds = {"length.md": TABLE, "length.png": DRAWING, "length.json": OBJECTS}
    for name, kind in {**kinds, "outputs.jsonl": OBJECTS}.items():
        guard.claim(Path(arguments.output) / name, kind, "--output")


def _systems(typed: Sequence[str]) -> dict[str, str]:
    """Checkpoints by the names that they were given."""
    systems: dict[str, str] = {}
    for text in typed:
        name, _, path = text.partition("=")
        if not name or not path or name in systems:
            raise ConfigError(f"{text!r} names no system; expected NAME=CHECKPOINT, each name once")
        systems[name] = path
    return systems


def _compared(text: str, systems: dict[str, str]) -> tuple[str, str]:
    first, _, second = text.partition("=")
    if first not in systems or second not in systems:
        raise ConfigError(
            f"--compare {text!r} names no two systems; expected NAME=NAME of {', '.join(systems)}"
        )
    return first, second


def _translated(
    arguments: argparse.Namespace, name: str, path: str, sections: Sequence[Section]
) -> tuple[tuple[tuple[str, ...], ...], str]:
    """What a checkpoint says of all sentences, and how it decoded."""
    device = pick_device(arguments.device)
    from captioner.scoring import decoding
    from captioner.studies import length as studies
    from captioner.translations.translator import Translator

    translator = Translator.load(path, device)
    options = flags.decoding(arguments, translator.options(alternatives=0))

    def translate(sources: Iterable[str]) -> Iterator[Translation]:
        return translator.stream(
            sources,
            to=arguments.to,
            source_language=arguments.source_language,
            batch_size=arguments.batch_size,
            split=False,  # how sentences fare that were joined is what the study is about
            options=options,
        )

    with progress_bar(sum(len(section.sources) for section in sections), name) as bar:
        said = studies.translate_sections(translate, sections, lambda: bar.update(1))
    return said, decoding(options)


def _scores(
    arguments: argparse.Namespace,
    sections: Sequence[Section],
    outputs: Sequence[Sequence[str]],
    decoding: str,
) -> list[Score]:
    """How a system does on all sentences as they were written, in the usual ways."""
    from captioner import metrics

    own = [(s, said) for s, said in zip(sections, outputs, strict=True) if s.joined == 1]
    wanted = [reference for section, _ in own for reference in section.references]
    said = [text for _, texts in own for text in texts]
    bootstrap = arguments.bootstrap
    scores = metrics.score_translations(
        said, wanted, arguments.to, bootstrap=bootstrap, decoding=decoding
    )
    return list(scores.values())


def _write_study(folder: Path, found: LengthStudy, systems: Sequence[str], command: str) -> None:
    text = [
        "# Translation by length of the source",
        "![BLEU by length of the source](length.png)",
        found.table(),
        "\n".join(systems),
        f"Made by\n\n```\n{command}\n```",
    ]
    write_text(folder / "length.md", "\n\n".join(text) + "\n")
    write_text(folder / "length.json", json.dumps(found.to_dict(), ensure_ascii=False) + "\n")
    draw(found.figure(), folder / "length.png")
    print(f"\n{folder}/: length.md, length.png, length.json, outputs.jsonl")


def _write_outputs(
    folder: Path, sections: Sequence[Section], outputs: dict[str, tuple[tuple[str, ...], ...]]
) -> None:
    """A line of JSON a sentence: its section, its reference, what each system said."""
    lines = []
    for number, section in enumerate(sections):
        said = zip(*(every[number] for every in outputs.values()), strict=True)
        for source, wanted, texts in zip(section.sources, section.references, said, strict=True):
            values = {"section": section.name, "source": source, "reference": wanted}
            own = dict(zip(outputs, texts, strict=True))
            lines.append(json.dumps({**values, "outputs": own}, ensure_ascii=False) + "\n")
    write_text(folder / "outputs.jsonl", "".join(lines))
