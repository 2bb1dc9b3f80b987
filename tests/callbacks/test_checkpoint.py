"""Which weights best.ckpt keeps: those that are best in what the task's family says, whichever way that is better."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.callbacks.checkpoint import ExactCheckpoint
from src.callbacks.plan import Plan
from src.folder.folder import RunFolder
from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION, LANGUAGE

VALUES = [3.0, 2.0, 2.0, 5.0, 1.0, 7.0]


class Trainer:
    """Counts validations as steps and notes which checkpoints it was to write, at which of them."""

    def __init__(self) -> None:
        self.global_step, self.should_stop = 0, False
        self.written: dict[str, list[int]] = {"best.ckpt": [], "last.ckpt": []}

    def save_checkpoint(self, path: Path) -> None:
        self.written[path.name].append(self.global_step)


def family(better: int) -> Family:
    columns = (Column("rmse", better), Column("accuracy", 1))
    return Family("own", columns, chooses=("accuracy",), keeps="rmse", shown=(), charts=())


def validated(
    values: list[float | None], better: int, folder: Path, interrupted: bool = False, accuracy: float | None = 0.5
) -> list[int]:
    """The validations at which best.ckpt is written; ``interrupted``, and resumed, after each."""
    plan, trainer = Plan(100, 100, 1, 1, 1, None), Trainer()

    def made() -> ExactCheckpoint:
        return ExactCheckpoint(RunFolder(folder), {}, plan, keep_best=True)

    keeper = made()
    for step, value in enumerate(values):
        trainer.global_step = step
        scores = SimpleNamespace(compute=lambda value=value: {"loss": 0.0, "rmse": value, "accuracy": accuracy})
        task: Any = SimpleNamespace(family=family(better), val_scores=scores)
        keeper.on_validation_end(trainer, task)  # type: ignore[arg-type]
        if interrupted:
            state, keeper = keeper.state_dict(), made()
            keeper.load_state_dict(state)
    return trainer.written["best.ckpt"]


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize(("better", "kept"), [(1, [0, 3, 5]), (-1, [0, 1, 4])])
def test_the_best_is_that_of_what_the_family_keeps(
    better: int, kept: list[int], interrupted: bool, tmp_path: Path
) -> None:
    assert validated([*VALUES], better, tmp_path, interrupted) == kept


def test_a_run_without_that_value_keeps_the_best_of_what_chooses(tmp_path: Path) -> None:
    """The accuracy is the same throughout, so the first stays the best."""
    assert validated([None, None, None], -1, tmp_path) == [0]


def test_a_run_that_has_neither_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoint\.best=true keeps the weights with the best val/rmse, which this"):
        validated([None], -1, tmp_path, accuracy=None)


def test_text_keeps_the_lowest_nll() -> None:
    """As nanoGPT's "best validation loss" does: its accuracy still rises where the nll overfits."""
    assert (LANGUAGE.keeps, CLASSIFICATION.keeps) == ("nll", "accuracy")
