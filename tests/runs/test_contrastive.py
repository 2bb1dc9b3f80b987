"""Whole runs of contrastive learning: exact when stopped, and on two ranks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUIET, only_run, result_of, train
from tests.runs.teams import ONE, TWO, finished
from tests.runs.test_exactness import killed_at_random, resume_from_every_checkpoint, two_or_all

SMALL = (
    *("data.train_examples=320", "data.eval_batch_size=300", "data.batch_size=32", "model.widths=[16]"),
    *("task.projector=[12,8]", "task.flip=false", "trainer.max_steps=24", "trainer.log_every_n_steps=3"),
    *("trainer.val_every_n_steps=8", "task.probe_examples=40"),
)
OF_PROBE = {"nll", "brier", "confidence", "ece"}


@pytest.mark.slow
@two_or_all
@pytest.mark.parametrize("loss", ["nt_xent", "vicreg"])
def test_resumed_from_checkpoints(loss: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUIET, *SMALL, f"loss={loss}", "checkpoint.every_n_steps=6")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every)
    whole = only_run(tmp_path / "whole")
    assert 0 < result_of(whole)["metrics"]["test"]["pair_accuracy"] < 1
    names = {name.split(".")[0] for name in load_file(whole / "weights.safetensors")}
    assert names == {"backbone", "projector"}


@pytest.mark.slow
def test_killed_many_times_at_random_moments(tmp_path: Path) -> None:
    words = (*QUIET, *SMALL, "loss=nt_xent", "trainer.max_steps=60", "trainer.val_every_n_steps=20")
    killed_at_random((*words, "checkpoint.every_n_steps=1"), tmp_path, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nt_xent", "barlow"])
def test_two_ranks_train_as_one(loss: str, tmp_path: Path) -> None:
    """Weights, running statistics of the projector and what is measured, in float64; a probe is fitted to a tolerance,
    and ends elsewhere within it."""
    words = (*SMALL, f"loss={loss}", "model.dropout=0", "trainer.precision=64-true")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    one, two = (only_run(tmp_path / name) for name in ("one", "two"))
    weights, others = (load_file(run / "weights.safetensors") for run in (one, two))
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=0, atol=1e-9)
    rows = [[row.split(",") for row in (run / "metrics.csv").read_text().splitlines()[1:]] for run in (one, two)]
    for row, other in zip(*rows, strict=True):
        assert row[:4] == other[:4]
        near = 1e-3 if row[3].split("/")[1] in OF_PROBE else 1e-9
        assert float(other[4]) == pytest.approx(float(row[4]), rel=near, abs=near), row


@pytest.mark.slow
def test_a_compiled_run_is_close(tmp_path: Path) -> None:
    runs = []
    for name, word in (("eager", "compile=false"), ("compiled", "compile=true")):
        assert train(*QUIET, *SMALL, "loss=supcon", "model.dropout=0", word, f"runs={tmp_path / name}") == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"])
    assert runs[1] == pytest.approx(runs[0], rel=1e-3)


@pytest.mark.slow
def test_bfloat16_learns_alike(tmp_path: Path) -> None:
    runs = []
    for precision in ("32-true", "bf16-mixed"):
        words = (*QUIET, *SMALL, "loss=nt_xent", f"trainer.precision={precision}", f"runs={tmp_path / precision}")
        assert train(*words) == 0
        runs.append(result_of(only_run(tmp_path / precision))["metrics"]["test"])
    assert runs[1]["loss"] == pytest.approx(runs[0]["loss"], rel=0.02)  # which views are nearest, rounding decides
