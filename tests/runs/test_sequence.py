"""Whole runs of sequences: exact when stopped, when tested again, compiled, and however a step is cut."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
from src.config.errors import UserError
from src.config.guard import guarded
from tests.commands import QUIET, laid_over, only_run, result_of, train
from tests.runs.test_ddp import assert_trains_as_one
from tests.runs.test_exactness import assert_same_run, killed_at_random, resume_from_every_checkpoint

LINES = (
    *("data=digit_lines", "model=line_cnn", "model.widths=[4,4,8,16]", "data.batch_size=8", "data.train_lines=96"),
    *("data.val_lines=10", "data.test_lines=20", "data.eval_batch_size=8", "optimizer.lr=0.01"),
    *("trainer.max_steps=24", "trainer.log_every_n_steps=3", "trainer.val_every_n_steps=8"),
)
CTC = (*LINES, "loss=ctc", "model.gru=6", "model.dropout=0.1")
ALIGNED = (*LINES, "loss=ce_aligned")


@pytest.mark.parametrize(
    ("words", "every"),
    [((*LINES, "loss=ctc"), False), pytest.param(CTC, True, marks=pytest.mark.slow)],
    ids=["two", "all"],
)
def test_resumed_from_checkpoints(
    words: tuple[str, ...], every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUIET, *words, "checkpoint.every_n_steps=5")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every)
    whole = only_run(tmp_path / "whole")
    if every:
        assert train(*words, f"runs={tmp_path / 'twice'}") == 0
        assert_same_run(whole, only_run(tmp_path / "twice"))
    tested = result_of(whole)["metrics"]["test"]
    with np.load(whole / "predictions.npz") as kept:
        assert kept["targets"].shape == (20, 8) and kept["decoded"].shape == (20, 48)
        assert kept["log_probs"].shape == (20, 48, 11)
        assert tested["cer"] == kept["edits"].sum() / kept["characters"].sum()
        assert tested["nll"] == pytest.approx(kept["nll"].astype(np.float64).mean(), rel=1e-6)


def test_tested_again_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; on longer lines of the same width, and made worse; what it cannot answer is refused."""
    assert train(*QUIET, *LINES, "loss=ctc", "trainer.max_steps=4", "data.digits=[3,6]", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)

    def said(*words: str) -> tuple[int, list[Path]]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), *words])
        return guarded(evaluate.main), sorted((run / "evaluations").glob("*.json"))

    status, (path,) = said()
    report = json.loads(path.read_text())
    assert status == 0 and report["same_as_result"] is True and report["edits"] == result_of(run)["edits"]
    path.unlink()
    status, (path,) = said("data.digits=[8,8]")
    assert status == 0 and json.loads(path.read_text())["metrics"]["test"]["characters"] == 8
    path.unlink()
    status, (path,) = said("shift=blur", "severity=1")
    assert status == 0 and json.loads(path.read_text())["shift"][1]["cer"] is not None
    for words in (
        *(("predict=.",), ("export=torch",), ("sample=9",), ("data=mnist_5k",), ("data.digits=[3,9]",)),
        *(("data.width=200",), ("data.train_lines=7",)),
    ):
        status, found = said(*words)
        assert (status, found) == (2, [path]), words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("model=mlp", "loss=ce"),
            "loss=ce learns from classes, data=digit_lines gives sequences with the place of each member",
        ),
        (("model=mlp", "loss=ctc"), "loss=ctc reads frames, model=mlp gives logits or features: take model=line_cnn"),
        (
            ("data=mnist_5k", "model=line_cnn", "loss=ctc"),
            "loss=ctc learns from sequences, data=mnist_5k gives classes: take loss=ce",
        ),
        (
            ("model=line_cnn", "loss=ctc", "loss.reduction=mean"),
            "loss.reduction must be one of line, length, got 'mean'",
        ),
        (
            ("model=line_cnn", "loss=ctc", "data.digits=[1,12]"),
            "at most 8 digits fit into data.width=192 (data.width=273 holds 12)",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_told_at_once(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train(*QUIET, *laid_over(("data=digit_lines", *words)), f"runs={tmp_path}")
    assert message in str(caught.value) and not any(tmp_path.iterdir())


def test_lines_that_do_not_fit_into_the_frames_are_counted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.models.line_cnn.STRIDE", 16)  # 12 frames
    with pytest.raises(UserError, match=r"^task: 1 of 31 lines need more than the network's 12 frames, up to 15"):
        train(*QUIET, *LINES, "loss=ctc", f"runs={tmp_path}")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("words", [CTC, ALIGNED], ids=["ctc", "ce_aligned"])
def test_two_ranks_and_accumulated_batches_train_as_one(words: tuple[str, ...], tmp_path: Path) -> None:
    cut = ("data.batch_size=2", "trainer.accumulate_grad_batches=4")
    assert_trains_as_one((*words, "model.dropout=0"), cut, tmp_path)


@pytest.mark.slow
def test_killed_many_times_at_random_moments(tmp_path: Path) -> None:
    words = (*QUIET, *CTC, "trainer.max_steps=60", "trainer.val_every_n_steps=20", "checkpoint.every_n_steps=1")
    killed_at_random(words, tmp_path, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ctc", "ce_aligned"])
def test_a_compiled_run_is_close(loss: str, tmp_path: Path) -> None:
    """The network of CTC is compiled and its loss is not: cut in two, a compiled step would have no gradient."""
    runs = []
    for name, word in (("eager", "compile=false"), ("compiled", "compile=true")):
        words = (*QUIET, *LINES, f"loss={loss}", word, f"runs={tmp_path / name}")
        assert train(*words) == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"])
        if word == "compile=true":
            assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert runs[1] == pytest.approx(runs[0], rel=1e-3, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision: str, tmp_path: Path) -> None:
    runs = []
    for name in ("32-true", precision):
        words = (*QUIET, *LINES, "loss=ctc", f"trainer.precision={name}", f"runs={tmp_path / name}")
        assert train(*words) == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"]["nll"])
    assert runs[1] == pytest.approx(runs[0], rel=0.05)
