"""What a run's loggers are given."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning.loggers

from src.config.errors import UserError
from src.folder.folder import RunFolder
from src.metrics.families import CLASSIFICATION
from src.runs.fit import Fit
from src.runs.loggers import loggers
from tests.commands import only_run, train


def test_a_resumed_run_is_the_same_one_at_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is that of the folder; only a resume joins what is there."""
    monkeypatch.setattr(pytorch_lightning.loggers, "WandbLogger", lambda **keys: keys)

    def keys(seed: int, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        folder = RunFolder(tmp_path / "mnist_5k-mlp" / "ce-1234" / f"seed{seed}")
        cfg = {"logger": ["wandb", "csv", "wandb"]}
        data, task = SimpleNamespace(step_size=1), SimpleNamespace(family=CLASSIFICATION)
        fit: Any = SimpleNamespace(cfg=cfg, folder=folder, checkpoint=checkpoint, data=data, task=task)
        (given,) = Fit._loggers(fit)
        return given  # type: ignore[return-value]

    first, resumed, other = keys(0, None), keys(0, {"global_step": 3}), keys(1, None)
    assert (first["resume"], resumed["resume"]) == (None, "allow")
    assert first["id"] == resumed["id"] != other["id"]
    assert (first["group"], first["name"]) == ("mnist_5k-mlp", "ce-1234/seed0")


class AtMlflow:
    """Lightning's logger, which begins a run unless it is given one: all that were begun."""

    begun: list[dict[str, Any]] = []

    def __init__(self, run_id: str | None = None, **keys: Any) -> None:
        self.run_id = run_id or f"run{len(self.begun)}"
        if run_id is None:
            self.begun.append({"id": self.run_id, **keys})


class Client:
    """MLflow's, of the runs that were begun."""

    def __init__(self, place: str) -> None:
        pass

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id=name)

    def search_runs(self, experiments: list[str], wanted: str) -> list[SimpleNamespace]:
        found = [
            run
            for run in AtMlflow.begun
            if run["experiment_name"] in experiments and str(run["tags"]["xent.folder"]) in wanted
        ]
        return [SimpleNamespace(info=SimpleNamespace(run_id=run["id"])) for run in reversed(found)]


def test_a_resumed_run_is_the_same_one_at_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_lightning.loggers, "MLFlowLogger", AtMlflow)
    monkeypatch.setattr(AtMlflow, "begun", [])
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client))  # type: ignore[arg-type]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cfg = {"logger": "mlflow", "runs": str(tmp_path)}
    folders = [RunFolder(tmp_path / "mnist_5k-mlp" / "ce-1234" / f"seed{seed}") for seed in (0, 1)]
    first, other = (loggers(cfg, folder, CLASSIFICATION, None, 1)[0] for folder in folders)
    resumed = loggers(cfg, folders[0], CLASSIFICATION, 30, 1)[0]
    assert resumed.run_id == first.run_id != other.run_id  # type: ignore[attr-defined]
    assert AtMlflow.begun[0]["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert (AtMlflow.begun[0]["experiment_name"], AtMlflow.begun[0]["run_name"]) == ("mnist_5k-mlp", "ce-1234/seed0")


@pytest.mark.parametrize(
    "logger", ["[tensorboard,csv]", "[]", *(pytest.param(one, marks=pytest.mark.slow) for one in ("null", "csv"))]
)
def test_several_loggers_or_none(logger: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("trainer=smoke", "model.widths=[8]", "figures=false", f"logger={logger}", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert bool(list(run.glob("events.out.tfevents.*"))) == ("tensorboard" in logger)
    assert (run / "metrics.csv").exists()
    assert ("tensorboard --logdir" in capfd.readouterr().out) == ("tensorboard" in logger)


@pytest.mark.parametrize(
    ("logger", "expected"),
    [
        ("tensorbord", "logger must be one of tensorboard, csv, wandb, mlflow or a list or null, got 'tensorbord'"),
        ("[tensorboard,mlfow]", "logger must be one of tensorboard, csv, wandb, mlflow or a list or null, got"),
        ("[tensorboard,wandb]", "logger=wandb needs the package not_here: pip install not_here"),
        ("mlflow", "logger=mlflow needs the package not_here: pip install not_here"),
    ],
)
def test_a_logger_that_is_not_there(
    logger: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before anything is written."""
    monkeypatch.setattr("src.config.loggers.EXTRAS", {"wandb": ("not_here",), "mlflow": ("not_here",)})
    with pytest.raises(UserError, match=re.escape(expected)):
        train(f"logger={logger}", f"runs={tmp_path}")
    assert list(tmp_path.iterdir()) == []
