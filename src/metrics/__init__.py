"""The metrics of xent's runs, for any other loop::

from xent.metrics import fit_temperature, measure, scaled

measure(log_probs, targets)["ece"]              # log_probs (N, K): logits.log_softmax(-1); targets (N,)
temperature = fit_temperature(val_log_probs, val_targets)
measure(scaled(log_probs, temperature), targets)   # after temperature scaling
"""

import importlib
from typing import Any

PLACES = {
    **{"measure": "judged", "judge": "judged"},
    **{"fit_temperature": "temperature", "scaled": "temperature", "NotFittedError": "temperature"},
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"{__name__} has no {name}; there are {', '.join(sorted(PLACES))}")
    return getattr(importlib.import_module(f".{PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PLACES])
