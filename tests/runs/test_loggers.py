"""What a run's loggers are given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning.loggers

from src.runs.fit import Fit
from src.runs.folder import RunFolder


def test_a_resumed_run_is_the_same_one_at_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is that of the folder; only a resume joins what is there."""
    monkeypatch.setattr(pytorch_lightning.loggers, "WandbLogger", lambda **keys: keys)

    def keys(seed: int, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        folder = RunFolder(tmp_path / "mnist_5k-mlp" / "ce-1234" / f"seed{seed}")
        fit: Any = SimpleNamespace(cfg={"logger": "wandb"}, folder=folder, checkpoint=checkpoint)
        (given,) = Fit._loggers(fit)
        return given  # type: ignore[return-value]

    first, resumed, other = keys(0, None), keys(0, {"global_step": 3}), keys(1, None)
    assert (first["resume"], resumed["resume"]) == (None, "allow")
    assert first["id"] == resumed["id"] != other["id"]
    assert (first["group"], first["name"]) == ("mnist_5k-mlp", "ce-1234/seed0")
