"""Many optimizer steps each time Lightning calls: the bits of one at a time, whatever is due when."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from src.runs import fit
from src.tasks import stepping
from src.tasks.stepping import Stepping
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, laid_over, only_run, train
from tests.runs.test_exactness import assert_same_run

SHORT = ("trainer.log_every_n_steps=3", "trainer.val_every_n_steps=7", "checkpoint.every_n_steps=5")
IMAGES = (*("data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=150", "data.pad=1"), *SHORT)
MLP = (*IMAGES, "data.flip=true", "model.widths=[16]", "model.dropout=0.2", "trainer.max_steps=20")
CLIPPED = ("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.3")
GPT = (
    *("data=python_docs", "data.block_size=16", "data.batch_size=4", "model=gpt", "model.dropout=0.1", *SHORT),
    *("model.n_layer=1", "model.n_head=2", "model.n_embd=16", "samples.length=20", "trainer.limit_eval_batches=2"),
    "trainer.max_steps=20",
)
CASES = {
    "plain": MLP,
    "clipped": (*MLP, *CLIPPED),
    "bf16": (*MLP, *CLIPPED, "trainer.precision=bf16-mixed"),
    "float64": (*MLP, "trainer.precision=64-true", "loss=focal"),
    "mixed images": (*MLP, "data.mixup=cutmix"),
    "resnet": (*IMAGES, "model=resnet", "model.depth=8", "optimizer=sgd", "trainer.max_steps=10"),
    "gpt": (*GPT, "trainer.gradient_clip_val=0.5"),
}


def one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """Lightning's automatic optimisation."""

    def slow(*args: Any, **kwargs: Any) -> Stepping:
        return dataclasses.replace(Stepping(*args, **kwargs), many=False)

    patch.setattr(fit, "Stepping", slow)


def in_turns_of(steps: int, patch: pytest.MonkeyPatch) -> None:
    """A clock that says after every ``steps`` steps that it is Lightning's turn."""
    ticks = itertools.count()
    patch.setattr(stepping, "TURN", steps - 0.5)
    patch.setattr(stepping.time, "monotonic", lambda: float(next(ticks)))


ALIKE = ("plain", "clipped", "float64")  # what bf16 does beyond them is clipped as well
EACH = [pytest.param(case, marks=[pytest.mark.slow] if case in ALIKE else []) for case in CASES]


@pytest.mark.parametrize("case", EACH)
def test_the_bits_of_lightnings_own_optimisation(case: str, tmp_path: Path) -> None:
    words = (*QUIET, *CASES[case])
    assert train(*words, f"runs={tmp_path / 'many'}") == 0
    with pytest.MonkeyPatch.context() as patch:
        one_at_a_time(patch)
        assert train(*words, f"runs={tmp_path / 'one'}") == 0
    many, one = (only_run(tmp_path / name) for name in ("many", "one"))
    for name in ("metrics.csv", "weights.safetensors"):
        assert (many / name).read_bytes() == (one / name).read_bytes(), name
    optimizers = [
        torch.load(run / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
        for run in (many, one)
    ]
    for index, state in optimizers[0].items():
        assert all(
            torch.equal(torch.as_tensor(state[key]), torch.as_tensor(optimizers[1][index][key])) for key in state
        )


@pytest.mark.parametrize("case", ["bf16", "gpt"])
def test_when_lightning_has_its_turn_does_not_matter(case: str, tmp_path: Path) -> None:
    words = (*QUIET, *CASES[case])
    for steps in (1, 2, 1000):
        with pytest.MonkeyPatch.context() as patch:
            in_turns_of(steps, patch)
            assert train(*words, f"runs={tmp_path / str(steps)}") == 0
    runs = [only_run(tmp_path / str(steps)) for steps in (1, 2, 1000)]
    assert_same_run(runs[0], runs[1])
    assert_same_run(runs[0], runs[2])


def test_what_waits_to_be_scored_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many logits that each batch is scored on its own: the same numbers."""
    assert train(*QUIET, *GPT, f"runs={tmp_path / 'wide'}") == 0
    held: list[int] = []
    tally = SupervisedTask.tally

    def count(self: SupervisedTask, seen: list[Any]) -> None:
        held.append(len(seen))
        tally(self, seen)

    monkeypatch.setattr(stepping, "HELD", 1)
    monkeypatch.setattr(SupervisedTask, "tally", count)
    assert train(*QUIET, *GPT, f"runs={tmp_path / 'narrow'}") == 0
    assert held == [1] * 20
    assert_same_run(only_run(tmp_path / "wide"), only_run(tmp_path / "narrow"))


@pytest.mark.parametrize(("words", "strict"), [(GPT, True), (MLP, False)], ids=["gpt", "mlp"])
@pytest.mark.parametrize("many", [True, False])
def test_attention_must_repeat_and_other_networks_need_not(
    words: tuple[str, ...], strict: bool, many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a backward pass after machine.repeat_exactly; in between, what cannot repeat is allowed."""
    seen: set[tuple[bool, bool]] = set()
    after: set[bool] = set()
    whole, tally = SupervisedTask.batch_loss, SupervisedTask.tally

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: torch.Tensor) -> torch.Tensor:
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            warns = torch.is_deterministic_algorithms_warn_only_enabled()
            seen.add((torch.are_deterministic_algorithms_enabled(), not warns))
            return gradient

    def looked_at(self: Any, *given: Any) -> Any:
        loss, rest = whole(self, *given)
        return Look.apply(loss), rest

    def tallied(self: Any, *given: Any) -> None:
        after.add(torch.is_deterministic_algorithms_warn_only_enabled())
        tally(self, *given)

    monkeypatch.setattr(SupervisedTask, "batch_loss", looked_at)
    monkeypatch.setattr(SupervisedTask, "tally", tallied)
    if not many:
        one_at_a_time(monkeypatch)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert train(*laid_over((*QUIET, *words, "trainer.max_steps=2")), f"runs={tmp_path}") == 0
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == {(True, strict)} and after == {True}
