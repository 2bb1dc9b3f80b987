"""What the denoising losses must do beyond the contract of all losses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from src.losses.denoising import DenoisingErrorLoss
from src.losses.diffusion import DenoisingLoss, levels
from tests.losses.contract import to
from tests.losses.diffusion_rows import IMAGE, ROWS, SETTINGS, N, drawn

PREDICTIONS = SETTINGS["predict"]


def loss_of(**changes: Any) -> DenoisingErrorLoss:
    loss: DenoisingErrorLoss = ROWS[0].build(**changes)
    return loss


def level_of(snr: Tensor) -> tuple[Tensor, Tensor]:
    return levels(snr, torch.zeros(len(snr), *IMAGE, dtype=snr.dtype))


def predictions_of(x0: Tensor, x: Tensor, snr: Tensor) -> dict[str, Tensor]:
    """What three networks give that find the same image: (N, ...) each."""
    alpha, sigma = level_of(snr)
    noise = (x - alpha * x0) / sigma
    return {"noise": noise, "x0": x0, "v": alpha * noise - sigma * x0}


def test_levels() -> None:
    snr = torch.tensor([1.0, 3.0, 6.0718e-8, 3921.0], dtype=torch.float64)
    alpha, sigma = level_of(snr)
    assert alpha.shape == sigma.shape == (4, 1, 1, 1)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    torch.testing.assert_close((alpha / sigma).flatten() ** 2, snr)
    assert alpha[1].item() == pytest.approx(math.sqrt(3) / 2)


@pytest.mark.parametrize("weight", SETTINGS["weight"])
@pytest.mark.parametrize(("distance", "at_2"), [("mse", 4.0), ("mae", 2.0), ("huber", 1.5)])
def test_closed_forms_if_the_network_gives_0(distance: str, at_2: float, weight: str) -> None:
    """Noise 2, image 1, snr 3: alpha = sqrt(3) / 2, sigma = 1/2, v = sqrt(3) - 1/2."""
    ones, snr, bound = torch.ones(1, *IMAGE, dtype=torch.float64), torch.tensor([3.0]), torch.tensor([12.0])
    v = math.sqrt(3) - 0.5
    at_1 = {"mse": 1.0, "mae": 1.0, "huber": 0.5}[distance]
    at_v = {"mse": v * v, "mae": v, "huber": v - 0.5}[distance]
    factors = {"simple": (1, 1, 1), "min_snr": (2 / 3, 2, 2 / 4), "vlb": (4, 12, 3)}[weight]
    for predict, value, factor in zip(PREDICTIONS, (at_2, at_1, at_v), factors, strict=True):
        loss = loss_of(distance=distance, predict=predict, weight=weight, gamma=2.0)
        got = loss(0 * ones, ones, 2 * ones, snr.double(), bound.double())
        assert got.tolist() == pytest.approx([factor * value]), predict


def test_min_snr_weighs_v_by_snr_plus_one() -> None:
    """gamma = 5: min(snr, 5) / snr, min(snr, 5) and min(snr, 5) / (snr + 1)."""
    snr = torch.tensor([0.0, 1.0, 5.0, 9.0], dtype=torch.float64)
    bound = torch.zeros(4, dtype=torch.float64)
    weights = {p: loss_of(predict=p, weight="min_snr").weights(snr[1:], bound[1:]) for p in PREDICTIONS}
    assert weights["noise"].tolist() == pytest.approx([1, 1, 5 / 9])
    assert weights["x0"].tolist() == pytest.approx([1, 5, 5])
    assert weights["v"].tolist() == pytest.approx([1 / 2, 5 / 6, 5 / 10])
    assert loss_of(predict="v", weight="min_snr").weights(snr, bound)[0] == 0


@pytest.mark.parametrize("weight", ["min_snr", "vlb"])
def test_networks_that_find_the_same_image_have_the_same_loss(weight: str) -> None:
    """Squared errors, weighed as those of the image: whatever is predicted. With weight=simple they differ."""
    found, x0, noise, snr, bound = drawn()
    alpha, sigma = level_of(snr)
    x = alpha * x0 + sigma * noise
    values, simple = [], []
    for predict, prediction in predictions_of(found, x, snr).items():
        values.append(loss_of(predict=predict, weight=weight)(prediction, x0, noise, snr, bound))
        simple.append(loss_of(predict=predict)(prediction, x0, noise, snr, bound))
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-10, atol=0)
    assert not torch.allclose(simple[0], simple[1]) and not torch.allclose(simple[0], simple[2])


def test_the_image_is_found_in_every_prediction() -> None:
    found, x0, noise, snr, _ = drawn()
    alpha, sigma = level_of(snr)
    x = alpha * x0 + sigma * noise
    for image in (x0, found):
        for predict, prediction in predictions_of(image, x, snr).items():
            got = loss_of(predict=predict).denoised(prediction, x, snr)
            torch.testing.assert_close(got, image, rtol=1e-10, atol=1e-10)
    for predict in PREDICTIONS:  # the target is the prediction of x0 itself
        loss = loss_of(predict=predict)
        torch.testing.assert_close(loss.denoised(loss.target(x0, noise, snr), x, snr), x0, rtol=1e-10, atol=1e-10)
        exact = loss(loss.target(x0, noise, snr), x0, noise, snr, torch.ones(N, dtype=torch.float64))
        assert exact.tolist() == [0.0] * N


def test_huber_lies_between_the_others() -> None:
    """Half of the squared error for a large delta, delta times the absolute error for a small one."""
    given = drawn()
    torch.testing.assert_close(loss_of(distance="huber", delta=1e6)(*given), loss_of()(*given) / 2)
    small = loss_of(distance="huber", delta=1e-9)(*given) / 1e-9
    torch.testing.assert_close(small, loss_of(distance="mae")(*given), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_the_ends_of_time(dtype: torch.dtype) -> None:
    """snr from 6e-8 to 4e3, as 200 steps of the cosine schedule have it, and predictions that are far off."""
    prediction, x0, noise, _, _ = to(drawn(), dtype)
    snr = torch.tensor([6e-8, 1e-4, 1.0, 4e3] * 2)
    for kwargs in ROWS[0].cases:
        learned = (100 * prediction).clone().requires_grad_()
        loss = ROWS[0].build(**kwargs)
        value = loss(learned, x0, noise, snr, torch.full((N,), 5e5))
        value.sum().backward()
        assert value.dtype == torch.float32 and value.isfinite().all(), kwargs
        assert learned.grad is not None and learned.grad.isfinite().all(), kwargs
        assert loss.denoised(learned.detach(), noise, snr).isfinite().all()


def test_a_loss_of_ones_own_says_what_an_error_costs() -> None:
    """One method: what is predicted and how levels count are the base's."""

    class Quartic(DenoisingLoss):
        def of_error(self, error: Tensor) -> Tensor:
            return error**4

    given = drawn()
    own = Quartic(predict="v", weight="min_snr", gamma=5.0)(*given)
    target = loss_of(predict="v").target(*given[1:4])
    capped = given[3].clamp(max=5) / (given[3] + 1)
    torch.testing.assert_close(own, capped * ((target - given[0]) ** 4).flatten(1).mean(1))
