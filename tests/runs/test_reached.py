"""Losses that change on the way through training."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from src.losses.ldam import LabelDistributionAwareMarginLoss
from tests.commands import QUIET, only_run, train
from tests.runs.test_exactness import resume_from_every_checkpoint
from tests.tasks.test_stepping import MLP, one_at_a_time

DEFERRED = ("loss=ldam", "loss.class_weights=balanced", "loss.reweight_after=0.5", "data.imbalance=10")
WORDS = (*QUIET, *MLP, *DEFERRED)


def test_the_share_that_is_done_is_told_in_both_ways_of_stepping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(LabelDistributionAwareMarginLoss, "reached", lambda loss, share: shares.append(share))
    words = (*WORDS, "trainer.max_steps=4", "trainer.accumulate_grad_batches=2")
    assert train(*words, f"runs={tmp_path / 'many'}") == 0
    with pytest.MonkeyPatch.context() as patch:
        one_at_a_time(patch)
        assert train(*words, f"runs={tmp_path / 'one'}") == 0
    assert shares == 2 * [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_a_loss_that_changes_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORDS, "trainer.max_steps=6", "trainer.val_every_n_steps=4", "checkpoint.every_n_steps=2")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch)


def test_weights_count_only_once_they_are_due(tmp_path: Path) -> None:
    """A run that ends before they are is that of weights that never count."""
    short = ("trainer.max_steps=4", "trainer.val_every_n_steps=4")
    late, never = ("loss.reweight_after=0.99",), ("loss.class_weights=null", "loss.reweight_after=0")
    for name, words in (("late", late), ("never", never), ("half", ())):
        assert train(*WORDS, *short, *words, f"runs={tmp_path / name}") == 0
    late_run, never_run, half = (only_run(tmp_path / name) for name in ("late", "never", "half"))
    weights = "weights.safetensors"
    assert (late_run / weights).read_bytes() == (never_run / weights).read_bytes()
    assert (late_run / weights).read_bytes() != (half / weights).read_bytes()


@pytest.mark.slow
def test_compiled_it_changes_too(tmp_path: Path) -> None:
    for name in ("false", "true"):
        assert (
            train(
                *WORDS,
                "model.dropout=0",
                "optimizer=sgd",
                "trainer.max_steps=4",
                f"compile={name}",
                f"runs={tmp_path / name}",
            )
            == 0
        )
    one, other = (only_run(tmp_path / name) for name in ("false", "true"))
    plain, compiled = (load_file(run / "weights.safetensors") for run in (one, other))
    for key, weight in plain.items():
        torch.testing.assert_close(compiled[key], weight, rtol=1e-4, atol=1e-6)
