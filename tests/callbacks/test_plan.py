"""The plan of a run against counting its batches one by one."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from src.callbacks.plan import Plan, steps_taken
from src.data.base import Data

SETTINGS = list(
    itertools.product(
        (1, 2, 7, 10),  # batches in a pass over the data
        (None, 1, 5, 13),  # max_steps
        (None, 1, 3),  # max_epochs
        (None, 1, 4, 100),  # val_every_n_steps
        (1, 2, 3),  # accumulate_grad_batches
        (None, 1, 4),  # limit_train_batches
        (None, 2),  # overfit_batches
    )
)
KEYS = (
    *("max_steps", "max_epochs", "val_every_n_steps", "accumulate_grad_batches", "limit_train_batches"),
    "overfit_batches",
)


class Batches(Data):
    """Data of so many batches."""

    def __init__(self, batches: int, settings: dict[str, Any]) -> None:
        self.batches, self.accumulate = batches, settings["accumulate_grad_batches"]
        self.limit = settings["overfit_batches"] or settings["limit_train_batches"]

    def batches_per_epoch(self) -> int:
        return self.batches


def enumerate_by_hand(batches: int, settings: dict[str, int | None]) -> tuple[list[int], list[int], int]:
    """Walk through the run batch by batch: the epoch of each step, the steps that are validated, all batches."""
    limit = settings["overfit_batches"] or settings["limit_train_batches"]
    length = min(batches, limit) if limit else batches
    accumulate = settings["accumulate_grad_batches"]
    assert accumulate
    epochs, validated, used = [], [], 0
    epoch = 0
    while settings["max_epochs"] is None or epoch < settings["max_epochs"]:
        in_epoch = 0
        while (in_epoch + 1) * accumulate <= length:  # whole steps alone
            used += accumulate
            in_epoch += 1
            epochs.append(epoch)
            if settings["val_every_n_steps"] and len(epochs) % settings["val_every_n_steps"] == 0:
                validated.append(len(epochs))
            if len(epochs) == settings["max_steps"]:
                break
        ended = (in_epoch + 1) * accumulate > length
        if not settings["val_every_n_steps"] and ended:
            validated.append(len(epochs))
        if len(epochs) == settings["max_steps"]:
            break
        epoch += 1
    return epochs, sorted({*validated, len(epochs)}), used


def test_against_enumeration() -> None:
    tried = 0
    for batches, *values in SETTINGS:
        settings = dict(zip(KEYS, values, strict=True))
        data = Batches(batches, settings)
        if data.steps_per_epoch() == 0 or (settings["max_steps"] is None and settings["max_epochs"] is None):
            continue
        plan = Plan.of(settings | {"log_every_n_steps": 50}, data.steps_per_epoch(), None)
        epochs, validated, used = enumerate_by_hand(batches, settings)
        told = [plan.epoch(step) for step in range(1, plan.steps + 1)]
        due = [step for step in range(1, plan.steps + 1) if plan.validation_due(step)]
        assert (told, due, plan.batches) == (epochs, validated, used), (batches, settings)
        tried += 1
    assert tried > 1500


def test_something_is_due() -> None:
    """Validation after 4, 8, 10; logging after 3, 6, 9, 10; checkpoints, besides those of validations, after 5, 10."""
    plan = Plan(steps=10, epoch_steps=4, val_steps=4, accumulate=1, log_steps=3, save_steps=5)
    steps = range(1, 11)
    assert [step for step in steps if plan.validation_due(step)] == [4, 8, 10]
    assert [step for step in steps if plan.logging_due(step)] == [3, 6, 9, 10]
    assert [step for step in steps if plan.saving_due(step)] == [5, 10]
    assert [step for step in steps if plan.due(step)] == [3, 4, 5, 6, 8, 9, 10]
    assert not any(replace(plan, save_steps=None).saving_due(step) for step in steps)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_steps_are_told_where_accumulation_ends(accumulate: int) -> None:
    told = []
    for batch in range(4 * accumulate):
        trainer: Any = SimpleNamespace(accumulate_grad_batches=accumulate, global_step=(batch + 1) // accumulate)
        told.append(steps_taken(trainer, batch))
    assert [step for step in told if step is not None] == [1, 2, 3, 4]
    assert [i + 1 for i, step in enumerate(told) if step is not None] == [accumulate * k for k in (1, 2, 3, 4)]
