"""Losses, in xent's runs and in any other loop::

    from xent.losses import FocalLoss

    loss = FocalLoss(gamma=3)             # arguments that are left out are those of conf/loss/focal.yaml
    loss(logits, targets).mean().backward()   # a loss gives one number per example, (N,)
    loss.log_probs(logits)                # (N, K): its link from logits to log-probabilities

An argument ``num_classes`` or ``class_counts`` (examples of each class in the training data) is for you to give.
"""

import functools
import importlib
from typing import Any

from ..names import actual
from ..package import CONF


@functools.cache
def option(module: str) -> tuple[str, dict[str, Any]]:
    """The class that the option file of a loss's module names, in full, and the arguments that it sets."""
    import yaml

    path = CONF / "loss" / f"{module}.yaml"
    arguments = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    arguments.pop("defaults", None)  # the task that the loss brings
    return actual(arguments.pop("_target_", "")), arguments


@functools.cache
def _modules() -> dict[str, str]:
    """Class -> its module, of the options that are called as the module; others only set other values."""
    found = {}
    for path in (CONF / "loss").glob("*.yaml"):
        target, _ = option(path.stem)
        module, _, name = target.rpartition(".")
        if module == f"{__name__}.{path.stem}":
            found[name] = path.stem
    return found


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _modules():
        raise AttributeError(f"{__name__} has no {name}; there are {', '.join(sorted(_modules()))}")
    return getattr(importlib.import_module(f".{_modules()[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_modules()])
