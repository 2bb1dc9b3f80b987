"""Comparisons of two sets of images: against loops, SciPy, and what is known of them."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from src.metrics import generated
from src.metrics.generated import (
    class_divergence,
    coverage,
    frechet_distance,
    kernel_gaps,
    memorised,
    nearest,
    precision,
)


def drawn(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.parametrize("held", [2**24, 7])
def test_nearest_neighbours_are_those_of_scikit_learn(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "AT_ONCE", held)
    real, made = drawn(40), drawn(30, shift=0.7, seed=1)
    radius = NearestNeighbors(n_neighbors=5).fit(real).kneighbors()[0][:, -1]  # without the point itself
    between = np.linalg.norm(real.numpy()[:, None] - made.numpy()[None], axis=-1)  # (real, made)
    assert coverage(real, made).tolist() == (between.min(1) <= radius).tolist()
    assert precision(real, made).tolist() == (between <= radius[:, None]).any(0).tolist()
    assert 0 < coverage(real, made).double().mean() < 1 and 0 < precision(real, made).double().mean() < 1


def test_coverage_of_as_many_draws_of_the_same_is_one_less_two_to_the_minus_k() -> None:
    """The nearest of 2k + ... points is as often real as made: all k nearest are real with probability 2^-k."""
    for k in (1, 3):
        found = [coverage(drawn(400, seed=2 * i), drawn(400, seed=2 * i + 1), k).double().mean() for i in range(10)]
        assert torch.stack(found).mean().item() == pytest.approx(1 - 2**-k, abs=0.02)


def test_copies_are_covered_by_themselves_only() -> None:
    """Ten images, forty times each: almost all real ones have nearer real neighbours. None is far from a real one."""
    real = drawn(400)
    copies = real[:10].repeat(40, 1)
    assert coverage(real, copies).double().mean() < 0.2 and precision(real, copies).all()


def kernel_distance(real: Tensor, made: Tensor) -> float:
    return kernel_gaps(real, made).mean().item()


@pytest.mark.parametrize("held", [2**24, 20])
def test_kernel_distance_by_loops(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "AT_ONCE", held)
    real, made = drawn(7).numpy(), drawn(7, shift=0.5, seed=1).numpy()
    scale = math.sqrt((real**2).mean())

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / scale**2 / 5 + 1) ** 3)

    own = np.mean([k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j])
    own += np.mean([k(x, y) for i, x in enumerate(made) for j, y in enumerate(made) if i != j])
    expected = own - 2 * np.mean([k(x, y) for x in real for y in made])
    assert kernel_distance(torch.from_numpy(real), torch.from_numpy(made)) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_has_no_bias_and_no_unit() -> None:
    values = [kernel_distance(drawn(50, seed=2 * i), drawn(50, seed=2 * i + 1)) for i in range(200)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error and min(values) < 0
    a, b = drawn(20), drawn(20, shift=1.0, seed=1)
    assert kernel_distance(a, b) > 0.1 and kernel_distance(9 * a, 9 * b) == pytest.approx(kernel_distance(a, b))


def test_the_standard_error_of_the_kernel_distance_is_that_of_its_numbers() -> None:
    """Over 300 draws of 80 images, at scale 1: the deviation of the distance, against what each draw says of it."""
    gaps = [kernel_gaps(drawn(80, seed=2 * i), drawn(80, shift=0.5, seed=2 * i + 1)) for i in range(300)]
    true = torch.stack([one.mean() for one in gaps]).std().item()
    told = torch.stack([one.var() / 80 for one in gaps]).mean().sqrt().item()
    assert told == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("held", [2**24, 7])
def test_what_is_memorised_is_as_near_as_a_neighbour_in_training(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "AT_ONCE", held)
    train, made = drawn(40), drawn(30, seed=1)
    within = NearestNeighbors(n_neighbors=1).fit(train).kneighbors()[0][:, 0]
    between, index = NearestNeighbors(n_neighbors=1).fit(train).kneighbors(made)
    assert memorised(train, made).tolist() == (between[:, 0] <= within[index[:, 0]]).tolist()
    assert 0 < memorised(train, made).double().mean() < 1
    assert memorised(train, train[:9]).all() and not memorised(train, train[:9] + 100).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rows_are_at_zero(dtype: torch.dtype) -> None:
    """A product of matrices rounds: by it, copies far from 0 would be as far from each other as that."""
    copies = (drawn(30, d=64, shift=1000.0).repeat(4, 1)).to(dtype)
    distances, _ = nearest(copies, copies, 3, same=True)
    assert torch.equal(distances, torch.zeros_like(distances))
    assert coverage(copies, copies[:30]).all()


def test_divergence_of_classes() -> None:
    from scipy.special import rel_entr

    real, made = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 1, 1, 1])
    expected = rel_entr(np.array([3, 2, 4]) / 9, np.array([2, 6, 1]) / 9).sum()
    assert class_divergence(real, made, 3) == pytest.approx(expected, rel=1e-12)
    assert class_divergence(real, real.flip(0), 3) == 0


def test_frechet_distance_is_scipys() -> None:
    real, made = drawn(60), drawn(50, shift=0.4, seed=1) * torch.arange(1.0, 6.0)
    a, b = np.cov(real.numpy().T), np.cov(made.numpy().T)
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(real, made) == pytest.approx(expected.item(), rel=1e-9)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    few = drawn(4)  # fewer than there are features
    assert math.isfinite(frechet_distance(few, drawn(4, seed=1)))
