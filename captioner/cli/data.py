"""`captioner data`: `check` looks at splits, findings with their remedies out; `convert`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from captioner import tasks
from captioner.captions.recipe import DataConfig, Source
from captioner.cli import data_convert, flags
from captioner.cli.display import progress_bar
from captioner.errors import ConfigError
from captioner.recipes.files import read_recipe

if TYPE_CHECKING:
    from captioner.audit import Finding


def add(commands: Any) -> None:
    """The flags."""
    data = commands.add_parser(
        "data",
        usage="captioner data check|convert …",
        description="Looks at captioned photos, and turns their captions into other formats.",
        epilog="""\
topics:
  check    look for damaged photos, odd captions and leaks between splits
  convert  captions of one format into another: COCO, CSV, JSON lines, folders, archives

examples:
  captioner data check --captions captions_train.json --images images
  captioner data convert captions_val2017.json --output captions.csv

`captioner data TOPIC --help` says more about each.""",
    )
    topics = data.add_subparsers(
        dest="topic", prog="captioner data", required=True, metavar="check|convert"
    )
    data_convert.add(topics)
    parser = topics.add_parser(
        "check",
        usage="captioner data check NAME=CAPTIONS:IMAGES[:SPLIT] … | --config CONFIG.toml\n"
        "       captioner data check --captions FILE --images DIR [--format F] [--split S]",
        description="Opens every photo, reads every caption and compares the splits; says what is "
        "wrong and what to do.\nThe exit code is 1 where something has to be mended.",
        epilog="""\
examples:
  captioner data check --config configs/caption.toml
  captioner data check --captions captions_train.json --images images
  captioner data check train=captions_train.json:images test=captions_test.json:images
  captioner data check train=dataset_coco.json:coco:train+restval val=dataset_coco.json:coco:val""",
    )
    parser.add_argument(
        "splits",
        nargs="*",
        metavar="NAME=CAPTIONS:IMAGES[:SPLIT]",
        help="a split: its name, its captions file, its folder of photos, its name in the file",
    )
    parser.add_argument("--config", metavar="CONFIG.toml", help="the data of a training recipe")
    flags.add_fields(parser, Source)
    parser.add_argument(
        "--min-count",
        type=flags.COUNT,
        metavar="N",
        help="words met fewer times in the training captions count as unknown (default: the "
        f"recipe's, or {DataConfig.min_count})",
    )
    parser.add_argument(
        "--limit",
        type=flags.LIMIT,
        default=10,
        metavar="N",
        help="findings of one kind that are told apart in a split (default: 10)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks at photos and captions of splits; returns how many findings are errors."""
    from captioner import audit, datasets

    sources, min_count = _named_sources(arguments)
    splits: dict[str, list[datasets.Photo]] = {}
    seen: list[Finding] = []
    for name, several in sources.items():
        for source in several:
            found = datasets.reading(source)
            splits.setdefault(name, []).extend(found.photos)
            seen += audit.readings(name, source.captions, found)
    with progress_bar(2, "entry") as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        findings = audit.audit(splits, min_count=min_count, progress=advance, limit=arguments.limit)
    findings = audit.ordered([*findings, *seen])
    print(audit.table(audit.summary(splits)))
    _print_findings(findings)
    return sum(finding.severity == "error" for finding in findings)


def _named_sources(arguments: argparse.Namespace) -> tuple[dict[str, tuple[Source, ...]], int]:
    """What to look at, by name of the split, and the count below which words are unknown."""
    single = flags.given(arguments, Source)
    if sum(map(bool, (arguments.splits, arguments.config, single))) != 1:
        raise ConfigError(
            "name the data in one of three ways: --config CONFIG.toml, --captions FILE --images "
            "DIR, or NAME=CAPTIONS:IMAGES for each split"
        )
    min_count = arguments.min_count or DataConfig.min_count
    if arguments.config:
        recipe = read_recipe(arguments.config)
        if recipe.task != tasks.CAPTION:
            raise ConfigError(f"{arguments.config} trains a translator; data check looks at photos")
        data = recipe.data
        named = {"train": data.train, "validation": data.validation}
        found = {name: sources for name, sources in named.items() if sources}
        return found, arguments.min_count or data.min_count
    if single:
        return {single.get("split", "data"): (Source(**single),)}, min_count
    splits: dict[str, tuple[Source, ...]] = {}
    for text in arguments.splits:
        name, source = _split_source(text)
        splits[name] = (*splits.get(name, ()), source)
    return splits, min_count


def _split_source(text: str) -> tuple[str, Source]:
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    if not name or len(parts) not in (2, 3) or not all(parts):
        raise ConfigError(
            f"{text!r} names no split; expected NAME=CAPTIONS:IMAGES or NAME=CAPTIONS:IMAGES:SPLIT "
            "(paths with a colon go into --captions and --images)"
        )
    return name, Source(parts[0], parts[1], split="".join(parts[2:]))


def _print_findings(findings: Sequence[Finding]) -> None:
    headings = {
        "error": "errors, to be mended before training",
        "warning": "warnings, worth a look",
        "info": "good to know",
    }
    for severity, several in groupby(findings, lambda finding: finding.severity):
        print(f"\n{headings[severity]}")
        for remedy, alike in groupby(several, lambda finding: finding.remedy):
            for finding in alike:
                print(f"  {finding.split}: {finding.subject}: {finding.message}")
            print(f"    → {remedy}")
