"""Whole runs of networks with latents: exact when stopped, when tested again, and however a step is cut."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate
from src.config.guard import guarded
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.test_ddp import assert_trains_as_one
from tests.runs.test_exactness import assert_same_run, resume_from_every_checkpoint, two_or_all

VAE = (
    *("model=vae", "model.widths=[16]", "model.latents=3", "data.binarise=dynamic", "data.train_examples=320"),
    *("data.eval_batch_size=300", "data.batch_size=32", "trainer.max_steps=24", "trainer.log_every_n_steps=3"),
    *("trainer.val_every_n_steps=8", "task.val_samples=4", "task.test_samples=6", "optimizer.lr=0.01"),
)
ELBO = (*VAE, "loss=elbo", "data.pad=1")
IWAE = (*VAE, "loss=iwae", "loss.k=5", "model.activation=tanh")


@two_or_all
@pytest.mark.parametrize("words", [ELBO, IWAE], ids=["elbo", "iwae"])
def test_resumed_from_checkpoints(
    words: tuple[str, ...], every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUIET, *words, "checkpoint.every_n_steps=5")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every)
    whole = only_run(tmp_path / "whole")
    assert train(*words, f"runs={tmp_path / 'twice'}") == 0
    assert_same_run(whole, only_run(tmp_path / "twice"))
    tested = result_of(whole)["metrics"]["test"]
    assert tested["negative_elbo"] > tested["nll"] > 0 and tested["kl"] > 0
    with np.load(whole / "predictions.npz") as kept:
        assert kept["mu"].shape == kept["log_var"].shape == (1000, 3)
        for name in ("nll", "negative_elbo", "reconstruction", "kl"):
            assert kept[name].astype(np.float64).mean() == pytest.approx(tested[name], rel=1e-6)


def test_tested_again_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; on other data the pixels are binarised as in the run; what it cannot answer is refused."""
    assert train(*QUIET, *IWAE, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)

    def said(*words: str) -> tuple[int, list[Path]]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), *words])
        return guarded(evaluate.main), sorted((run / "evaluations").glob("*.json"))

    status, (path,) = said()
    report = json.loads(path.read_text())
    assert status == 0 and report["same_as_result"] is True
    assert report["latents"] == result_of(run)["latents"]
    path.unlink()
    status, (path,) = said("data=mnist_5k", "data.eval_batch_size=300")
    assert status == 0
    assert json.loads(path.read_text())["metrics"]["test"] == result_of(run)["metrics"]["test"]
    for words, message in (
        (("shift=noise",), "shift=noise makes images worse, and their pixels grey"),
        (("predict=.",), "predict=. is for runs that answer each input"),
        (("export=torch",), "export=torch is for runs that answer each input"),
        (("sample=",), "sample must be an integer >= 1, got ''"),
        (("data=mnist_5k", "data.binarise=null"), "is a likelihood of pixels that are 0 or 1"),
    ):
        status, found = said(*words)
        assert status == 2 and found == [path], message


def test_a_collapsed_run_says_so(tmp_path: Path) -> None:
    """beta = 1000 leaves nothing for the latents to say."""
    assert train(*QUIET, *ELBO, "loss.beta=1000", "trainer.max_steps=100", f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))
    assert any(note.startswith("posterior collapse: no latent is active") for note in result["notes"])
    assert result["metrics"]["test"]["active_units"] == 0 and result["metrics"]["test"]["kl"] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("words", [ELBO, IWAE], ids=["elbo", "iwae"])
def test_two_ranks_and_accumulated_batches_train_as_one(words: tuple[str, ...], tmp_path: Path) -> None:
    cut = ("data.batch_size=8", "trainer.accumulate_grad_batches=4")
    assert_trains_as_one(words, cut, tmp_path)


@pytest.mark.slow
def test_a_compiled_run_is_close(tmp_path: Path) -> None:
    runs = []
    for name, word in (("eager", "compile=false"), ("compiled", "compile=true")):
        assert train(*QUIET, *ELBO, word, f"runs={tmp_path / name}") == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"])
    assert runs[1] == pytest.approx(runs[0], rel=1e-3)
