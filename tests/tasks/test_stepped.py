"""What a task does to its weights after each optimizer step: all that look at weights afterwards see it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from safetensors.torch import load_file
from torch import Tensor

from src.callbacks.guard import FiniteGuard
from src.runs import fit
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, only_run, train
from tests.runs.teams import TWO, finished
from tests.runs.test_exactness import assert_same_run, resume_from_every_checkpoint
from tests.tasks.test_stepping import MLP, one_at_a_time

LIMIT = 2**-4  # the weights start larger, and without a limit they stay so
WORDS = (*QUIET, *MLP, "trainer.accumulate_grad_batches=2")
# a task of somebody's own, and its option: what a process can be told
OWN = f"""
from xent.tasks.supervised import SupervisedTask


class Limited(SupervisedTask):
    def stepped(self):
        for weight in self.model.parameters():
            weight.clamp_(-{LIMIT}, {LIMIT})
"""
OPTION = "_target_: limited.Limited\ncriterion: nll\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether gradients were recorded, at each call of the hook, which limits all weights."""
    calls: list[bool] = []

    def limit(self: SupervisedTask) -> None:
        calls.append(torch.is_grad_enabled())
        for weight in self.model.parameters():
            weight.clamp_(-LIMIT, LIMIT)

    monkeypatch.setattr(SupervisedTask, "stepped", limit)
    return calls


def largest(weights: dict[str, Tensor]) -> float:
    return max(weight.abs().max().item() for weight in weights.values())


def half(patch: pytest.MonkeyPatch) -> None:
    """Lightning with float16 and its loss scaler, which a user has on a GPU only."""
    trainer: Callable[..., pl.Trainer] = pl.Trainer

    def scaled(*, precision: str, plugins: list[Any], **settings: Any) -> pl.Trainer:
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        return trainer(plugins=[*plugins, plugin], **settings)

    one_at_a_time(patch)
    patch.setattr(fit.pl, "Trainer", scaled)


def test_it_comes_once_after_each_step_in_both_ways_of_stepping(calls: list[bool], tmp_path: Path) -> None:
    assert train(*WORDS, f"runs={tmp_path / 'many'}") == 0
    assert calls == [False] * 20
    with pytest.MonkeyPatch.context() as patch:
        one_at_a_time(patch)
        assert train(*WORDS, f"runs={tmp_path / 'one'}") == 0
    assert calls == [False] * 40
    many, one = (only_run(tmp_path / name) for name in ("many", "one"))
    assert largest(load_file(many / "weights.safetensors")) <= LIMIT
    for name in ("metrics.csv", "weights.safetensors"):
        assert (many / name).read_bytes() == (one / name).read_bytes(), name


def test_weights_are_as_without_it_where_it_does_nothing(tmp_path: Path) -> None:
    """And they are larger than the limit that the other tests have."""
    assert train(*WORDS, f"runs={tmp_path / 'plain'}") == 0
    assert largest(load_file(only_run(tmp_path / "plain") / "weights.safetensors")) > 2 * LIMIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTask, "stepped", lambda task: [weight.add_(0) for weight in task.model.parameters()])
        assert train(*WORDS, f"runs={tmp_path / 'zero'}") == 0
    assert_same_run(only_run(tmp_path / "plain"), only_run(tmp_path / "zero"))


@pytest.mark.parametrize("words", [(), pytest.param(("ema.decay=0.9",), marks=pytest.mark.slow)])
def test_it_resumes_bit_for_bit(
    words: tuple[str, ...], calls: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*WORDS, *words, "trainer.max_steps=6", "trainer.val_every_n_steps=4", "checkpoint.every_n_steps=2")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch)


def test_the_moving_average_is_of_its_weights(
    calls: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An average of weights that are within the limit after every step; the guard sees them so, too."""
    seen: list[float] = []
    look = FiniteGuard.on_train_batch_end

    def keep(self: FiniteGuard, trainer: Any, task: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        look(self, trainer, task, outputs, batch, batch_idx)
        if batch_idx % 2:
            seen.append(largest(task.model.state_dict()))

    monkeypatch.setattr(FiniteGuard, "on_train_batch_end", keep)
    assert train(*WORDS, "ema.decay=0.5", f"runs={tmp_path}") == 0
    assert seen == [LIMIT] * 20
    checkpoint = torch.load(only_run(tmp_path) / "checkpoints/last.ckpt", weights_only=True)
    for state in ("state_dict", "current_model_state"):
        assert largest(checkpoint[state]) <= LIMIT + 1e-7, state


def test_it_comes_after_the_step_of_a_loss_scaler(calls: list[bool], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        half(patch)
        assert train(*WORDS, f"runs={tmp_path}") == 0
    assert calls == [False] * 20
    assert largest(load_file(only_run(tmp_path) / "weights.safetensors")) <= LIMIT


@pytest.mark.slow
def test_every_rank_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks have the weights of one, within the limit."""
    (tmp_path / "conf/task").mkdir(parents=True)
    (tmp_path / "limited.py").write_text(OWN)
    (tmp_path / "conf/task/limited.yaml").write_text(OPTION)
    own = ("--config-dir", str(tmp_path / "conf"), "task=limited")
    words = (*MLP, "model.dropout=0", "trainer.precision=64-true")
    env = {"PYTHONPATH": str(tmp_path)}
    finished(*own, *TWO, *words, f"runs={tmp_path / 'two'}", env=env)
    finished(*own, *QUIET, *words, f"runs={tmp_path / 'one'}", env=env)
    two, one = (load_file(only_run(tmp_path / name) / "weights.safetensors") for name in ("two", "one"))
    assert largest(two) == largest(one) == LIMIT
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-10)
