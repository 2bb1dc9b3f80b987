"""Whole runs of two towers: exact when stopped, on two ranks, when tested again, and honest about unseen captions."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import evaluate
from src.config.errors import UserError
from src.config.guard import guarded
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.teams import ONE, TWO, finished
from tests.runs.test_ddp import assert_close_runs
from tests.runs.test_exactness import assert_same_run, killed_at_random, resume_from_every_checkpoint, two_or_all

TOWERS = (
    *("data=digit_captions", "data.batch_size=16", "data.val_strips=60", "data.test_strips=150"),
    *("data.eval_batch_size=40", "model=two_towers", "model.widths=[4,8]", "model.n_layer=1", "model.n_head=2"),
    *("model.n_embd=8", "model.embedding=8", "trainer.max_steps=12", "trainer.log_every_n_steps=3"),
    "trainer.val_every_n_steps=6",
)
LOSSES = {
    "clip": ("loss=clip",),
    "siglip": ("loss=siglip", "loss.duplicates=masked"),
    "soft": ("loss=clip", "loss.duplicates=soft"),
}
each = pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)


@two_or_all
@pytest.mark.parametrize("loss", ["clip", pytest.param("siglip", marks=pytest.mark.slow)])
def test_resumed_from_checkpoints(loss: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUIET, *TOWERS, *LOSSES[loss], "checkpoint.every_n_steps=4")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every)
    whole = only_run(tmp_path / "whole")
    assert train(*words, f"runs={tmp_path / 'twice'}") == 0
    assert_same_run(whole, only_run(tmp_path / "twice"))


@pytest.mark.slow
def test_killed_many_times_at_random_moments(tmp_path: Path) -> None:
    """The learnt scale and bias among the rest."""
    words = (*QUIET, *TOWERS, *LOSSES["siglip"], "trainer.max_steps=60", "trainer.val_every_n_steps=20")
    killed_at_random((*words, "checkpoint.every_n_steps=1"), tmp_path, kills=4)


def test_a_run_keeps_what_is_judged(tmp_path: Path) -> None:
    assert train(*QUIET, *TOWERS, "loss=siglip", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    result, weights = result_of(run), load_file(run / "weights.safetensors")
    test = result["metrics"]["test"]
    with np.load(run / "predictions.npz") as stored:
        columns = {name: stored[name].astype(np.float64) for name in stored}
    for name in ("recall_at_1", "recall_at_5", "unseen", "nll", "confidence", "word_accuracy"):
        assert columns[name].mean() == pytest.approx(test[name], rel=1e-6), name
    hits = columns["recall_at_1"]
    for part in ("seen", "unseen"):
        of_part = hits[columns[part] == 1]
        assert 0 < len(of_part) < 150 and test[f"{part}_recall_at_1"] == pytest.approx(of_part.mean(), abs=1e-12)
    assert test["scale"] == pytest.approx(math.exp(weights["scalars.log_scale"]))
    assert test["bias"] == pytest.approx(weights["scalars.bias"].item())
    assert 0 < abs(test["bias"] + math.log(15)) < 0.1  # it starts there, in batches of 16
    assert result["family"]["name"] == "retrieval" and result["floors"]["chance"]["recall_at_1"] == 1 / 1000
    assert "captions" not in "".join(weights) and len(result["places"]) == 3


def test_a_fixed_scale_does_not_move(tmp_path: Path) -> None:
    assert train(*QUIET, *TOWERS, "loss=clip", "loss.fixed_scale=20", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert load_file(run / "weights.safetensors")["scalars.log_scale"].item() == np.float32(math.log(20))


@pytest.mark.slow
@each
def test_two_ranks_train_as_one(words: tuple[str, ...], tmp_path: Path) -> None:
    """Weights and the learnt scale: each rank compares its pairs with those of both."""
    words = (*TOWERS, *words, "trainer.precision=64-true")
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 0
    finished(*TWO, *words, f"runs={tmp_path / 'two'}")
    one, two = (only_run(tmp_path / name) for name in ("one", "two"))
    assert_close_runs(one, two, 1e-9)


def test_tested_again_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, also of averaged weights, whose captions are no average; what it cannot answer is refused."""
    assert train(*QUIET, *TOWERS, "loss=clip", "ema.decay=0.9", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)

    def said(*words: str) -> tuple[int, list[Path]]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), *words])
        return guarded(evaluate.main), sorted((run / "evaluations").glob("*.json"))

    status, (path,) = said()
    assert status == 0 and json.loads(path.read_text())["same_as_result"] is True
    path.unlink()
    status, (path,) = said("data.test_strips=50")
    report = json.loads(path.read_text())
    assert status == 0 and report["examples"] == 50
    for words in (("predict=.",), ("export=torch",), ("sample=9",), ("data=mnist_5k",), ("data.train_strips=5",)):
        status, found = said(*words)
        assert status == 2 and found == [path], words


@pytest.mark.slow
def test_a_compiled_run_is_close(tmp_path: Path) -> None:
    runs = []
    for name in ("false", "true"):
        assert train(*QUIET, *TOWERS, "loss=siglip", f"compile={name}", f"runs={tmp_path / name}") == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"])
    assert runs[1] == pytest.approx(runs[0], rel=1e-3, abs=0.02)


def test_names_of_classes_are_captions_too(tmp_path: Path) -> None:
    """Zero-shot classification, of any images: here every caption is one of ten, and none is unseen."""
    words = ("data=mnist_5k", "data.train_examples=200", "data.batch_size=20", "loss.duplicates=soft")
    small = [word for word in TOWERS if not word.startswith("data.") and word != "data=digit_captions"]
    assert train(*QUIET, *small, "loss=clip", *words, f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))
    assert result["metrics"]["test"]["unseen_recall_at_1"] is None
    assert any("there is no unseen_recall_at_1" in note for note in result["notes"])


MISTAKES = [
    (("loss=clip",), "loss=clip reads towers, model=mlp gives logits or features: take model=two_towers, or loss=ce"),
    (("data=digit_captions", "model=two_towers"), "loss=ce reads logits, model=two_towers gives towers: take"),
    ((*TOWERS, "loss=clip", "trainer.accumulate_grad_batches=2"), "is a statistic of the whole batch"),
    ((*TOWERS, "loss=clip", "loss.duplicates=hard"), "loss.duplicates must be one of negatives, soft, masked"),
    ((*TOWERS, "loss=siglip", "loss.fixed_scale=101"), "loss.fixed_scale must be a number > 0 and <= 100, got 101"),
    ((*TOWERS, "loss=clip", "model.n_head=3"), "model.n_embd must be a multiple of n_head=3, got 8"),
    ((*TOWERS, "loss=clip", "model.widths=[0]"), "model.widths must be an integer >= 1, got 0"),
    ((*TOWERS, "loss=clip", "model.embedding=0"), "model.embedding must be an integer >= 1, got 0"),
    ((*TOWERS, "loss=clip", "data.val_fraction=1e-4"), "a digit is missing in the val split (data.val_fraction)"),
    (
        ("data=python_docs", "model=two_towers", "loss=clip"),
        "model=two_towers reads image, data=python_docs gives text",
    ),
    (("data=digit_angle", "model=two_towers", "loss=clip"), "loss=clip learns from classes, data=digit_angle gives"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_told(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        train(*QUIET, *words, f"runs={tmp_path / 'runs'}")
    assert message in str(told.value) and not (tmp_path / "runs").exists()
