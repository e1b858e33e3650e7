"""`captioner study`: checkpoints or ways to train compared, a module a topic."""

from __future__ import annotations

from typing import Any

from captioner.cli import study_alignment, study_family, study_length

_TOPICS = "|".join(("length", "alignment", *study_family.ABOUT))


def add(commands: Any) -> None:
    """The topics, each with its flags."""
    study = commands.add_parser(
        "study",
        usage=f"captioner study {_TOPICS} …",
        description="Compares translation checkpoints (length, alignment), or trains and compares "
        "variants of one recipe.",
    )
    topics = study.add_subparsers(
        dest="topic", prog="captioner study", required=True, metavar=_TOPICS
    )
    study_length.add(topics)
    study_alignment.add(topics)
    study_family.add(topics)
