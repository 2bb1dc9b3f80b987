"""The random states of a run: of its own device, and of no other."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.callbacks.checkpoint import RandomState
from src.config.entry import resolve
from src.data.base import Spec
from src.runs import build
from tests.commands import composed

SPEC = Spec("image", (1, 4, 4), ("a", "b"), (5, 5), (0.5,), (0.5,))


def on(device: str) -> RandomState:
    callback = RandomState()
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    callback.setup(trainer, None, "fit")
    return callback


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A machine with eight GPUs that notes whose states are asked for or set, in ``touched``."""
    touched: list[torch.device] = []

    def get(device: Any = "cuda") -> torch.Tensor:
        touched.append(torch.device("cuda", device) if isinstance(device, int) else torch.device(device))
        return torch.tensor([len(touched)], dtype=torch.uint8)

    def every(*args: Any) -> Any:
        raise AssertionError("every GPU was asked")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", get)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device="cuda": get(device))
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", every)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", every)
    return touched


@pytest.mark.parametrize(("device", "asked"), [("cuda:3", [torch.device("cuda:3")]), ("cpu", [])])
def test_a_checkpoint_has_the_state_of_its_own_device(
    device: str, asked: list[torch.device], eight_gpus: list[torch.device]
) -> None:
    (state,) = on(device).state_dict()["ranks"]
    assert eight_gpus == asked
    assert len(state["cuda"]) == len(asked)


def test_it_loads_where_there_are_fewer_gpus(eight_gpus: list[torch.device]) -> None:
    """A run that was on the fourth of eight GPUs goes on where there is one, and one without a GPU's state anywhere."""
    states = on("cuda:3").state_dict()
    eight_gpus.clear()
    here = on("cuda:0")
    here.load_state_dict(states)
    here.on_train_start(None, None)  # type: ignore[arg-type]
    assert eight_gpus == [torch.device("cuda:0")]
    cpu = on("cpu")
    cpu.load_state_dict(states)
    cpu.on_train_start(None, None)  # type: ignore[arg-type]
    assert eight_gpus == [torch.device("cuda:0")]


def test_weights_are_drawn_without_a_gpu(eight_gpus: list[torch.device]) -> None:
    cfg = resolve(composed("model.widths=[8]").cfg) | {"choices": {"loss": "ce"}}
    build.build_model(cfg, SPEC, build.build_loss(cfg, SPEC))
    assert eight_gpus == []
