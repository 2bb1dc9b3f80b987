"""What is measured of features: from a run's folder and the data alone, by scikit-learn; and from the folder again."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import evaluate
from src.config.guard import guarded
from src.metrics.probe import L2
from src.runs import build
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.test_run import rebuilt

WORDS = (
    *("data.train_examples=600", "data.eval_batch_size=200", "data.batch_size=32", "model=convnet", "loss=nt_xent"),
    *("model.widths=[8,16]", "task.projector=[12,8]", "task.probe_examples=400", "trainer.max_steps=6"),
    "trainer.val_every_n_steps=6",
)
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert train(*QUIET, *WORDS, f"runs={runs}") == 0
    return only_run(runs)


@pytest.fixture(scope="module")
def splits(run: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Images and classes: those a probe learns from, two batches of the sample that the data draw, and the others."""
    data, _, _ = rebuilt(run)
    loaders = {"train": data.eval_loader("train", 2), "val": data.eval_loader("val"), "test": data.eval_loader("test")}
    found = {}
    for split, loader in loaders.items():
        images, targets, _ = zip(*loader, strict=True)
        found[split] = torch.cat(images), torch.cat(targets)
    assert len(found["train"][0]) == 400
    return found


def features(run: Path, splits: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> dict[str, Arrays]:
    """Of the trained backbone, of the one with which the run started, and of raw pixels."""
    data, loss, trained = rebuilt(run)
    start = build.build_model(yaml.safe_load((run / "config.yaml").read_text()), data.spec, loss).eval()
    found: dict[str, Arrays] = {}
    for name, network in (
        ("trained", trained.backbone),
        ("random weights", start.backbone),
        ("raw pixels", nn.Flatten()),
    ):
        with torch.no_grad():
            found[name] = {split: (network(x).numpy(), y.numpy()) for split, (x, y) in splits.items()}
    return found


def probed(of: Arrays, l2: float) -> tuple[float, float]:
    """Accuracy and nll of scikit-learn's logistic regression with this penalty."""
    (x, y), (asked, truth) = of["train"], of["test"]
    x = x.astype(np.float64)
    scale = np.where(x.std(0) > 1e-9, x.std(0), np.inf)
    fitted = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-6, max_iter=2000).fit((x - x.mean(0)) / scale, y)
    log_probs = fitted.predict_log_proba((asked - x.mean(0)) / scale)
    return float((log_probs.argmax(1) == truth).mean()), float(-log_probs[np.arange(len(truth)), truth].mean())


def voted(of: Arrays) -> float:
    (x, y), (asked, truth) = of["train"], of["test"]
    near = KNeighborsClassifier(20, metric="cosine", weights=lambda away: np.exp(-away / 0.07)).fit(x, y)
    return float((near.predict(asked) == truth).mean())


@pytest.mark.slow
def test_probe_neighbours_and_floors_are_those_of_scikit_learn(
    run: Path, splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> None:
    result, of = result_of(run), features(run, splits)
    metrics, floors = result["metrics"]["test"], result["floors"]
    for name, known in {
        "trained": metrics,
        **{name: floors[name] for name in ("raw pixels", "random weights")},
    }.items():
        assert known["knn"] == pytest.approx(voted(of[name]), abs=2e-3), "float32 may break a tie or two otherwise"
        at_penalties = [probed(of[name], l2) for l2 in L2[1:4]]
        assert any(
            known["probe"] == pytest.approx(a, abs=2e-3) and known["nll"] == pytest.approx(n, abs=2e-3)
            for a, n in at_penalties
        )
    accuracy, nll = probed(of["trained"], result["adjusted"]["probe"]["l2"])
    assert metrics["probe"] == pytest.approx(accuracy, abs=1e-3) and metrics["nll"] == pytest.approx(nll, abs=1e-4)
    assert metrics["probe"] != floors["random weights"]["probe"] and floors["chance"]["probe"] == 0.1
    assert 0.1 < metrics["probe10"] < metrics["probe"] < floors["raw pixels"]["probe"], "after six steps"


def test_columns_are_what_the_metrics_are_the_means_of(
    run: Path, splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> None:
    metrics = result_of(run)["metrics"]["test"]
    with np.load(run / "predictions.npz") as kept:
        for name in ("probe", "probe10", "knn", "nll", "brier", "alignment"):
            assert kept[name].astype(np.float64).mean() == pytest.approx(metrics[name], rel=1e-6)
        assert all({*np.unique(kept[name])} == {0, 1} for name in ("probe", "probe10", "knn"))
        np.testing.assert_allclose(kept["features"], features(run, splits)["trained"]["test"][0], atol=1e-5)


@pytest.mark.slow
def test_it_is_tested_again_from_its_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bit for bit, floors and all; other data are read by the probes of the run, and no neighbours are known there."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)

    def said(name: str, *words: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(folder), *words])
        status, path = guarded(evaluate.main), folder / f"evaluations/{name}.json"
        return status, json.loads(path.read_text()) if path.is_file() else None

    status, report = said("test")
    assert status == 0 and report["same_as_result"] is True and report["floors"] == result_of(run)["floors"]
    status, report = said("eval_batch_size500", "data.eval_batch_size=500")
    metrics, known = report["metrics"]["test"], result_of(run)["metrics"]["test"]
    assert (
        status == 0
        and metrics["probe"] == known["probe"]
        and "knn" not in metrics
        and "raw pixels" not in report["floors"]
    )
    status, report = said("shift_noise-severity2", "shift=noise", "severity=2")
    assert status == 0 and report["shift"][0] == {"shift": "clean", "severity": 0} | {
        name: known[name] for name in ("probe", "probe10", "knn", "nll", "ece")
    }
    for word in ("predict=.", "export=torch"):
        status, _ = said("predict", word)
        assert status == 2 and "is for runs that learn classes, and loss=nt_xent does not" in capsys.readouterr().err
    result = result_of(folder)
    result["adjusted"]["probe"]["weight"] = [[0.0]]
    del result["run"]["sha256"]  # which says that nobody changed it
    (folder / "result.json").write_text(json.dumps(result))
    status, _ = said("eval_batch_size400", "data.eval_batch_size=400")
    assert status == 2 and "what the run was adjusted to is damaged: no linear probe" in capsys.readouterr().err


def test_validation_finds_neighbours_in_its_own_split(
    run: Path, splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """The last validation was of the last weights: each image among all others."""
    x, y = features(run, splits)["trained"]["val"]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    near = np.argsort(-cosine, axis=1)[:, :20]
    votes = np.zeros((len(y), 10))
    for place in range(20):
        votes[np.arange(len(y)), y[near[:, place]]] += np.exp(cosine[np.arange(len(y)), near[:, place]] / 0.07)
    assert result_of(run)["metrics"]["val"]["knn"] == pytest.approx((votes.argmax(1) == y).mean(), abs=5e-3)
