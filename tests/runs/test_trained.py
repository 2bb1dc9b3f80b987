"""``load``: a run's network from its folder alone."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import src as xent
from src.config.errors import UserError
from src.data.base import Data
from src.runs import build
from src.runs.trained import Trained
from tests.commands import QUIET, only_run, result_of, train
from tests.conftest import ROOT
from tests.evaluate.runs import TEXT, WORDS

SMALL = (*QUIET, "data.train_examples=500", "data.eval_batch_size=400", "model.widths=[16]", "trainer.max_steps=40")


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a run of these words, trained once."""
    folders: dict[tuple[str, ...], Path] = {}

    def folder(*words: str) -> Path:
        if words not in folders:
            runs = tmp_path_factory.mktemp("runs")
            assert train(*SMALL, *words, f"runs={runs}") == 0
            folders[words] = only_run(runs)
        return folders[words]

    return folder


def data_of(model: Trained) -> Data:
    data = build.build_data(model.config)
    build.load(data)
    return data


def pixels_of(model: Trained) -> torch.Tensor:
    images, labels = data_of(model).splits["test"]  # type: ignore[attr-defined]
    return images[torch.arange(len(labels))]


def test_it_predicts_what_the_run_predicted(run_of: Callable[..., Path]) -> None:
    """Bit for bit, from pixels as they are stored; the test's batches had 400 images."""
    run = run_of("loss=ce")
    model, images = xent.load(run), pixels_of(xent.load(run))
    stored = np.load(run / "predictions.npz")["log_probs"]
    assert np.array_equal(model.log_probs(images, batch_size=400).numpy(), stored)
    assert torch.allclose(model.predict(images[:9]), torch.from_numpy(stored[:9]).exp(), atol=1e-6)
    assert torch.equal(model.log_probs(images.float() / 255), model.log_probs(images))
    assert torch.equal(model.log_probs(images.numpy()), model.log_probs(images))
    assert model.class_names == tuple("0123456789") and not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_calibrated_probabilities_are_those_of_the_runs_temperature(run_of: Callable[..., Path]) -> None:
    run = run_of("loss=ce")
    model = xent.load(run)
    test = result_of(run)["metrics"]["test"]
    log_p = model.log_probs(pixels_of(model), calibrated=True, batch_size=400)
    _, labels = data_of(model).splits["test"]  # type: ignore[attr-defined]
    assert model.temperature == test["temperature"]
    assert -log_p[torch.arange(len(labels)), labels].mean().item() == pytest.approx(test["nll_ts"], abs=1e-9)


def test_a_loss_with_a_link_of_its_own_and_one_without(run_of: Callable[..., Path]) -> None:
    bce = xent.load(run_of("loss=bce", "data.binary=odd_even"))
    images = pixels_of(bce)[:7]
    assert bce(images).shape == (7, 1) and bce.predict(images).shape == (7, 2)
    assert torch.allclose(bce.predict(images)[:, 1], bce(images)[:, 0].sigmoid())
    hinge = xent.load(run_of("loss=hinge"))
    assert hinge(images).shape == (7, 10) and hinge.temperature is None
    with pytest.raises(ValueError, match="the scores of loss=hinge are no probabilities"):
        hinge.predict(images)
    with pytest.raises(ValueError, match="this run has no temperature"):
        hinge.predict(images, calibrated=True)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(1, 28, 28), r"reads images \(N, 1, 28, 28\), .* got the shape \(1, 28, 28\)"),
        (torch.zeros(2, 3, 28, 28), r"got the shape \(2, 3, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), "got torch.int64"),
        (torch.full((2, 1, 28, 28), 255.0), "not yet standardised; got values from 255 to 255"),
        (torch.full((2, 1, 28, 28), torch.nan), "not yet standardised; got values from nan to nan"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, message: str, run_of: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=message):
        xent.load(run_of("loss=ce")).predict(inputs)


def test_no_images_give_no_probabilities(run_of: Callable[..., Path]) -> None:
    assert xent.load(run_of("loss=ce")).predict(torch.zeros(0, 1, 28, 28)).shape == (0, 10)


def test_text(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(WORDS * 99)
    assert train(*TEXT, f"data.path={tmp_path / 'text'}", f"runs={tmp_path}") == 0
    model = xent.load(only_run(tmp_path))
    probabilities = model.predict("to be")
    assert probabilities.shape == (5, len(model.class_names))
    assert torch.allclose(probabilities.sum(-1), torch.ones(5))
    ids = torch.tensor([[model.class_names.index(char) for char in "to be"]])
    assert torch.equal(model.predict(ids)[0], probabilities)
    for bad in ("", "e" * 9, "\ue000", torch.zeros(1, 3), torch.tensor([[len(model.class_names)]])):
        with pytest.raises(ValueError):  # noqa: PT011
            model.predict(bad)


def test_a_folder_that_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run's folder"):
        xent.load(tmp_path)


@pytest.mark.slow
def test_it_is_there_without_anything_else_imported() -> None:
    """Lightning brings torchvision, which a process without CUDA may import only after xent has made way for it."""
    subprocess.run([sys.executable, "-c", "import src; src.load"], cwd=ROOT, check=True)
