"""What can be typed after `captioner`: the commands, each with the flags of its own module."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from captioner.cli import (
    bench,
    calibrate,
    caption,
    completion,
    data,
    demo,
    describe,
    doctor,
    evaluate,
    explain,
    export,
    score,
    study,
    train,
    translate,
    ui,
)
from captioner.errors import ConfigError

ABOUT = "Captions photos and shows, for every word, where it looked."
COMMANDS = """\
commands:
  caption      write a sentence about photos, folders of photos, or a list of paths
  explain      what the model thinks of your sentence: how likely each word is, where it looks
  translate    say sentences in another language, and show which word looked at which
  ui           the web page: drop a photo, touch a word, see where it looked
  demo         caption a few photographs that came along with installed packages
  train        teach a model your own captioned photos, from one TOML file
  evaluate     score a checkpoint on captioned photos or sentence pairs
  calibrate    teach a checkpoint how sure its captions can be, from validation photos
  describe     what is in a checkpoint, where it comes from and how good it is
  doctor       versions, weights, devices, fonts and programs, for a bug report
  bench        how fast photos are opened, encoded and captioned here, part by part
  export       a checkpoint as ONNX files: its encoder and a step of its decoder
  completion   complete commands and flags in bash, zsh or fish
  score        score anyone's captions against what people wrote; compare two systems
  data check   look for damaged photos, odd captions and leaks between splits
  data convert captions of one format into another: COCO, CSV, JSON lines, folders, archives
  study        compare translation checkpoints, or ways to train: attention, cells, Transformers

examples:
  captioner demo
  captioner caption photo.jpg holiday/ --overlay sheets
  captioner caption holiday/ --jsonl captions.jsonl --maps
  captioner explain photo.jpg "A dog jumps over a log."
  captioner translate --to de "A brown dog runs through the snow."
  captioner train configs/caption.toml --output runs/mine

`captioner COMMAND --help` says more about each.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and shows its texts as they are written."""

    def __init__(self, **settings: Any) -> None:
        def shape(prog: str) -> argparse.HelpFormatter:
            return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=100)

        super().__init__(formatter_class=shape, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raises what `main` shows."""
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parses; an unknown option is an error that suggests the command's nearest one.

        argparse would leave that to the parser above, which knows no command's options.
        """
        found, unknown = super().parse_known_args(args, namespace)
        odd = next((text for text in unknown if text.startswith("-")), None)
        if odd is not None:
            known = [text for action in self._actions for text in action.option_strings]
            near = difflib.get_close_matches(odd.partition("=")[0], known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown


# What can be typed before the command as well as behind it, where the command has it.
_EVERYWHERE = {
    "--device": "where to compute, as behind the command",
    "--quiet": "no progress bars and notes, as behind the command",
    "--verbose": "more about what is done, as behind the command",
}
_WITH_VALUE = ("--device",)
_GROUPS = ("data", "study")  # commands of two words


def in_place(arguments: Sequence[str]) -> list[str]:
    """The arguments, with what was typed before the command moved behind it.

    What stands behind it as well counts there, being the last; a command that has no such option
    says so itself.
    """
    before: list[str] = []
    rest = list(arguments)
    while rest and rest[0].partition("=")[0] in _EVERYWHERE:
        count = 2 if rest[0] in _WITH_VALUE else 1
        before, rest = before + rest[:count], rest[count:]
    words = 2 if rest[:1] and rest[0] in _GROUPS and rest[1:2] != ["--help"] else 1
    return rest[:words] + before + rest[words:]


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what is wrong comes out of it as a `ConfigError`."""
    parser = _Parser(prog="captioner", description=ABOUT, epilog=COMMANDS, usage="%(prog)s COMMAND")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    for flag, about in _EVERYWHERE.items():
        takes: dict[str, Any] = {"action": "store_true"}
        if flag in _WITH_VALUE:
            takes = {"metavar": "DEVICE"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=about, **takes)
    commands = parser.add_subparsers(
        dest="command", prog="captioner", help=argparse.SUPPRESS, metavar="COMMAND"
    )
    for command in (
        caption,
        explain,
        translate,
        ui,
        demo,
        train,
        evaluate,
        calibrate,
        describe,
        doctor,
        bench,
        export,
        completion,
        score,
        data,
        study,
    ):
        command.add(commands)
    return parser
