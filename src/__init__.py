"""xent: a training framework for one question: which loss?

``xent.load(RUN)`` gives a finished run's network, ready to predict; ``xent.losses`` and ``xent.metrics`` are for your
own loop. Nothing here imports torch before one of them is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runs.trained import load as load

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .runs.trained import load

    return load
