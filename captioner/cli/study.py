"""`captioner study`: checkpoints compared, a module a topic."""

from __future__ import annotations

from typing import Any

from captioner.cli import study_alignment, study_length


def add(commands: Any) -> None:
    """The topics, each with its flags."""
    study = commands.add_parser(
        "study",
        usage="captioner study length|alignment …",
        description="Compares translation checkpoints.",
    )
    topics = study.add_subparsers(
        dest="topic", prog="captioner study", required=True, metavar="length|alignment"
    )
    study_length.add(topics)
    study_alignment.add(topics)
