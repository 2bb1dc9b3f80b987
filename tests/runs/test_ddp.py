"""Runs of several processes: the numbers of one process, and one set of files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.commands import only_run, result_of, train
from tests.holding import holding
from tests.runs.teams import GPT, MLP, ONE, TWO, finished, torchrun
from tests.runs.test_exactness import assert_same_run

FILES = {
    *("config.yaml", "metrics.csv", "timing.csv", "result.json", "train.log", "predictions.npz", ".lock"),
    *("weights.safetensors", "checkpoints/last.ckpt"),
}


def numbers(metrics: dict[str, float | None]) -> dict[str, float]:
    """Without what a loss does not give."""
    return {name: value for name, value in metrics.items() if value is not None}


def assert_trains_as_one(words: tuple[str, ...], cut: tuple[str, ...], folder: Path) -> None:
    """In float64 two ranks, and steps that are ``cut`` into batches, train as one process with whole batches."""
    words = (*words, "trainer.precision=64-true")
    assert train(*ONE, *words, f"runs={folder / 'one'}") == 0
    finished(*TWO, *words, f"runs={folder / 'two'}")
    assert train(*ONE, *words, *cut, f"runs={folder / 'cut'}") == 0
    for other in ("two", "cut"):
        assert_close_runs(only_run(folder / "one"), only_run(folder / other), 1e-9)


def assert_close_runs(one: Path, two: Path, tolerance: float) -> None:
    """Weights, metrics, curves and predictions of two finished runs."""
    weights = [load_file(run / "weights.safetensors") for run in (one, two)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=tolerance)
    results = [result_of(run) for run in (one, two)]
    assert [result["status"] for result in results] == ["finished"] * 2
    for split, metrics in results[0]["metrics"].items():
        own = numbers(results[1]["metrics"][split])
        assert own == pytest.approx(numbers(metrics), rel=tolerance, abs=tolerance), split
    curves = [[line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]] for run in (one, two)]
    assert [row[:4] for row in curves[0]] == [row[:4] for row in curves[1]]
    values = [np.array([float(row[4]) for row in rows]) for rows in curves]
    np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance)
    with np.load(one / "predictions.npz") as a, np.load(two / "predictions.npz") as b:
        assert sorted(a) == sorted(b)
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=max(1e-6, tolerance))


def test_two_ranks_train_as_one_and_write_once(tmp_path: Path) -> None:
    """In float64, so that rounding does not hide a mistake."""
    words = (*MLP, "model.dropout=0", "trainer.precision=64-true", "trainer.max_steps=20")
    said = finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    two = only_run(tmp_path / "two")
    assert {str(path.relative_to(two)) for path in two.rglob("*") if path.is_file()} == FILES
    assert result_of(two)["run"]["ranks"] == 2
    assert said.count("run folder") == 2  # at the start and at the end, by one rank
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    assert_close_runs(only_run(tmp_path / "one"), two, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (*MLP, "model.dropout=0", "trainer.accumulate_grad_batches=2", "loss=focal"),
        (*MLP, "model.dropout=0", "ema.decay=0.9", "data.mixup=cutmix", "trainer.gradient_clip_val=0.5"),
        (*GPT, "model.dropout=0"),
    ],
)
def test_two_ranks_give_the_weights_of_one(words: tuple[str, ...], tmp_path: Path) -> None:
    words = (*words, "trainer.precision=64-true", "trainer.max_steps=200")
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    assert_close_runs(only_run(tmp_path / "one"), only_run(tmp_path / "two"), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("words", [MLP, GPT])
def test_first_gradient_in_float32(words: tuple[str, ...], tmp_path: Path) -> None:
    """With lr 1 and plain gradient descent the weights move by the gradient."""
    words = (*words, "model.dropout=0", "optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0")
    words = (*words, "optimizer.weight_decay=0", "scheduler=constant", "trainer.max_steps=1")
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    weights = [load_file(only_run(tmp_path / name) / "weights.safetensors") for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (*MLP, "data.eval_batch_size=150"),
        (*MLP, "data.eval_batch_size=1000", "early_stopping.patience=1"),  # one batch: a rank has none
        (*MLP, "data.eval_batch_size=1000", "early_stopping.patience=1", "loss=hinge"),
        (*MLP, "loss=bce", "task.criterion=ece_grid"),
        GPT,
    ],
)
def test_metrics_on_the_same_weights(words: tuple[str, ...], tmp_path: Path) -> None:
    """In float32: weights that do not move are the same, and every rank evaluates whole batches."""
    words = (*words, "optimizer.lr=0", "trainer.max_steps=14")
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    one, two = only_run(tmp_path / "one"), only_run(tmp_path / "two")
    a, b = result_of(one), result_of(two)
    for split in ("test", "val"):
        assert numbers(b["metrics"][split]) == pytest.approx(numbers(a["metrics"][split]), rel=1e-12, abs=1e-12)
    for key in ("intervals", "bins", "class_accuracy", "steps", "notes"):
        assert b[key] == a[key] or key == "bins", key
    if a["bins"]["test"]:
        assert b["bins"]["test"]["count"] == a["bins"]["test"]["count"]
    with np.load(one / "predictions.npz") as x, np.load(two / "predictions.npz") as y:
        assert {name: x[name].tobytes() for name in x} == {name: y[name].tobytes() for name in y}


@pytest.mark.slow
def test_started_by_torchrun(tmp_path: Path) -> None:
    words = (*TWO, *MLP, "trainer.max_steps=400", "model.dropout=0.3", "trainer.val_every_n_steps=100")
    finished(*words, f"runs={tmp_path / 'own'}")
    held = holding(2, tmp_path / "holding")  # at the validations of steps 100 and 200
    child = torchrun(*words, f"runs={tmp_path / 'torchrun'}", env={**os.environ, **held})
    assert child.stdout
    while "step " not in child.stdout.readline():
        assert child.poll() is None
    child.terminate()  # torchrun ends all ranks
    child.communicate()
    run = only_run(tmp_path / "torchrun")
    assert result_of(run)["status"] == "interrupted"
    for words_again, expected in (((*words, f"runs={tmp_path / 'torchrun'}"), 2), ((f"resume={run}",), 1)):
        again = torchrun(*words_again)
        output = again.communicate()[0]
        assert again.returncode == 0, output
        assert output.count("run folder") == expected  # a finished run is shown, once
    assert_same_run(only_run(tmp_path / "own"), run)


@pytest.mark.slow
def test_inside_a_sweep(tmp_path: Path) -> None:
    """Two jobs of two ranks each, the bits of the same commands by themselves."""
    words = (*TWO, *MLP, "model.dropout=0.3", "trainer.max_steps=30")
    said = finished("-m", *words, "loss=ce,focal", f"runs={tmp_path / 'sweep'}")
    assert "finished" in said
    for loss in ("ce", "focal"):
        finished(*words, f"loss={loss}", f"runs={tmp_path / 'alone'}")
    alone = sorted((tmp_path / "alone").glob("**/seed0"))
    assert len(alone) == 2
    for run in alone:
        assert_same_run(run, tmp_path / "sweep" / run.relative_to(tmp_path / "alone"))
        assert result_of(run)["run"]["ranks"] == 2
