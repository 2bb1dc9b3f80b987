"""``from xent.losses import ...`` in a loop of one's own: which losses there are, and with which defaults."""

import inspect
import subprocess
import sys

import pytest
import torch
import yaml

import src.losses
from src.losses import FocalLoss, LogitAdjustedLoss, SmoothedCrossEntropyLoss
from src.losses.base import ClassificationLoss
from src.losses.logit_adjusted import LogitAdjustedLoss as Defined
from tests.conftest import ROOT
from tests.losses.rows import ROWS, Row

FACTS = ("num_classes", "class_counts")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_defaults_are_those_of_the_option_file(row: Row) -> None:
    option = yaml.safe_load((ROOT / f"conf/loss/{row.name}.yaml").read_text())
    del option["defaults"]
    name = option.pop("_target_").rpartition(".")[2]
    offered = getattr(src.losses, name)
    assert offered is row.cls and name in dir(src.losses)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(offered).parameters.items()
        if key not in FACTS and parameter.default is not parameter.empty
    }
    assert defaults == option
    assert isinstance(offered(**row.facts(4)), row.cls)


def test_the_source_has_no_second_default() -> None:
    """A default in a constructor would win over none in the file, and hide that it is missing."""
    for row in ROWS:
        for text in inspect.getsource(row.cls).split("def __init__")[1:]:
            head = text[: text.index(")")]
            assert [part for part in head.split(",") if "=" in part and not any(f in part for f in FACTS)] == []


def test_what_is_given_wins_and_what_is_wrong_is_told() -> None:
    logits, targets = torch.zeros(2, 4), torch.tensor([0, 3])
    assert FocalLoss(gamma=0)(logits, targets).tolist() == pytest.approx([1.3862943611] * 2)
    assert SmoothedCrossEntropyLoss(smoothing=0.2).spread == "all"
    assert LogitAdjustedLoss is Defined and LogitAdjustedLoss(class_counts=[1, 2, 3, 4]).tau == 1.0
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'class_counts'"):
        LogitAdjustedLoss()
    with pytest.raises(ValueError, match="gamma must be a number >= 0, got -1"):
        FocalLoss(gamma=-1)
    with pytest.raises(AttributeError, match="has no FokalLoss; there are AbsoluteErrorLoss, "):
        _ = src.losses.FokalLoss


def test_a_sub_class_keeps_the_defaults_unless_its_constructor_has_its_own() -> None:
    class Same(FocalLoss):
        pass

    class Other(ClassificationLoss):
        def __init__(self, *, gamma: float) -> None:
            super().__init__()

    assert Same().gamma == 2.0
    with pytest.raises(TypeError, match="gamma"):
        Other()


def test_naming_the_package_and_a_loss_imports_no_more_than_it_needs() -> None:
    code = """
import sys, src, src.losses, src.metrics
assert "torch" not in sys.modules, "the packages"
from src.losses import CrossEntropyLoss
from src.metrics import fit_temperature, measure
print(sorted({"torchvision", "torchmetrics", "pytorch_lightning", "scipy", "hydra", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
