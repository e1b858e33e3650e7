"""`captioner score`: anyone's captions against references, and two systems side by side."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import columns, one_line
from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.systems import Difference


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "score",
        usage="captioner score CAPTIONS REFERENCES… [--against CAPTIONS] [options]",
        description="Scores captions of any system against what people wrote: BLEU, ROUGE-L, "
        "CIDEr-D, METEOR, length, repetition.\nBoth may be in any format of docs/formats.md, or a "
        "caption a line.",
        epilog="""\
examples:
  captioner score captions_results.json captions_val2017.json
  captioner score captions.jsonl captions.csv --against theirs.jsonl
  captioner score said.txt people1.txt people2.txt

Photos are matched by name, or by id where the names differ. --against compares two systems on the
photos that both captioned: where the interval of a difference holds 0, neither is shown to be
better.""",
    )
    parser.add_argument("captions", type=flags.file_name, metavar="CAPTIONS", help="to be scored")
    parser.add_argument(
        "references",
        nargs="+",
        type=flags.file_name,
        metavar="REFERENCES",
        help="what people wrote of the photos; several files are put together",
    )
    parser.add_argument(
        "--against", type=flags.file_name, metavar="CAPTIONS", help="of a system to compare with"
    )
    flags.add_bootstrap(parser)
    parser.add_argument(
        "--metric",
        action="append",
        choices=("bleu", "rouge_l", "cider", "meteor"),
        metavar="NAME",
        help="only this one of bleu, rouge_l, cider, meteor; may be given again (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores; returns 0."""
    from captioner import systems

    if arguments.against and not arguments.bootstrap:
        raise ConfigError("--against compares by resampling; leave --bootstrap 0 out")
    references = [systems.read(path) for path in arguments.references]
    own = systems.match(systems.read(arguments.captions), references)
    names = arguments.metric or systems.NAMES
    scores = systems.score(own, names=names, bootstrap=arguments.bootstrap)
    notes, record = list(own.notes), {"scores": {n: s.to_dict() for n, s in scores.items()}}
    differences: list[Difference] = []
    if arguments.against:
        other = systems.match(systems.read(arguments.against), references)
        differences, photos = systems.compare(own, other, bootstrap=arguments.bootstrap)
        notes += [note for note in other.notes if note not in notes]
        record["against"] = {"captions": arguments.against, "photos": photos} | {
            d.name: {"difference": d.value, "interval": list(d.interval), "chance": d.chance}
            for d in differences
        }
    for note in notes:
        print(f"captioner: {one_line(note)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({**record, "notes": notes}, indent=2, ensure_ascii=False))
        return 0
    for score in scores.values():
        print(one_line(str(score)))
    if differences:
        print(one_line(f"{arguments.captions} less {arguments.against}, {photos:,} photos:"))
        print(columns([*map(_row, differences)]))
    return 0


def _row(difference: Difference) -> tuple[str, ...]:
    low, high = difference.interval
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference is shown"
    return (
        f"  {difference.name}",
        f"{difference.value:+.4f}",
        f"[{low:+.4f}, {high:+.4f}]",
        verdict,
    )
