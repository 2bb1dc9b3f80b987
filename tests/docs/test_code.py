"""The code that README and docs/library.md show for a loop of one's own runs, given a model and data."""

import re

import pytest
import torch

from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["README.md", "docs/library.md"])
def test_code_runs(name: str) -> None:
    (code, *_) = re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 4)
    known: dict[str, object] = {"model": model}
    for split in ("", "test_", "val_"):
        images = 3 * torch.randn(400, 3)
        targets = torch.multinomial(model(images).detach().softmax(-1), 1)[:, 0]  # a calibrated model: T is near 1
        known |= {f"{split}images": images, f"{split}targets": targets}
    exec(code.replace("import torch, xent", "").replace("from xent.", "from src."), known)
    assert 0.5 < float(str(known["temperature"])) < 2
    assert model.weight.grad is not None
