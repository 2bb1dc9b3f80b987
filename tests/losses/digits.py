"""Numbers of 50 digits for the references: NumPy's functions call the methods of what an object array holds."""

from collections.abc import Callable

import mpmath
import numpy as np
from torch import Tensor

CONTEXT = mpmath.MPContext()
CONTEXT.dps = 50
Digits = CONTEXT.mpf  # a class of this context alone


def method(name: str) -> Callable[[Digits], Digits]:
    function = getattr(CONTEXT, name)
    return lambda number: function(number)


for _name in ("exp", "log", "sqrt", "expm1", "log1p", "tanh"):
    setattr(Digits, _name, method(_name))


def exact(values: Tensor) -> np.ndarray:
    """The very numbers of a tensor, as an object array of ``Digits``."""
    numbers = [Digits(value) for value in values.double().flatten().tolist()]
    return np.array(numbers, dtype=object).reshape(values.shape)
