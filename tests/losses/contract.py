"""What the contract test must know of a loss, whatever its family.

A family has a table of its own, NAME_rows.py beside this file (rows.py is that of classification). It sub-classes
``Entry`` to say what its losses are called with, and gives ``ROWS``, one a loss, and ``BASES``, the modules of
src/losses that have what its losses share and no loss of their own. test_contract.py asks every row of every table.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from src.losses.base import Loss
from tests.conftest import ROOT

Array = np.ndarray
Kwargs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one loss.

    reference: float64 ``(*arguments of the loss, **its settings) -> (N,)`` in NumPy.
    kwargs:    its settings' defaults, as in its option file. ``facts``: K -> what it is told of the data.
    bad:       a setting -> values that must be refused with its name in the message.
    boundary:  other legal settings, extreme ones among them, that must give the reference's values.
    task:      whose option file it names. ``learned``: which of its arguments come from the network.
    compiles:  whether torch can compile it whole. ``twice``: whether it has a second derivative.
    constant:  it has a factor that counts as a constant in the gradient, so that differences of its values do not
               give the gradient. A test of its own must then say what does.
    """

    name: str
    cls: type[Loss]
    reference: Callable[..., Array]
    kwargs: Kwargs = field(default_factory=dict)
    facts: Callable[[int], Kwargs] = lambda classes: {}
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    boundary: Sequence[Kwargs] = ()
    task: str
    compiles: bool = True
    twice: bool = True
    constant: bool = False

    learned: ClassVar[tuple[int, ...]] = (0,)

    def __str__(self) -> str:
        return self.name

    def given(self, loss: Loss) -> tuple[Tensor, ...]:
        """What ``value`` is called with: float64 or integers, an example a row of each, the same at each call."""
        raise NotImplementedError

    @staticmethod
    def value(loss: Any, *given: Tensor) -> Tensor:
        """The loss of each example, (N,)."""
        return loss(*given)

    def expected(self, *given: Tensor, **changes: Any) -> Array:
        """The reference's values."""
        return self.reference(*(tensor.numpy() for tensor in given), **self.arguments(**changes))

    def forms(self) -> Sequence["Entry"]:
        """The row, once for each kind of arguments that its loss takes."""
        return [self]

    @property
    def cases(self) -> list[Kwargs]:
        return [{}, *self.boundary]

    def arguments(self, classes: int = 5, **changes: Any) -> dict[str, Any]:
        return {**self.kwargs, **self.facts(classes), **changes}

    def build(self, classes: int = 5, **changes: Any) -> Any:
        return self.cls(**self.arguments(classes, **changes))

    def looks_at_the_batch(self, **changes: Any) -> bool:
        """Whether an example's number depends on the rest of its batch, as the loss says of itself."""
        said = self.cls.batch_statistic
        return said if isinstance(said, bool) else self.arguments(**changes)[said] != 0


def to(given: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The same, its floating-point tensors in another precision."""
    return tuple(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in given)


@functools.cache
def tables() -> list[ModuleType]:
    """The families' tables."""
    return [import_module(f"tests.losses.{path.stem}") for path in sorted((ROOT / "tests/losses").glob("*rows.py"))]
