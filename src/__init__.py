"""xent: a training framework for one question: which loss?

``xent.load(RUN)`` gives a finished run's network, ready to predict; ``xent.losses`` and ``xent.metrics`` are for your
own loop. Nothing here imports torch before one of them is asked for.
"""

from .names import answer_to_both

TYPE_CHECKING = False  # as in names.py
if TYPE_CHECKING:
    from .runs.trained import load as load

__version__ = "0.2.0"
answer_to_both()


def __getattr__(name: str) -> object:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .runs.trained import load

    return load
