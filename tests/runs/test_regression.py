"""Runs that predict numbers: the same bits again, resumed, on two ranks, and from the folder alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.errors import UserError
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.teams import ONE, TWO, finished
from tests.runs.test_ddp import assert_close_runs
from tests.runs.test_exactness import assert_same_run, resume_from_every_checkpoint, two_or_all

ANGLE = (
    *("data=digit_angle", "data.train_examples=400", "data.batch_size=20", "data.eval_batch_size=150"),
    *("data.target_noise=0.2", "model.widths=[16]", "trainer.max_epochs=2", "trainer.log_every_n_steps=3"),
    "trainer.val_every_n_steps=9",
)
PATIENTS = ("data=diabetes", "model.widths=[16]", "trainer.max_epochs=3", "data.eval_batch_size=30")
COLUMNS = {"targets", "point", "error", "low", "high", "rank", "mae", "squared_error", "crps", "coverage", "width"}


@pytest.mark.parametrize(("loss", "own"), [("mae", set()), ("quantile", set()), ("gaussian_nll", {"nll"})])
def test_a_run_keeps_what_is_judged(loss: str, own: set[str], tmp_path: Path) -> None:
    """In the folder: a column a metric, whose mean is the metric; the family; the floor; the errors of a point loss."""
    assert train(*QUIET, *PATIENTS, f"loss={loss}", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    result = result_of(run)
    test = result["metrics"]["test"]
    with np.load(run / "predictions.npz") as stored:
        columns = {name: stored[name] for name in stored}
    assert columns.keys() == COLUMNS | own
    for name in ("mae", "squared_error", "crps", "coverage", "width", *own):
        assert columns[name].mean(dtype=np.float64) == pytest.approx(test[name], rel=1e-6), name
    assert test["rmse"] == pytest.approx(test["squared_error"] ** 0.5)
    assert result["family"]["name"] == "regression" and sum(result["ranks"]["count"]) == len(columns["targets"]) == 89
    assert result["floors"]["training mean"]["mae"] > test["mae"]
    assert (result["adjusted"] is not None) == (loss == "mae")
    if loss == "mae":
        assert len(result["adjusted"]) == 71 and result["adjusted"] == sorted(result["adjusted"])


RESUMED = [
    (*PATIENTS, "loss=quantile", "trainer.val_every_n_steps=7"),
    pytest.param((*ANGLE, "loss=mse"), marks=pytest.mark.slow),
]


@two_or_all
@pytest.mark.parametrize("words", RESUMED, ids=["patients", "angle"])
def test_resume_from_checkpoints(
    words: tuple[str, ...], every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume_from_every_checkpoint((*QUIET, *words, "checkpoint.every_n_steps=6"), tmp_path, monkeypatch, every)


@pytest.mark.slow
@pytest.mark.parametrize("extras", [(), ("ema.decay=0.9", "trainer.accumulate_grad_batches=2", "checkpoint.best=true")])
def test_the_same_command_twice_gives_the_same_bits(extras: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert train(*QUIET, *ANGLE, "loss=beta_nll", *extras, f"runs={tmp_path / name}") == 0
    assert_same_run(only_run(tmp_path / "one"), only_run(tmp_path / "two"))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mae", "gaussian_nll"])
def test_two_ranks_train_as_one(loss: str, tmp_path: Path) -> None:
    """Also the crps of validation, which needs the errors of both."""
    words = (*ANGLE, "model.dropout=0", "trainer.precision=64-true", f"loss={loss}")
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    assert_close_runs(only_run(tmp_path / "one"), only_run(tmp_path / "two"), 1e-10)


@pytest.mark.slow
def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    words = (*ANGLE, "model.dropout=0", "trainer.precision=64-true", "loss=huber")
    cut = ("data.batch_size=5", "trainer.accumulate_grad_batches=4")
    for name, own in (("whole", ()), ("cut", cut)):
        assert (
            train(
                *QUIET,
                *[word for word in words if not own or "batch_size=20" not in word],
                *own,
                f"runs={tmp_path / name}",
            )
            == 0
        )
    one, two = (result_of(only_run(tmp_path / name))["metrics"]["test"] for name in ("whole", "cut"))
    assert two == pytest.approx(one, rel=1e-9)


@pytest.mark.slow
def test_compiled_gives_the_same_numbers(tmp_path: Path) -> None:
    for name, how in (("eager", "false"), ("compiled", "true")):
        assert (
            train(*QUIET, *ANGLE, "model.dropout=0", "loss=quantile", f"compile={how}", f"runs={tmp_path / name}") == 0
        )
    one, two = (result_of(only_run(tmp_path / name))["metrics"]["test"] for name in ("eager", "compiled"))
    assert two == pytest.approx(one, rel=1e-4)


def test_a_lower_error_is_learnt_than_the_mean_has(tmp_path: Path) -> None:
    """On all of diabetes: linear models have an r2 of about 0.5 (Efron et al. 2004)."""
    assert train(*QUIET, "data=diabetes", "loss=mse", "trainer.max_epochs=30", f"runs={tmp_path}") == 0
    test = result_of(only_run(tmp_path))["metrics"]["test"]
    assert test["r2"] > 0.4 and 0.8 < test["coverage"] < 1


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("data=digit_angle",), "loss=ce learns from classes, data=digit_angle gives numbers: take loss=mse"),
    (("loss=mae",), "loss=mae learns from numbers, data=mnist_5k gives classes: take loss="),
    (
        ("data=diabetes", "loss=mse", "model=resnet"),
        "model=resnet reads image, data=diabetes gives table: take model=mlp",
    ),
    (("data=diabetes", "loss=mse", "data.fold=5"), "data.fold must be an integer >= 0 and <= 4, got 5"),
    (("data=digit_angle", "loss=mse", "data.target_noise=1"), "data.target_noise must be a number >= 0 and < 1, got 1"),
    (("data=digit_angle", "loss=quantile", "loss.taus=[0.9,0.1]"), "loss.taus must be a list of numbers"),
    (("data=digit_angle", "loss=huber", "loss.delta=0"), "loss.delta must be a number > 0, got 0"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_told(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        train(*QUIET, *words, f"runs={tmp_path / 'runs'}")
    assert message in str(told.value) and not (tmp_path / "runs").exists()


def test_a_limited_test_has_its_share(tmp_path: Path) -> None:
    words: Any = (*QUIET, *ANGLE, "loss=mse", "trainer.limit_eval_batches=2", "trainer.max_steps=4")
    assert train(*words, f"runs={tmp_path}") == 0
    with np.load(only_run(tmp_path) / "predictions.npz") as stored:
        assert len(stored["targets"]) == 300
