"""The moving average of the weights against one by hand, in float64, from the weights after every step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from src.callbacks.guard import FiniteGuard
from tests.commands import QUIET, only_run, train

WORDS = (
    *QUIET,
    *("data.train_examples=100", "data.batch_size=10", "data.eval_batch_size=500", "model.widths=[8]"),
    *("optimizer=sgd", "trainer.max_steps=9", "trainer.val_every_n_steps=4"),
)


@pytest.mark.parametrize(
    ("accumulate", "precision", "rtol", "atol"), [(1, "32-true", 1e-6, 1e-7), (2, "64-true", 1e-14, 1e-16)]
)
def test_weights_are_the_average(
    accumulate: int, precision: str, rtol: float, atol: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[dict[str, torch.Tensor]] = []
    look = FiniteGuard.on_train_batch_end

    def keep(self: FiniteGuard, trainer: Any, task: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        look(self, trainer, task, outputs, batch, batch_idx)
        if (batch_idx + 1) % accumulate == 0:
            history.append({name: value.double().clone() for name, value in task.model.state_dict().items()})

    monkeypatch.setattr(FiniteGuard, "on_train_batch_end", keep)
    words = (*WORDS, "ema.decay=0.8", f"trainer.accumulate_grad_batches={accumulate}")
    words = (*words, f"trainer.precision={precision}")
    assert train(*words, f"runs={tmp_path}") == 0
    assert len(history) == 9
    average = history[0]  # the average starts at the weights after the first step
    for weights in history[1:]:
        average = {name: 0.8 * average[name] + 0.2 * weights[name] for name in average}
    run = only_run(tmp_path)
    stored = load_file(run / "weights.safetensors")
    assert stored.keys() == average.keys()
    for name, value in stored.items():
        torch.testing.assert_close(value.double(), average[name], rtol=rtol, atol=atol)
        assert not torch.allclose(value.double(), history[-1][name], rtol=1e-4), "the average is not the last weights"
    live = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["current_model_state"]
    for name, value in history[-1].items():
        assert torch.equal(live[f"model.{name}"].double(), value), "training goes on from the weights, not the average"
