"""From a command line to a configuration."""

import sys
from typing import Any

import pytest
from hydra._internal.hydra import Hydra

from src.commands import train
from src.config.entry import Command


@pytest.mark.parametrize("words", [["loss=focal", "loss.gamma=3"], ["ablation=mnist_losses", "hydra.mode=RUN"]])
def test_a_single_run_is_composed_once(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    composed, ran, compose, mode = [], [], Hydra.compose_config, Hydra.get_mode

    def counted(self: Hydra, *args: Any, **keys: Any) -> Any:
        composed.append(compose(self, *args, **keys))
        return composed[-1]

    def run(asked: Command) -> int:
        ran.append(asked)
        return 7

    monkeypatch.setattr(Hydra, "compose_config", counted)
    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert train.main() == 7
    assert len(composed) == 1 and Hydra.get_mode is mode
    assert ran[0].typed == [word for word in words if not word.startswith("hydra.")]
    assert ran[0].choices["loss"] == ("focal" if "loss=focal" in words else "ce")
