"""What a command line composes to, as it is handed to what trains."""

from dataclasses import dataclass

from ..plain import Plain


@dataclass(frozen=True)
class Composed:
    """A run's configuration in plain containers, checked, and what else is to be known of its command line.

    ``typed``: its words, but for Hydra's own. ``trusted``: the classes that it names, as src/config/trust.py has them.
    A sweep composes its jobs before the first starts, and hands this to the jobs that it forks.
    """

    cfg: Plain
    choices: dict[str, str | None]
    typed: list[str]
    trusted: list[str]
