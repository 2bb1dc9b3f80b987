"""This package: ``src`` in the tree, from whose root ``python train.py`` runs, and ``xent`` where it is installed.

The modules name each other by relative imports, so one tree serves as both. What must not differ between the two, such
as the names of classes in configurations, is written with ``src``.
"""

from pathlib import Path

NAME = __package__
FOLDER = Path(__file__).resolve().parent
CONF = next(path for path in (FOLDER / "conf", FOLDER.parent / "conf") if path.is_dir())  # installed; in the tree
STORED = "src"  # the name in option files and in the folders of runs


def called(command: str) -> str:
    """How a user gives a command from here: "python train.py", or "xent train"."""
    return f"python {command}.py" if NAME == STORED else f"xent {command}"


def actual(name: str) -> str:
    """The dotted name, here, of what is stored under ``name``: "src.losses.ce" is "xent.losses.ce" if installed."""
    top, dot, rest = name.partition(".")
    return f"{NAME}{dot}{rest}" if top == STORED else name
