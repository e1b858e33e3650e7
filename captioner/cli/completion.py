"""`captioner completion`: what makes a shell complete commands, flags and their choices."""

from __future__ import annotations

import argparse
from typing import Any

_SHELLS = ("bash", "zsh", "fish")


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "completion",
        usage="captioner completion SHELL",
        description="Prints a script with which a shell completes commands, flags and choices; it "
        "is made from the same\ndescription as --help, by shtab (pip install shtab).",
        epilog="""\
examples:
  captioner completion bash > ~/.local/share/bash-completion/completions/captioner
  captioner completion zsh > ~/.zfunc/_captioner
  captioner completion fish > ~/.config/fish/completions/captioner.fish""",
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the script; returns 0.

    Raises:
        ModuleNotFoundError: shtab is not installed.
    """
    import shtab

    _show_commands(arguments.parser)  # which has done its work
    print(shtab.complete(arguments.parser, arguments.shell))
    return 0


def _show_commands(parser: argparse.ArgumentParser) -> None:
    """Lists the commands where shtab looks for them: --help shows a list of its own instead."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = "command"
            action._choices_actions.clear()
            for name, command in action.choices.items():
                about = (command.description or name).partition(".")[0].replace("\n", " ")
                action._choices_actions.append(action._ChoicesPseudoAction(name, [], about))
                _show_commands(command)
