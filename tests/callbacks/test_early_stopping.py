"""Early stopping against a replay of the validation values of a run that goes on to its end."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from src.callbacks.early_stopping import EarlyStopping
from src.metrics.columns import Column, Family
from tests.commands import QUIET, only_run, train

WORDS = (
    *QUIET,
    *("data.train_examples=100", "data.batch_size=10", "data.eval_batch_size=500", "model.widths=[8]"),
    *("optimizer=sgd", "optimizer.lr=0.4", "scheduler=constant", "trainer.max_steps=40", "trainer.val_every_n_steps=2"),
)


def values(run: Path, tag: str) -> list[tuple[int, float]]:
    with (run / "metrics.csv").open() as file:
        return [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["tag"] == tag]


def stop_of(history: list[tuple[int, float]], best: Callable[[list[float]], float], patience: int) -> int:
    """The step at which the best value is ``patience`` validations old, else the last."""
    for i, (step, _) in enumerate(history):
        seen = [value for _, value in history[: i + 1]]
        if i - seen.index(best(seen)) >= patience:
            return step
    return history[-1][0]


@pytest.mark.parametrize(("loss", "tag", "best"), [("ce", "val/nll", min), ("hinge", "val/accuracy", max)])
def test_stops_where_the_replay_does(loss: str, tag: str, best: Callable[[list[float]], float], tmp_path: Path) -> None:
    words = (*WORDS, f"loss={loss}")
    assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    history = values(only_run(tmp_path / "whole"), tag)
    stops = {patience: stop_of(history, best, patience) for patience in (1, 2, 3)}
    assert min(stops.values()) < 40, "no patience would stop this run: the test shows nothing"
    for patience, stop in stops.items():
        runs = tmp_path / str(patience)
        assert train(*words, f"early_stopping.patience={patience}", f"runs={runs}") == 0
        run = only_run(runs)
        assert values(run, tag) == [(step, value) for step, value in history if step <= stop]
        result = json.loads((run / "result.json").read_text())
        assert (result["status"], result["steps"], result["tested_at_step"]) == ("finished", stop, stop)
        assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == stop


FAMILY = Family(
    "prices",
    (Column("rmse", -1), Column("hits", 1)),
    chooses=("rmse", "hits"),
    keeps="hits",
    shown=("hits",),
    charts=("hits",),
)


def stopped_after(history: list[dict[str, float | None]], interrupted: bool) -> int | None:
    """The validation (1, 2, ...) that stops a run of patience 2; ``interrupted``, and resumed, after each."""
    trainer, callback = SimpleNamespace(should_stop=False), EarlyStopping(2)
    for number, values in enumerate(history, 1):
        scores = SimpleNamespace(compute=lambda values=values: values)
        callback.on_validation_end(trainer, SimpleNamespace(family=FAMILY, val_scores=scores))
        if trainer.should_stop:
            return number
        if interrupted:
            state, callback = json.loads(json.dumps(callback.state_dict())), EarlyStopping(2)
            callback.load_state_dict(state)
    return None


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_metric_is_that_of_the_family_and_stays_the_same(interrupted: bool) -> None:
    rmse = [3.0, 2.0, 2.0, 1.0, 1.0, 1.5]
    hits = [1.0, 1.0, 2.0, 3.0, 3.0, 3.0]
    both = [{"rmse": r, "hits": h, "loss": 0.0} for r, h in zip(rmse, hits, strict=True)]
    assert stopped_after(both, interrupted) == 6
    assert stopped_after([values | {"rmse": None} for values in both], interrupted) == 6
    assert stopped_after([{"rmse": None, "hits": h, "loss": 0.0} for h in (2.0, 1.0, 1.0)], interrupted) == 3
    late = [{"rmse": None, "hits": 1.0, "loss": 0.0}, *both[1:]]
    late = [values | {"hits": 1.0} for values in late]
    assert stopped_after(late, interrupted) == 3, "not the rmse, which gets better"
    assert stopped_after([{"rmse": None, "hits": None, "loss": 0.0}] * 9, interrupted) is None
