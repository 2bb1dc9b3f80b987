"""A loss that no graph can hold: a compiled step would have no gradient and say nothing, so it is refused."""

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.losses.ce import CrossEntropyLoss
from tests.commands import QUIET, only_run, result_of, train

FEW = ("model.widths=[8]", "data.train_examples=320", "data.eval_batch_size=1000", "trainer.max_steps=8")
whole = CrossEntropyLoss.unweighted


def broken(self: CrossEntropyLoss, logits: Tensor, targets: Tensor) -> Tensor:
    value = whole(self, logits, targets)
    return value if value.sum() > -1 else -value  # a branch on a tensor's value


def losses(runs: Path, *words: str) -> tuple[int, list[float]]:
    status = train(*QUIET, *FEW, *words, f"runs={runs}")
    metrics = result_of(only_run(runs)).get("metrics", {})
    return status, [metrics[split]["nll"] for split in metrics]


@pytest.mark.slow
def test_is_refused_or_compiled_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    _, eager = losses(tmp_path / "eager")
    monkeypatch.setattr(CrossEntropyLoss, "unweighted", broken)
    assert losses(tmp_path / "refused", "compile=true")[0] == 1
    error = result_of(only_run(tmp_path / "refused"))["error"]
    assert "no single graph of network and loss" in error and "say compiles = False in its class" in error
    monkeypatch.setattr(CrossEntropyLoss, "compiles", False)
    status, apart = losses(tmp_path / "apart", "compile=true")
    assert status == 0 and apart == pytest.approx(eager, rel=1e-5) and len(eager) == 3
