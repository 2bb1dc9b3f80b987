"""The U-Net: sizes, time, gradients, initial weights, and what it learns."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.losses.denoising import DenoisingErrorLoss
from src.losses.diffusion import levels
from src.models.unet import UNet, embedded


def build(shape: tuple[int, ...] = (1, 8, 8), **changes: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(**{"input_shape": shape, "patch": 2, "widths": [8, 16], **changes})


def noisy(*shape: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=g), torch.rand(shape[0], generator=g)


def awake(model: UNet) -> UNet:
    """With layers that are not 0."""
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return model


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ((1, 28, 28), {}),
        ((3, 32, 32), {"widths": [8, 16, 16], "patch": 1}),
        ((1, 28, 12), {"widths": [12]}),
        ((2, 8, 4), {"widths": [5, 7, 9], "patch": 1}),
    ],
)
def test_shapes(shape: tuple[int, ...], keys: dict[str, Any]) -> None:
    model = awake(build(shape, **keys)).eval()
    x, t = noisy(3, *shape)
    assert model(x, t).shape == x.shape
    assert build(shape, **keys)(x, t).abs().max() == 0, "an untrained network says 0"
    torch.testing.assert_close(model(x[1:2], t[1:2]), model(x, t)[1:2], rtol=1e-4, atol=1e-5)


def test_it_is_told_the_time_and_sees_the_whole_image() -> None:
    model = awake(build()).eval()
    x, t = noisy(1, 1, 8, 8)
    assert (model(x, t) - model(x, t + 0.1)).abs().max() > 1e-3
    x.requires_grad_()
    (seen,) = torch.autograd.grad(model(x, t)[0, 0, 0, 0], x)
    assert (seen != 0).all()


def test_embedded_time() -> None:
    """Sines and cosines of 1000 t, at speeds from 1 down to nearly 1 / 10,000; times a step apart differ."""
    t = torch.tensor([0.005, 0.5, 1.0])
    found = embedded(t, 8)
    angles = 1000 * t[:, None].double() / 10_000 ** (torch.arange(4).double() / 4)
    torch.testing.assert_close(found.double(), torch.cat([angles.sin(), angles.cos()], 1), rtol=0, atol=1e-4)
    steps = embedded(torch.arange(1, 201) / 200, 16)
    assert torch.pdist(steps).min() > 0.1


@pytest.mark.parametrize(("widths", "patch", "count"), [([16, 32], 2, 75_764), ([32, 64], 2, 298_468)])
def test_size(widths: list[int], patch: int, count: int) -> None:
    assert sum(p.numel() for p in build((1, 28, 28), widths=widths, patch=patch).parameters()) == count


def test_every_parameter_gets_a_gradient_and_eight_images_are_learnt() -> None:
    """After the first steps: layers that start at 0 hold back the gradients of those before them. A network that says 0
    has a loss of 1."""
    model = build()
    x0, _ = noisy(8, 1, 8, 8)
    x0, g = x0.sign(), torch.Generator().manual_seed(2)
    loss = DenoisingErrorLoss(distance="mse", predict="v", weight="simple", gamma=5.0, delta=1.0)
    optimizer, values = torch.optim.Adam(model.parameters(), lr=5e-3), []
    for step in range(120):
        t = (torch.arange(8) + 0.5) / 8
        snr, noise = (1 - t**2) / t**2, torch.randn(x0.shape, generator=g)
        alpha, sigma = levels(snr, x0)
        value = loss(model(alpha * x0 + sigma * noise, t), x0, noise, snr, snr).mean()
        optimizer.zero_grad()
        value.backward()
        if step >= 5:
            for key, parameter in model.named_parameters():
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
        optimizer.step()
        values.append(value.item())
    first, last = values[0], sum(values[-20:]) / 20
    assert first == pytest.approx(1, abs=0.2)
    assert last < 0.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 0}, "patch must be an integer >= 1, got 0"),
        ({"widths": []}, "widths must be a list of integers >= 1, at least one, got []"),
        ({"widths": [0]}, "widths must be an integer >= 1, got 0"),
        ({"widths": "16"}, "widths must be a list of integers >= 1, got '16'"),
        (
            {"widths": [8, 8, 8, 8]},
            "widths must be such that 16 pixels (patch 2, halved 3 times) divide the sides of the images, 8 x 8,"
            " got [8, 8, 8, 8]",
        ),
        (
            {"patch": 3},
            "widths must be such that 6 pixels (patch 3, halved 1 times) divide the sides of the images, 8 x 8,"
            " got [8, 16]",
        ),
    ],
    ids=lambda case: str(case)[:40],
)
def test_bad_argument(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(**changes)
