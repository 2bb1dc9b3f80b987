"""Both parts of a proper score against NumPy and scikit-learn, and what a recalibration must not change."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from src.metrics.decomposition import FOLDS, PARTS, isotonic, split_scores
from src.metrics.temperature import NotFittedError, fit_temperature, scaled
from tests.metrics.test_temperature import calibrated

Array = NDArray[np.float64]


def judged(log_probs: Tensor, targets: Tensor) -> dict[str, Array]:
    """Both scores of each example by their definitions, and their parts."""
    p, y = log_probs.double().exp(), torch.nn.functional.one_hot(targets, log_probs.shape[1])
    nll, brier = -(log_probs.double() * y).sum(1), (p - y).square().sum(1)
    parts = split_scores(log_probs, targets, nll, brier)
    assert tuple(parts) == PARTS
    return {name: value.numpy() for name, value in (parts | {"nll": nll, "brier": brier}).items()}


def sharpened(n: int, by: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    logits, targets = calibrated(n, seed)
    return (logits * by).log_softmax(-1), targets


def newton(z: Array, y: NDArray[np.int64]) -> float:
    """The 1/T of the least nll: the root of its slope by Newton's steps, from below."""
    beta = 0.2
    for _ in range(50):
        p = np.exp(beta * z - (beta * z).max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        mean = (p * z).sum(1)
        slope = (mean - z[np.arange(len(y)), y]).mean()
        beta -= slope / ((p * z**2).sum(1) - mean**2).mean()
    return beta


def brier_at(c: Array, p: Array, y: NDArray[np.int64]) -> Array:
    """Of each example, with its confidence set to c and the others in the proportions that they had."""
    top = p.argmax(1)
    rest = p.copy()
    rest[np.arange(len(p)), top] = 0
    q = rest / rest.sum(1, keepdims=True) * (1 - c)[:, None]
    q[np.arange(len(p)), top] = c
    return ((q - np.eye(p.shape[1])[y]) ** 2).sum(1)


def left(log_probs: Tensor, targets: Tensor) -> tuple[Array, Array]:
    """What the best maps leave of nll and of Brier of each example, by NumPy and scikit-learn."""
    z, y = log_probs.double().numpy(), targets.numpy()
    p, fold = np.exp(z), np.arange(len(y)) % FOLDS
    nll, brier = np.empty(len(y)), np.empty(len(y))
    for k in range(FOLDS):
        rest, held = fold != k, fold == k
        warmed = newton(z[rest], y[rest]) * z[held]
        nll[held] = np.log(np.exp(warmed).sum(1)) - warmed[np.arange(held.sum()), y[held]]
        # the parabola through the scores of three confidences
        low, middle, high = (brier_at(np.full(rest.sum(), c), p[rest], y[rest]) for c in (0.0, 0.5, 1.0))
        bend = 2 * (low - 2 * middle + high)
        best = (low - high + bend) / (2 * bend)
        line = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        line.fit(p[rest].max(1), best, sample_weight=bend)
        brier[held] = brier_at(line.predict(p[held].max(1)), p[held], y[held])
    return nll, brier


@pytest.mark.parametrize("by", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_maps_are_the_references(by: float, dtype: torch.dtype) -> None:
    log_probs, targets = sharpened(600, by)
    found = judged(log_probs.to(dtype), targets)
    for name, expected in zip(("nll", "brier"), left(log_probs.to(dtype), targets), strict=True):
        np.testing.assert_allclose(found[f"{name}_refinement"], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("by", [0.5, 2.5])
def test_the_parts_add_up_and_the_larger_part_of_what_was_added_is_taken_away(by: float) -> None:
    found, plain = (judged(*sharpened(4000, factor)) for factor in (by, 1.0))
    for score in ("nll", "brier"):
        calibration, refinement = found[f"{score}_calibration"], found[f"{score}_refinement"]
        np.testing.assert_allclose(calibration + refinement, found[score], rtol=1e-12, atol=1e-12)
        added = found[score].mean() - plain[score].mean()
        assert added > 0.02
        assert calibration.mean() > (0.99 if score == "nll" else 0.6) * added  # the others' shares stay too sharp


def test_temperature_scaling_changes_no_refinement_of_nll() -> None:
    log_probs, targets = sharpened(1000, 1.7)
    one, other = judged(log_probs, targets), judged(scaled(log_probs, 6.0), targets)
    np.testing.assert_allclose(other["nll_refinement"], one["nll_refinement"], rtol=0, atol=1e-9)
    assert abs(other["nll"].mean() - one["nll"].mean()) > 0.1


def test_a_recalibrated_model_has_nothing_left_to_take_away() -> None:
    """On the examples that the map learnt from; and, cross-fitted, nearly so of others of a calibrated model."""
    log_probs, targets = sharpened(2000, 2.5)
    again = scaled(log_probs, fit_temperature(log_probs, targets))
    assert fit_temperature(again, targets) == pytest.approx(1, abs=1e-9)
    two = torch.stack([log_probs.exp()[:, 0], 1 - log_probs.exp()[:, 0]], 1)
    once = isotonic(two, (targets > 0).long())(two)
    torch.testing.assert_close(isotonic(once, (targets > 0).long())(once), once, rtol=0, atol=1e-12)
    found = judged(*sharpened(20_000, 1.0))
    assert abs(found["nll_calibration"].mean()) < 3e-4 and abs(found["brier_calibration"].mean()) < 1.5e-3


def test_no_other_increasing_map_has_a_lower_score() -> None:
    log_probs, targets = sharpened(300, 2.5)
    p = log_probs.exp()
    rng, y = np.random.default_rng(1), targets.numpy()
    mapped = isotonic(p, targets)(p)
    least = float((mapped - torch.nn.functional.one_hot(targets, 10)).square().sum(1).mean())
    confidence = p.max(1).values.numpy()
    for _ in range(300):
        steps = np.sort(rng.random(8))
        c = np.interp(confidence, np.linspace(0, 1, 8), steps)
        assert brier_at(c, p.numpy(), y).mean() >= least - 1e-12


def test_what_is_mapped_is_a_distribution_also_where_all_is_sure() -> None:
    p = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]] * 10, dtype=torch.float64)
    targets = torch.tensor([0, 2, 1, 0] * 10)
    mapped = isotonic(p, targets)(p)
    torch.testing.assert_close(mapped.sum(1), torch.ones(40, dtype=torch.float64))
    assert (mapped >= 0).all()
    torch.testing.assert_close(mapped[1], torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64))  # half of them right
    same = torch.full((40, 3), 1 / 3, dtype=torch.float64)
    assert isotonic(same, targets)(same).isfinite().all()


def test_few_mistakes_determine_nothing() -> None:
    log_probs, _ = sharpened(40, 1.0)
    with pytest.raises(NotFittedError, match=r"^of 32 test examples .* it takes at least 10 of each$"):
        judged(log_probs[:40], log_probs[:40].argmax(1))
