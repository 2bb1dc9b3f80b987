"""``src`` and ``xent`` are one package."""

import importlib
import sys

import pytest

import src
from src.config.signature import constant, signature
from src.losses.focal import FocalLoss
from src.names import actual, called


def test_a_module_has_one_object_under_both_names() -> None:
    for name in ("xent.losses.focal", "xent.losses", "xent", "xent.config.check"):
        own = actual(name)
        assert own.startswith("src") and importlib.import_module(name) is importlib.import_module(own)
        spec = sys.modules[own].__spec__
        assert spec is not None and (spec.name, sys.modules[own].__name__) == (own, own)
    from xent.losses import FocalLoss as Named  # type: ignore[import-not-found]

    assert Named is FocalLoss and Named.__module__ == "src.losses.focal"
    with pytest.raises(ModuleNotFoundError, match="fokal"):
        importlib.import_module("xent.losses.fokal")


def test_names_in_files_lead_here() -> None:
    for top in ("src", "xent"):
        assert next(iter(signature(f"{top}.losses.focal.FocalLoss"))) == "gamma"
        assert constant(f"{top}.losses.focal.FocalLoss", "soft_targets") is True
    assert (actual("srcs.a"), actual("torch.optim"), actual("src")) == ("srcs.a", "torch.optim", "src")
    assert called("train") == "python train.py" and src.__version__
