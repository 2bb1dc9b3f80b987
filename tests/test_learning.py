"""Real runs reach what they should; every loss, at its defaults, learns real data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.entry import resolve
from src.data.base import Data
from src.runs import build
from tests.commands import CLASSIFYING, QUIET, composed, only_run, train

pytestmark = pytest.mark.slow
TEXT = (*QUIET, "data=python_docs", "model=gpt", "model.n_layer=2", "model.n_embd=64", "optimizer=adamw_gpt")
STEPS = ("trainer.max_steps=400", "trainer.limit_eval_batches=20", "samples.count=0")


@pytest.fixture(scope="module")
def image_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("teacher")
    assert train(*QUIET, f"runs={runs}") == 0
    return only_run(runs)


@pytest.fixture(scope="module")
def text_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("teacher")
    assert train(*TEXT, *STEPS, "trainer.max_steps=800", f"runs={runs}") == 0
    return only_run(runs)


def finished(*words: str, runs: Path) -> Any:
    """The metrics of a finished run."""
    assert train(*QUIET, *words, f"runs={runs}") == 0
    return json.loads((only_run(runs) / "result.json").read_text())["metrics"]


def test_default_run(tmp_path: Path) -> None:
    assert finished(runs=tmp_path)["test"]["accuracy"] >= 0.94


def test_mnist(real_data: Path, tmp_path: Path) -> None:
    metrics = finished("data=mnist", "trainer.max_epochs=10", f"data.root={real_data}", runs=tmp_path)
    assert metrics["test"]["accuracy"] >= 0.980


def test_shakespeare(real_data: Path, tmp_path: Path) -> None:
    """nanoGPT's setting for a CPU; validation is over the whole split, in blocks without overlap."""
    metrics = finished("experiment=shakespeare_char_cpu", f"data.root={real_data}", runs=tmp_path)
    assert metrics["val"]["nll"] <= 1.93


def test_fast_cifar10(real_data: Path, tmp_path: Path) -> None:
    """A hundred small steps on 2,500 images, at the learning rate that belongs to such a batch."""
    few = ("data.train_examples=2500", "data.batch_size=50", "optimizer.lr=0.04", "scheduler.warmup_steps=20")
    same = ("data=image_folder", f"data.root={real_data / 'cifar10_jpeg'}", "data.cutout=8", "data.val_fraction=0.02")
    short = ("trainer.max_epochs=2", "trainer.limit_eval_batches=1")  # all 1,000 images that validate
    assert finished("experiment=cifar10_fast", *same, *few, *short, runs=tmp_path)["val"]["accuracy"] >= 0.3


@pytest.mark.parametrize("loss", CLASSIFYING)
def test_one_epoch_of_digits(loss: str, image_teacher: Path, tmp_path: Path) -> None:
    teacher = [f"teacher={image_teacher}"] if loss.startswith("distillation") else []
    assert train(*QUIET, f"loss={loss}", "trainer.max_epochs=1", *teacher, f"runs={tmp_path}") == 0
    accuracy = json.loads((only_run(tmp_path) / "result.json").read_text())["metrics"]["test"]["accuracy"]
    print(f"{loss}: {accuracy:.4f}")
    assert accuracy >= 0.80


def test_muon_learns_digits(tmp_path: Path) -> None:
    assert (
        finished("optimizer=muon", "scheduler=wsd", "trainer.max_epochs=1", runs=tmp_path)["test"]["accuracy"] >= 0.80
    )


def test_muon_learns_text(tmp_path: Path) -> None:
    """At the learning rate that AdamW has: updates are scaled to its size."""
    nll = {}
    for name in ("adamw_gpt", "muon"):
        words = (*TEXT, *STEPS, f"optimizer={name}", "optimizer.lr=1e-3", "optimizer.weight_decay=0.1")
        assert train(*words, f"runs={tmp_path / name}") == 0
        nll[name] = json.loads((only_run(tmp_path / name) / "result.json").read_text())["metrics"]["test"]["nll"]
    print(nll)
    assert nll["muon"] < nll["adamw_gpt"] + 0.03


def unigram_nll(data: Data) -> float:
    """Nats a test character under the training part's frequencies (+1): what a model without context can do."""
    counts = np.array(data.spec.class_counts, float) + 1
    test = data.parts["test"].numpy()  # type: ignore[attr-defined]
    return float(-np.log(counts / counts.sum())[test].mean())


@pytest.mark.parametrize("loss", ["ce", "smoothed_ce", "focal", "distillation"])
def test_text_is_learned_beyond_the_frequencies_of_characters(loss: str, text_teacher: Path, tmp_path: Path) -> None:
    teacher = [f"teacher={text_teacher}"] if loss == "distillation" else []
    assert train(*TEXT, *STEPS, f"loss={loss}", *teacher, f"runs={tmp_path}") == 0
    nll = json.loads((only_run(tmp_path) / "result.json").read_text())["metrics"]["test"]["nll"]
    data = build.build_data(resolve(composed(*TEXT).cfg))
    data.load()
    print(f"{loss}: {nll:.4f}, unigram {unigram_nll(data):.4f}")
    assert nll < unigram_nll(data)
