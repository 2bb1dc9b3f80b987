"""evaluate.py on runs that predict numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import QUIET, only_run, train
from tests.evaluate.runs import loaded

ANGLE = (
    *("data=digit_angle", "data.train_examples=300", "data.eval_batch_size=300", "model.widths=[8]"),
    *("trainer.max_steps=8", "data.target_noise=0.3"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind of link, by its loss."""
    found = {}
    for loss in ("mse", "quantile", "beta_nll"):
        place = tmp_path_factory.mktemp(loss)
        assert train(*QUIET, *ANGLE, f"loss={loss}", f"runs={place}") == 0
        found[loss] = only_run(place)
    return found


@pytest.mark.parametrize("loss", ["mse", "quantile", "beta_nll"])
def test_the_same_bits_again(loss: str, runs: dict[str, Path], command: Callable[..., int]) -> None:
    run = runs[loss]
    result = loaded(run / "result.json")
    assert command(run) == 0
    report = loaded(run / "evaluations/test.json")
    assert report["metrics"]["test"] == result["metrics"]["test"] and report["same_as_result"] is True
    assert (report["ranks"], report["floors"]) == (result["ranks"], result["floors"])
    assert report["adjusted"]["value"] == result["adjusted"]


def test_errors_are_measured_anew_and_not_copied(
    runs: dict[str, Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    run = runs["mse"]
    kept = (run / "result.json").read_text()
    result = json.loads(kept)
    result["adjusted"] = [0.0]
    del result["run"]["sha256"]  # which says that nobody changed it
    (run / "result.json").write_text(json.dumps(result))
    try:
        assert command(run) == 0
        assert len(loaded(run / "evaluations/test.json")["adjusted"]["value"]) == 400
        assert "the errors of 400 validation examples, fitted anew" in capfd.readouterr().out
        assert command(run, "data.eval_batch_size=500") == 0  # other batches: adjusted as the run says it was
        metrics = loaded(run / "evaluations/eval_batch_size500.json")["metrics"]["test"]
        assert metrics["crps"] == pytest.approx(metrics["mae"]) and metrics["width"] == 0
    finally:
        (run / "result.json").write_text(kept)


def test_worse_images(runs: dict[str, Path], command: Callable[..., int]) -> None:
    assert command(runs["quantile"], "shift=[noise,blur]", "severity=5") == 0
    (table,) = (runs["quantile"] / "evaluations").glob("*.csv")
    header, clean, noise, _ = table.read_text().splitlines()
    assert header == "shift,severity,crps,mae,rmse"
    assert clean.startswith("clean,0,") and noise.startswith("noise,5,")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("shift=all", "shift=rotate may turn what this run predicts: take shift=[noise,blur,contrast]"),
        ("predict=.", "predict=. is for runs that learn classes, and loss=mse does not"),
        ("export=torch", "export=torch is for runs that learn classes, and loss=mse does not"),
        ("sample=5", "sample= is for runs that make text or images, and a run with loss=mse makes neither"),
        ("data=mnist_5k", "data=mnist_5k gives classes, this run predicts numbers"),
        ("data=diabetes", "data=diabetes gives table, this run reads image"),
        ("data.target_noise=0.1", "data.target_noise shapes training alone"),
    ],
)
def test_what_cannot_be_done_is_told(
    word: str, message: str, runs: dict[str, Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(runs["mse"], word) == 2
    assert message in capfd.readouterr().err
