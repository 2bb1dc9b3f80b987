"""How features lie in their space: closed forms, and float64 loops."""

import math

import numpy as np
import pytest
import torch

from src.metrics import representation
from src.metrics.representation import RepresentationSums, alignment, effective_rank, singular_values, uniformity

X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))


def test_alignment() -> None:
    a = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    b = torch.tensor([[1.0, 0.0], [-4.0, 0.0], [0.0, 1.0]])
    assert alignment(a, b).tolist() == pytest.approx([0, 4, 2])


@pytest.mark.parametrize("held", [2**22, 30 * 7, 1])
def test_uniformity_is_over_all_pairs(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "AT_ONCE", held)
    x = X.double().numpy() / np.linalg.norm(X.double().numpy(), axis=1, keepdims=True)
    kernel = [math.exp(-2 * np.square(x[i] - x[j]).sum()) for i in range(30) for j in range(30) if i != j]
    assert uniformity(X) == pytest.approx(math.log(np.mean(kernel)), abs=1e-12)


def test_uniformity_in_closed_form() -> None:
    assert uniformity(torch.ones(9, 3)) == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.eye(6)) == pytest.approx(-4, abs=1e-12)  # |x - y|^2 = 2
    assert math.isnan(uniformity(torch.ones(1, 3)))


def test_effective_rank() -> None:
    assert effective_rank(singular_values(torch.cat([torch.eye(5), -torch.eye(5)]))) == pytest.approx(5)
    assert effective_rank(singular_values(X[:, :1] * torch.ones(1, 4) + 7)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(singular_values(torch.full((9, 4), 2.5))) == 0
    values = np.linalg.svd(X.double().numpy() - X.double().numpy().mean(0), compute_uv=False)
    p = values / values.sum()
    assert effective_rank(singular_values(X)) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-12)


def test_neighbours_among_a_split() -> None:
    """However it is cut into batches, and no example is its own neighbour."""
    targets = torch.arange(30) % 2
    features = torch.where(targets[:, None] > 0, 1.0, -1.0) + 0.1 * X
    for size in (30, 7):
        scores = RepresentationSums(("loss",), dict, 2)
        for rows in torch.arange(30).split(size):
            scores.update({"loss": torch.ones(len(rows)), "features": features[rows], "targets": targets[rows]})
        assert scores.compute() == {"loss": 1, "knn": 1}
    alone = RepresentationSums(("loss",), dict, 2)
    alone.update({"loss": torch.ones(2), "features": X[:2], "targets": torch.tensor([0, 1])})
    assert alone.compute()["knn"] == 0
