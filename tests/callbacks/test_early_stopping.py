"""Early stopping against a replay of the validation values of a run that goes on to its end."""

import csv
import json
from pathlib import Path

import pytest
import torch

from tests.commands import QUIET, only_run, train

WORDS = (
    *QUIET,
    *("data.train_examples=100", "data.batch_size=10", "data.eval_batch_size=500", "model.widths=[8]"),
    *("optimizer=sgd", "optimizer.lr=0.4", "scheduler=constant", "trainer.max_steps=40", "trainer.val_every_n_steps=2"),
)


def values(run: Path, tag: str) -> list[tuple[int, float]]:
    with (run / "metrics.csv").open() as file:
        return [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["tag"] == tag]


def stop_of(history: list[tuple[int, float]], patience: int) -> int:
    """The step at which the best value is ``patience`` validations old, else the last."""
    for i, (step, _) in enumerate(history):
        seen = [value for _, value in history[: i + 1]]
        if i - seen.index(min(seen)) >= patience:
            return step
    return history[-1][0]


@pytest.mark.parametrize(("loss", "tag"), [("ce", "val/nll"), ("hinge", "val/loss")])
def test_stops_where_the_replay_does(loss: str, tag: str, tmp_path: Path) -> None:
    words = (*WORDS, f"loss={loss}")
    assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    history = values(only_run(tmp_path / "whole"), tag)
    stops = {patience: stop_of(history, patience) for patience in (1, 2, 3)}
    assert min(stops.values()) < 40, "no patience would stop this run: the test shows nothing"
    for patience, stop in stops.items():
        runs = tmp_path / str(patience)
        assert train(*words, f"early_stopping.patience={patience}", f"runs={runs}") == 0
        run = only_run(runs)
        assert values(run, tag) == [(step, value) for step, value in history if step <= stop]
        result = json.loads((run / "result.json").read_text())
        assert (result["status"], result["steps"], result["tested_at_step"]) == ("finished", stop, stop)
        assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == stop
