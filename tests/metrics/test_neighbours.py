"""Nearest neighbours, against scikit-learn's and loops."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from src.metrics import neighbours
from src.metrics.neighbours import classified, nearest

g = torch.Generator().manual_seed(0)
BANK, ASKED = torch.randn(90, 5, generator=g), torch.randn(40, 5, generator=g)
CLASSES = torch.randint(3, (90,), generator=g)


@pytest.mark.parametrize("held", [2**24, 90 * 7, 1])
def test_nearest_are_those_of_scikit_learn(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "AT_ONCE", held)
    cosines, rows = nearest(ASKED, BANK, 20)
    away, theirs = NearestNeighbors(n_neighbors=20, metric="cosine").fit(BANK.numpy()).kneighbors(ASKED.numpy())
    np.testing.assert_array_equal(rows.numpy(), theirs)
    np.testing.assert_allclose(cosines.numpy(), 1 - away, atol=1e-6)


@pytest.mark.parametrize("held", [2**24, 90 * 7])
def test_no_row_is_its_own_neighbour(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "AT_ONCE", held)
    _, rows = nearest(BANK, BANK, 20, same=True)
    theirs = NearestNeighbors(n_neighbors=20, metric="cosine").fit(BANK.numpy()).kneighbors(return_distance=False)
    np.testing.assert_array_equal(rows.numpy(), theirs)


def test_votes_are_weighted_by_cosine() -> None:
    found = classified(ASKED, BANK, CLASSES, 3)
    unit, known = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (ASKED, BANK))
    for row, guess in zip(unit, found.tolist(), strict=True):
        cosines = known @ row
        votes = np.zeros(3)
        for near in np.argsort(-cosines)[:20]:
            votes[CLASSES[near]] += np.exp(cosines[near] / 0.07)
        assert guess == votes.argmax()


def test_fewer_than_twenty() -> None:
    assert nearest(BANK[:5], BANK[:5], 20, same=True)[1].shape == (5, 4)
    assert classified(BANK[:1], BANK[1:2], CLASSES[1:2], 3).tolist() == CLASSES[1:2].tolist()
