"""Images that a run makes while it learns: by which weights, where they are, and what they leave alone."""

import sys
from pathlib import Path

import pytest

import evaluate
from src.config.guard import guarded
from src.folder.folder import RunFolder
from src.tasks.latent import LatentTask
from tests.callbacks.test_recorder import events
from tests.commands import only_run, result_of, train
from tests.runs.test_exactness import resume_from_every_checkpoint

WORDS = (
    *("trainer=cpu", "trainer.threads=1", "data.binarise=dynamic", "data.train_examples=200", "data.batch_size=20"),
    *("model=vae", "model.widths=[16]", "loss=elbo", "optimizer.lr=0.01", "trainer.max_steps=6"),
    *("trainer.val_every_n_steps=2", "trainer.limit_eval_batches=1", "task.val_samples=2", "task.test_samples=2"),
)


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other pictures take longer than the runs."""
    monkeypatch.setattr(LatentTask, "pictures", lambda *given: iter(()))


def test_the_same_latents_at_each_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder and in TensorBoard; with a moving average by the average, which is what is tested."""
    assert train(*WORDS, "ema.decay=0.8", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    found = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    assert sorted(found) == ["step0000002.png", "step0000004.png", "step0000006.png"]
    assert len({*found.values()}) == 3, "the weights have changed meanwhile"
    shown = events(run).Images("visuals/samples")
    assert [(e.step, e.encoded_image_string) for e in shown] == [(k, found[f"step000000{k}.png"]) for k in (2, 4, 6)]
    assert (run / "figures" / "samples.png").read_bytes() == found["step0000006.png"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), "sample=64"])
    assert guarded(evaluate.main) == 0
    assert (run / "evaluations" / "sample64.png").read_bytes() == found["step0000006.png"]
    assert train(*WORDS, "ema.decay=0.8", "overwrite=true", "trainer.max_steps=6", f"runs={tmp_path}") == 0
    assert {path.name: path.read_bytes() for path in (run / "samples").iterdir()} == found


def test_a_run_is_the_same_with_and_without_them(tmp_path: Path) -> None:
    for name, words in (("with", ()), ("without", ("figures=false",))):
        assert train(*WORDS, *words, "logger=csv", f"runs={tmp_path / name}") == 0
    one, other = (only_run(tmp_path / name) for name in ("with", "without"))
    for path in ("weights.safetensors", "metrics.csv"):
        assert (one / path).read_bytes() == (other / path).read_bytes()
    assert [result_of(run)["metrics"] for run in (one, other)] == [result_of(one)["metrics"]] * 2
    assert (one / "samples").exists() and not (other / "samples").exists() and not (other / "figures").exists()
    RunFolder(one).clear()
    assert {path.name for path in one.iterdir()} == {".lock"}, "all of it is known as what a run writes"


def test_a_resumed_run_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORDS, "logger=csv", "checkpoint.every_n_steps=3", "ema.decay=0.8")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every=False)
    whole = only_run(tmp_path / "whole")
    assert len([*whole.glob("*/s*.png")]) == 4
