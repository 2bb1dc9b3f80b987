"""The names of this package: ``src`` in the tree, from whose root ``python train.py`` runs; ``xent`` where installed.

The modules name each other by relative imports, so one tree serves as both. Option files and the folders of runs name
its classes with ``src``. Code outside of it may always import ``xent``, which in the tree is ``src`` by another name.
All of it is imported before a signal is heard, so it imports next to nothing itself.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # importing that of typing would take as long as all the rest up here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

NAME = str(__package__)
STORED, INSTALLED = "src", "xent"


def called(command: str) -> str:
    """How a user gives a command from here: "python train.py", or "xent train"."""
    return f"python {command}.py" if NAME == STORED else f"xent {command}"


def actual(name: str) -> str:
    """The dotted name, here, of what is called ``name`` elsewhere: "src.losses.ce" is "xent.losses.ce" if installed."""
    top, dot, rest = name.partition(".")
    return f"{NAME}{dot}{rest}" if top in (STORED, INSTALLED) else name


class Alias:
    """Gives, for an import of ``xent`` or of a module in it, that of this package itself: a class exists once."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] == INSTALLED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        module = importlib.import_module(actual(spec.name))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: "ModuleType") -> None:
        """It has been, under its own name, which it keeps."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def answer_to_both() -> None:
    """In the tree, let code outside of it import this package as ``xent``."""
    if NAME == STORED:
        sys.meta_path.insert(0, Alias())
