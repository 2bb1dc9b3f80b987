"""Real runs reach what they should; every loss, at its defaults, learns real data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.entry import resolve
from src.data.base import Data
from src.runs import build
from tests.commands import QUIET, composed, only_run, train
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
LOSSES = sorted(path.stem for path in (ROOT / "conf/loss").glob("*.yaml"))
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


@pytest.mark.parametrize("loss", LOSSES)
def test_one_epoch_of_digits(loss: str, image_teacher: Path, tmp_path: Path) -> None:
    teacher = [f"teacher={image_teacher}"] if loss.startswith("distillation") else []
    assert train(*QUIET, f"loss={loss}", "trainer.max_epochs=1", *teacher, f"runs={tmp_path}") == 0
    accuracy = json.loads((only_run(tmp_path) / "result.json").read_text())["metrics"]["test"]["accuracy"]
    print(f"{loss}: {accuracy:.4f}")
    assert accuracy >= 0.80


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
