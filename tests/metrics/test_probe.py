"""The linear probe, against scikit-learn's logistic regression."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from src.metrics import probe
from src.metrics.probe import Features, Probe, chosen, few, probe_of


def problem(n: int = 400, width: int = 7, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Features of unlike sizes, one of them constant, of classes that overlap."""
    g = torch.Generator().manual_seed(3)
    targets = torch.randint(classes, (n,), generator=g)
    centres = torch.randn(classes, width, generator=g)
    features = (centres[targets] + 1.5 * torch.randn(n, width, generator=g)) * torch.logspace(-2, 2, width) + 5
    features[:, 2] = 3.7
    return features, targets


def objective(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float) -> float:
    """In NumPy, from its definition."""
    logits = x @ weight + bias
    log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    return float((log_sum - logits[np.arange(len(y)), y]).mean() + l2 / 2 * np.square(weight).sum())


@pytest.mark.parametrize(("l2", "n", "width"), [(1e-1, 400, 7), (1e-3, 400, 7), (1e-5, 400, 7), (1e-2, 30, 60)])
def test_it_is_the_minimum_that_scikit_learn_finds(l2: float, n: int, width: int) -> None:
    features, targets = problem(n, width)
    found = Features(features).fit(targets, 4, l2)
    x, y = features.double().numpy(), targets.numpy()
    deviation = x.std(0)
    x = (x - x.mean(0)) / np.where(deviation > 1e-9, deviation, np.inf)
    theirs = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    least = objective(theirs.coef_.T, theirs.intercept_, x, y, l2)
    own = objective(found.weight.numpy(), found.bias.numpy(), x, y, l2)
    assert own == pytest.approx(least, abs=1e-7)
    np.testing.assert_allclose(found.log_probs(features).exp().numpy(), theirs.predict_proba(x), atol=1e-4)
    other = features.clone()
    other[:, 2] += 100  # which never differed in training, so the probe does not look at it
    assert torch.equal(found.log_probs(other), found.log_probs(features))


def test_it_may_start_elsewhere() -> None:
    features, targets = problem(30, 60)
    given = Features(features)
    one, other = given.fit(targets, 4, 1e-2), given.fit(targets, 4, 1e-2, given.fit(targets, 4, 1.0))
    torch.testing.assert_close(one.log_probs(features).exp(), other.log_probs(features).exp(), atol=1e-4, rtol=0)


def test_the_penalty_is_the_best_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = problem()
    train, val = slice(0, 60), slice(60, None)
    every = {l2: Features(features[train]).fit(targets[train], 4, l2) for l2 in probe.L2}
    rows = torch.arange(340)
    nll = {l2: -one.log_probs(features[val])[rows, targets[val]].mean().item() for l2, one in every.items()}
    best = min(nll, key=lambda l2: nll[l2])
    assert best not in (probe.L2[0], probe.L2[-1])
    assert chosen(features[train], targets[train], features[val], targets[val], 4).l2 == best
    monkeypatch.setattr(probe, "L2", (best,))
    assert chosen(features[train], targets[train], features[val], targets[val], 4).l2 == best


def test_what_is_written_is_the_same_probe() -> None:
    features, targets = problem()
    found = Features(features).fit(targets, 4, 1e-3)
    again = probe_of(json.loads(json.dumps(found.plain())))
    assert torch.equal(again.log_probs(features), found.log_probs(features)) and again.l2 == found.l2


@pytest.mark.parametrize(
    "damage",
    [{"weight": [1.0]}, {"bias": [0.0]}, {"mean": "no"}, {"scale": None}, {"l2": None}, {"weight": [[1], [1, 2]]}],
)
def test_what_is_no_probe_is_refused(damage: dict[str, object]) -> None:
    features, targets = problem()
    plain = Features(features).fit(targets, 4, 1e-3).plain()
    with pytest.raises(ValueError, match="no linear probe"):
        probe_of(plain | damage)
    with pytest.raises(ValueError, match="no linear probe"):
        probe_of(None)


def test_few_labels_a_class() -> None:
    targets = torch.tensor([0] * 50 + [2] * 4 + [1] * 30)[
        torch.randperm(84, generator=torch.Generator().manual_seed(1))
    ]
    rows, again = (few(targets, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(rows, again) and len(rows.unique()) == len(rows) == 24
    assert torch.bincount(targets[rows]).tolist() == [10, 10, 4]
    assert not torch.equal(rows, few(targets, torch.Generator().manual_seed(6)))


def test_a_class_without_examples_is_improbable() -> None:
    features, targets = problem()
    found = Features(features).fit(targets, 5, 1e-3)
    assert isinstance(found, Probe) and found.log_probs(features)[:, 4].exp().max() < 0.01
