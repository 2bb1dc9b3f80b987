"""torchvision beside whatever torch is here, in a fresh process: in this one it is imported already."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_metrics_can_be_imported_alone_and_what_needs_torchvision_after_it() -> None:
    """The metrics as in a notebook."""
    code = """
import src.metrics.scores, sys
assert not {'pytorch_lightning', 'hydra'} & set(sys.modules)
import torchvision, torchmetrics, pytorch_lightning
import torch
from torchvision.datasets import MNIST
from torchvision.transforms.functional import resize
assert resize(torch.zeros(3, 8, 8), [4, 4]).shape == (3, 4, 4)
assert torch.ops.torchvision.nms
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
