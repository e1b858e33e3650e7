"""`captioner study`: checkpoints or ways to train compared, a module a topic."""

from __future__ import annotations

import textwrap
from typing import Any

from captioner.cli import study_alignment, study_family, study_length

_TOPICS = "|".join(("length", "alignment", *study_family.ABOUT))
_OF_CHECKPOINTS = {
    "length": "how translations score by length of the source",
    "alignment": "where the words of a translation look, against an aligner's links",
}
_EXAMPLES = (
    "examples:",
    "  captioner study family-captions --minutes 0.5 --seeds 1",
    "  captioner study alignment --source val.en --target val.de --from en --to de",
    "",
    "`captioner study TOPIC --help` says more about each.",
)


def _epilog() -> str:
    """What each topic compares, and examples."""
    lines = ["topics:"]
    for name, about in {**_OF_CHECKPOINTS, **study_family.ABOUT}.items():
        lines += textwrap.wrap(
            f"{name:<20} {about}", 98, initial_indent="  ", subsequent_indent=" " * 23
        )
    return "\n".join([*lines, "", *_EXAMPLES])


def add(commands: Any) -> None:
    """The topics, each with its flags."""
    study = commands.add_parser(
        "study",
        usage=f"captioner study {_TOPICS} …",
        description="Compares translation checkpoints (length, alignment), or trains and compares "
        "variants of one recipe.",
        epilog=_epilog(),
    )
    topics = study.add_subparsers(
        dest="topic", prog="captioner study", required=True, metavar=_TOPICS
    )
    study_length.add(topics)
    study_alignment.add(topics)
    study_family.add(topics)
