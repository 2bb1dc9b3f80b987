"""Floors against what a classifier that says the same of every example is measured to reach."""

import math

import pytest
import torch

from src.metrics.floors import floors
from src.metrics.judged import measure


def test_by_hand() -> None:
    """Three classes, 1, 2 and 5 of them in training: p = 2/11, 3/11, 6/11; tested on 0, 2, 2, 1."""
    found = floors([1, 2, 5], torch.tensor([0, 2, 2, 1]), "class frequencies")
    assert found["chance"] == pytest.approx({"accuracy": 1 / 3, "nll": math.log(3), "brier": 2 / 3})
    nll = -(math.log(2 / 11) + math.log(3 / 11) + 2 * math.log(6 / 11)) / 4
    brier = (4 + 9 + 36) / 121 - 2 * (2 + 3 + 6 + 6) / 11 / 4 + 1
    assert found["class frequencies"] == pytest.approx({"accuracy": 0.5, "nll": nll, "brier": brier})


def test_frequencies_are_what_a_constant_classifier_reaches() -> None:
    """Also with a class that training never saw, and one that the test does not have."""
    g = torch.Generator().manual_seed(0)
    counts = torch.tensor([30, 0, 7, 400, 2])
    targets = torch.randint(4, (500,), generator=g)
    p = (counts + 1).double() / (counts.sum() + 5)
    want = measure(p.log().expand(500, 5), targets)
    found = floors(counts.tolist(), targets, "frequencies")
    for name, value in found["frequencies"].items():
        assert value == pytest.approx(want[name], abs=1e-12), name


def test_chance_is_what_a_uniform_classifier_reaches_with_drawn_guesses() -> None:
    g = torch.Generator().manual_seed(1)
    targets = torch.randint(7, (200_000,), generator=g)
    uniform = torch.full((200_000, 7), -math.log(7), dtype=torch.float64)
    want = measure(uniform, targets)
    found = floors([1] * 7, targets, "frequencies")["chance"]
    assert found["nll"] == pytest.approx(want["nll"]) and found["brier"] == pytest.approx(want["brier"])
    drawn = torch.randint(7, (200_000,), generator=g)
    deviation = math.sqrt(1 / 7 * 6 / 7 / 200_000)
    assert abs((drawn == targets).double().mean().item() - found["accuracy"]) < 4 * deviation


def test_equal_counts_are_chance() -> None:
    found = floors([10, 10, 10, 10], torch.arange(4).repeat(3), "frequencies")
    assert found["frequencies"] == pytest.approx(found["chance"])
