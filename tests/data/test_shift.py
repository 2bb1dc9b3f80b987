"""Each corruption against NumPy and SciPy, image by image."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from src.config.evaluation import KINDS, SEVERITIES
from src.data.base import EvalLoader, Spec, generator
from src.data.shift import AMOUNTS, blur, contrast, corrupted, noise, rotate, shifted
from tests.data.batches import pairs

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 9, 14), (1, 4, 4)]
SMALLEST = {"noise": 0.0, "blur": 0.13, "contrast": 1.0, "rotate": 0.0}  # the amount that leaves an image as it is
APPLY = {"noise": noise, "blur": blur, "contrast": contrast, "rotate": rotate}
G = torch.Generator()


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(c, sigma, mode="nearest", truncate=4.0) for c in image])


def less_contrast(image: np.ndarray, share: float) -> np.ndarray:
    means = image.mean((1, 2), keepdims=True)
    return (image - means) * share + means


def rotated(image: np.ndarray, angle: float) -> np.ndarray:
    """Each output pixel from where it was before the turn counter-clockwise (rows go down)."""
    cos, sin = math.cos(angle), math.sin(angle)
    back = np.array([[cos, sin], [-sin, cos]])  # of (row, column)
    centre = (np.array(image.shape[1:]) - 1) / 2
    offset = centre - back @ centre
    return np.stack([ndimage.affine_transform(c, back, offset, order=1, mode="grid-constant") for c in image])


REFERENCES = {"blur": blurred, "contrast": less_contrast, "rotate": rotated}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", REFERENCES)
def test_against_a_reference(kind: str, severity: int, shape: tuple[int, ...]) -> None:
    batch = images(3, shape)
    expected = [REFERENCES[kind](image, AMOUNTS[kind][severity - 1]) for image in batch.double().numpy()]
    got = corrupted(batch, kind, severity, G)
    np.testing.assert_allclose(got.numpy(), np.clip(expected, 0, 1), atol=2e-5)


def test_a_turn_is_counter_clockwise() -> None:
    """A spot right of the centre goes up."""
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 4] = 1
    turned = rotate(image, math.pi / 2, G)
    assert turned[0, 0, 0, 2] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_is_normal(severity: int) -> None:
    """At 1/2, where nothing is clipped; each pixel and channel by itself."""
    sd = AMOUNTS["noise"][severity - 1]
    drawn = corrupted(torch.full((200, 3, 16, 16), 0.5), "noise", severity, generator("a", severity)) - 0.5
    assert drawn.std().item() == pytest.approx(sd, rel=0.01)
    assert abs(drawn.mean().item()) < 4 * sd / math.sqrt(drawn.numel())
    assert (drawn**4).mean().item() / sd**4 == pytest.approx(3, rel=0.05)
    flat = drawn.transpose(0, 1).reshape(3, -1)
    assert torch.corrcoef(flat)[0, 1].abs() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_amount_changes_nothing(kind: str) -> None:
    batch = images(2, (3, 8, 8))
    torch.testing.assert_close(APPLY[kind](batch, SMALLEST[kind], G), batch, atol=1e-5, rtol=0)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_shape_range_and_determinism(kind: str, severity: int) -> None:
    batch = images(4, (3, 10, 12)).round()  # black and white, so that noise leaves the range
    first, again = (corrupted(batch, kind, severity, generator("x")) for _ in range(2))
    assert first.shape == batch.shape and first.dtype == batch.dtype
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, batch)


@pytest.mark.parametrize("kind", KINDS)
def test_more_severe_is_further_away(kind: str) -> None:
    batch = torch.full((8, 1, 28, 28), 0.25)
    batch[..., 14:] = 0.75
    away = [(corrupted(batch, kind, severity, generator("x")) - batch).square().mean() for severity in SEVERITIES]
    assert all(a < b for a, b in itertools.pairwise(away))


@pytest.mark.parametrize("kind", REFERENCES)
def test_an_image_does_not_depend_on_its_batch(kind: str) -> None:
    batch = images(7, (3, 12, 12))
    one_by_one = torch.cat([corrupted(image[None], kind, 3, G) for image in batch])
    torch.testing.assert_close(corrupted(batch, kind, 3, G), one_by_one, atol=1e-6, rtol=0)


def loader(batch: Tensor, batches: int = 3) -> EvalLoader:
    return EvalLoader(lambda index: (batch, torch.full((len(batch),), index)), range(batches), "test")


SPEC = Spec("image", (3, 8, 8), ("a", "b"), (1, 1), mean=(0.3, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def standardised(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (SPEC.mean, SPEC.std))
    return (pixels - mean) / std


@pytest.mark.parametrize("kind", REFERENCES)
def test_corruption_is_of_pixels(kind: str) -> None:
    """Batches are standardised; the corruption must not see that."""
    pixels = images(4, (3, 8, 8))
    ((x, targets), *_) = pairs(shifted(loader(standardised(pixels)), SPEC, kind, 4, seed=0))
    torch.testing.assert_close(x, standardised(corrupted(pixels, kind, 4, G)), atol=1e-5, rtol=0)
    assert targets.tolist() == [0] * 4


def test_noise_is_a_function_of_seed_batch_and_severity() -> None:
    x = standardised(torch.full((4, 3, 8, 8), 0.5))

    def drawn(seed: int, severity: int) -> list[Tensor]:
        amount = AMOUNTS["noise"][severity - 1]
        std = torch.tensor(SPEC.std)[:, None, None]
        return [(worse - x) * std / amount for worse, _ in pairs(shifted(loader(x), SPEC, "noise", severity, seed))]

    torch.manual_seed(1)
    first = drawn(0, 2)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(0, 2), strict=True))
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"
    others = [*first, *drawn(1, 2), *drawn(0, 3)]
    for i, a in enumerate(others):
        assert all((a - b).abs().mean() > 0.5 for b in others[:i])


def test_kinds_and_severities_are_those_of_the_command() -> None:
    assert tuple(AMOUNTS) == KINDS
    assert {len(amounts) for amounts in AMOUNTS.values()} == {len(SEVERITIES)}
