"""How well views find each other, against loops over them."""

import math

import numpy as np
import torch

from src.metrics.pairs import pair_scores
from tests.losses.pair_rows import CLASSES, D, N, nt_xent, unit

EVERY = slice(None)


def views() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    a = torch.randn(N, D, generator=g, dtype=torch.float64)
    return a, a + torch.randn(N, D, generator=g, dtype=torch.float64)


def test_accuracy_and_bound() -> None:
    a, b = views()
    accuracy, bound = pair_scores(a, b, EVERY)
    z = np.concatenate([unit(a.numpy()), unit(b.numpy())])
    hits: list[float] = []
    for i in range(2 * N):
        cosines = [float(z[i] @ z[k]) if k != i else -2.0 for k in range(2 * N)]
        hits.append(float(np.argmax(cosines) == (i + N) % (2 * N)))
    np.testing.assert_array_equal(accuracy.numpy(), (np.array(hits[:N]) + np.array(hits[N:])) / 2)
    assert 0 < sum(hits) < 2 * N
    expected = math.log(2 * N - 1) - nt_xent(a.numpy(), b.numpy(), CLASSES.numpy(), temperature=0.5)
    np.testing.assert_allclose(bound.numpy(), expected, rtol=1e-12)


def test_equal_views_find_nothing() -> None:
    """A collapsed network is no better than chance, whatever a tie is."""
    one = torch.ones(N, D)
    accuracy, bound = pair_scores(one, one, EVERY)
    assert accuracy.tolist() == [0.0] * N
    torch.testing.assert_close(bound, torch.zeros(N), rtol=0, atol=1e-6)


def test_rows_of_a_rank_and_views_that_agree() -> None:
    a, b = views()
    for part, whole in zip(pair_scores(a, b, slice(1, None, 2)), pair_scores(a, b, EVERY), strict=True):
        torch.testing.assert_close(part, whole[1::2])
    assert pair_scores(a, a, EVERY)[0].tolist() == [1.0] * N
    assert [len(score) for score in pair_scores(a, b, slice(0))] == [0, 0]
