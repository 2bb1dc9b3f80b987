"""The command ``xent``, whose sub-commands are those of the scripts at the tree's root."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial

from ..config.guard import start

TYPE_CHECKING = False  # importing that of typing takes as long as all the rest up here
if TYPE_CHECKING:
    from ..config.composed import Composed

COMMANDS = {
    "train": "train one configuration, or many",
    "evaluate": "test a finished run again; predict new files; export the network; write text",
    "report": "compare finished runs",
    "tune": "search hyper-parameters",
}


def main(words: Sequence[str] | None = None, composed: Composed | None = None) -> None:
    """Do what ``words`` say, by default those of the command line, and end the process with the exit status.

    ``composed``: what a sweep has composed them to, where they are of a run.
    """
    name, *rest = (sys.argv[1:] if words is None else words) or ["--help"]
    sys.argv = [f"xent {name}", *rest]
    if name not in COMMANDS:
        start(lambda: tell(name))
    command = importlib.import_module(f".{name}", __package__).main
    start(partial(command, composed) if composed else command)


def tell(name: str) -> int:
    """Show the sub-commands. Raises UserError where ``name`` is none of them."""
    from ..config.errors import UserError, suggestion

    if name not in ("-h", "--help"):
        raise UserError(f"unknown command '{name}'.{suggestion(name, COMMANDS)} Commands: {', '.join(COMMANDS)}")
    print("xent: a training framework for one question: which loss?\n")
    for command, purpose in COMMANDS.items():
        print(f"  xent {command:<9} {purpose}")
    print("\nxent COMMAND --help tells more.")
    return 0
