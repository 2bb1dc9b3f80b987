"""What is made of latents: which ones they are, and that nothing else changes."""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.data.base import Spec
from src.losses.elbo import NegativeELBOLoss
from src.models.base import LatentNetwork
from src.tasks.generating import GeneratingTask
from src.tasks.latent import LatentTask

MEAN, STD = 0.5, 0.125


class Two(LatentNetwork):
    """Two pixels that are the two latents; dropout and batch normalisation would show a wrong mode."""

    inputs, latents = "image", 2

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(2, eps=0.0))

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        return self.layers(z)[..., None, None, :]


def task_of(model: Any = None) -> GeneratingTask:
    loss = NegativeELBOLoss(reconstruction="gaussian", beta=1.0, free_bits=0.0)
    spec = Spec("image", (1, 1, 2), ("a",), (5,), (MEAN,), (STD,))
    return LatentTask(model=model or Two(), loss=loss, spec=spec, val_samples=1, test_samples=1)


def latents(seed: int, batch: int) -> Tensor:
    """As a reader of the documentation would draw them: by the SHA-256 of the name, the seed and the batch."""
    digest = hashlib.sha256(f"latents/samples/{seed}/{batch}".encode()).digest()
    g = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(16, 2, generator=g)


def test_images_are_made_of_latents_of_seed_and_place() -> None:
    z = torch.cat([latents(3, batch) for batch in range(2)])
    made = task_of().generate(20, 3)
    assert (made.shape, made.dtype) == ((20, 1, 1, 2), torch.float32)
    torch.testing.assert_close(made.flatten(1), (MEAN + STD * z[:20]).clamp(0, 1))
    assert not torch.equal(task_of().generate(20, 4), made)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_more_images_begin_with_the_same_ones(count: int) -> None:
    torch.manual_seed(0)
    model = Two()
    model.layers.append(nn.Linear(2, 2))
    assert torch.equal(task_of(model).generate(count, 0), task_of(model).generate(64, 0)[:count])


def test_temperature_is_the_deviation_of_the_latents() -> None:
    task = task_of()
    one, half = (task.generate(64, 0, temperature=t) for t in (1.0, 0.5))
    inside = (one > 0) & (one < 1)
    torch.testing.assert_close((half - MEAN)[inside], (one - MEAN)[inside] / 2)
    assert inside.float().mean() > 0.99


@pytest.mark.parametrize("training", [False, True])
def test_nothing_else_changes(training: bool) -> None:
    """Not the mode of the network, the running means that BatchNorm keeps, nor the global random state."""
    task = task_of()
    task.train(training)
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in task.state_dict().items()}
    first, grid = task.generate(8, 0), task.grid(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in task.state_dict().items())
    assert {module.training for module in task.model.modules()} == {training}
    torch.rand(3)
    assert torch.equal(task.generate(8, 0), first) and task.grid(0) == grid


def test_in_float64() -> None:
    """The same latents, for a run in float64."""
    task = task_of(Two().double())
    torch.testing.assert_close(task.generate(20, 0), task_of().generate(20, 0))


def test_standardised_is_the_inverse_of_unit() -> None:
    task, x = task_of(), torch.linspace(-4, 4, 10).view(5, 1, 1, 2)
    torch.testing.assert_close(task.spec.standardised(task.spec.pixels(x)), x)
    torch.testing.assert_close(task.spec.pixels(torch.zeros(1, 1, 1, 2)), torch.full((1, 1, 1, 2), MEAN))
