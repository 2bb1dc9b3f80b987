"""Scores against their definitions, example by example in NumPy's float64."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.metrics.scores import Scores
from tests.conftest import ROOT

DERIVED = ("nll", "perplexity", "bits", "confidence", "overconfidence")
Batch = tuple[Tensor, Tensor, Tensor]  # losses, log-probabilities, targets


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Random, tied and saturated scores; down to one example and one class."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["random", "tied", "saturated", "wrong", "mixed"]))
    logits = rng.normal(size=(n, k)) * draw(st.sampled_from([0.1, 1.0, 10.0]))
    targets = rng.integers(0, k, n)
    if kind == "tied":
        logits = rng.integers(0, 2, (n, k)).astype(float)
    if kind in ("saturated", "mixed"):
        logits[: n if kind == "saturated" else n // 2] *= 1e4
    if kind == "wrong":
        logits[np.arange(n), targets] -= 200
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    log_probs = torch.from_numpy(logits).to(dtype).log_softmax(-1)
    return torch.from_numpy(rng.normal(size=n)).to(dtype), log_probs, torch.from_numpy(targets)


def by_definition(batch: Batch) -> dict[str, float]:
    losses, log_p, targets = (part.numpy() for part in batch)
    n = len(targets)
    nll = sum(-float(row[y]) for row, y in zip(log_p, targets, strict=True)) / n
    accuracy = sum(int(max(range(len(row)), key=lambda k: row[k]) == y) for row, y in zip(log_p, targets, strict=True))
    confidence = sum(max(math.exp(float(v)) for v in row) for row in log_p) / n
    return {
        "loss": math.fsum(map(float, losses)) / n,
        "accuracy": accuracy / n,
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else math.inf,
        "bits": nll / math.log(2),
        "confidence": confidence,
        "overconfidence": confidence - accuracy / n,
    }


def scores_of(*parts: Batch, text: bool = False) -> Scores:
    scores = Scores(text=text)
    for losses, log_probs, targets in parts:
        scores.update({"loss": losses}, log_probs, log_probs, targets)
    return scores


def rows(batch: Batch, which: slice) -> Batch:
    return batch[0][which], batch[1][which], batch[2][which]


@settings(max_examples=300, deadline=None)
@given(batches())
def test_against_the_definitions(batch: Batch) -> None:
    assert scores_of(batch).compute() == pytest.approx(by_definition(batch), rel=1e-12, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(batches(), st.data())
def test_how_examples_are_cut_into_batches_does_not_matter(batch: Batch, data: st.DataObject) -> None:
    n = len(batch[2])
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1)))) if n > 1 else []
    parts = [rows(batch, slice(a, b)) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    assert scores_of(*parts).compute() == pytest.approx(scores_of(batch).compute(), rel=1e-12, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(batches(), batches())
def test_two_ranks_give_what_one_gives(first: Batch, second: Batch) -> None:
    """torchmetrics gathers each state of both and reduces it by its own rule."""
    here, there = scores_of(first), scores_of(second)

    def gather(state: Tensor, group: Any = None) -> list[Tensor]:
        return [state, there.count if state.ndim == 0 else there.sums]

    here.dist_sync_fn, here.distributed_available_fn = gather, lambda: True
    together = here.compute()
    n, m = len(first[2]), len(second[2])
    one, other = by_definition(first), by_definition(second)
    for name in ("loss", "accuracy", "nll", "confidence"):
        assert together[name] == pytest.approx((n * one[name] + m * other[name]) / (n + m), rel=1e-12, abs=1e-12)
    assert int(here.count) == n, "its own sums are back"


def test_perplexity_is_no_mean_of_exponentials() -> None:
    log_probs = torch.tensor([[math.log(0.9), math.log(0.1)], [math.log(0.01), math.log(0.99)]], dtype=torch.float64)
    batch = torch.zeros(2), log_probs, torch.tensor([0, 0])
    value = scores_of(rows(batch, slice(0, 1)), rows(batch, slice(1, 2))).compute()["perplexity"]
    assert value == pytest.approx(1 / math.sqrt(0.9 * 0.01)), "the geometric mean of 1 / p"


@pytest.mark.parametrize("value", [1000.0, math.inf])
def test_perplexity_that_no_float_holds(value: float) -> None:
    batch = torch.zeros(1), torch.tensor([[-value, 0.0]]), torch.tensor([0])
    scores = scores_of(batch).compute()
    assert (scores["nll"], scores["perplexity"], scores["confidence"]) == (value, math.inf, 1.0)


def test_uniform_probabilities() -> None:
    scores = scores_of((torch.zeros(6), torch.full((6, 3), -math.log(3)), torch.arange(6) % 3), text=True).compute()
    assert scores["perplexity"] == pytest.approx(3, rel=1e-6)
    assert scores["bits_per_char"] == pytest.approx(math.log2(3), rel=1e-6)
    assert "bits" not in scores
    assert scores["overconfidence"] == pytest.approx(0, abs=1e-6)


def test_a_million_small_values_keep_their_digits() -> None:
    """A float32 sum would stop at 2^24."""
    scores = Scores(text=False)
    log_probs = torch.full((1 << 16, 2), math.log(0.5), dtype=torch.float32)
    targets = torch.zeros(1 << 16, dtype=torch.long)
    for _ in range(300):
        scores.update({"loss": torch.ones(1 << 16)}, log_probs, log_probs, targets)
    values = scores.compute()
    assert values["loss"] == 1
    assert values["nll"] == pytest.approx(-float(np.float32(math.log(0.5))), rel=1e-13)
    assert int(scores.count) == 300 << 16


def test_scores_without_probabilities() -> None:
    scores = Scores(text=False)
    raw = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, -800.0]])
    scores.update({"loss": torch.tensor([1.0, 2.0, 6.0])}, raw, None, torch.tensor([0, 0, 0]))
    values = scores.compute()
    assert (values["loss"], values["accuracy"]) == (3.0, pytest.approx(2 / 3))
    assert all(values[name] is None for name in DERIVED)


@pytest.mark.parametrize("probabilistic", [True, False])
def test_restored_sums_go_on_exactly(probabilistic: bool) -> None:
    torch.manual_seed(0)
    parts = [(torch.rand(7), torch.randn(7, 4).log_softmax(-1), torch.randint(4, (7,))) for _ in range(4)]

    def update(scores: Scores, part: Batch) -> None:
        scores.update({"loss": part[0]}, part[1], part[1] if probabilistic else None, part[2])

    whole, first = Scores(text=False), Scores(text=False)
    for part in parts[:2]:
        update(whole, part)
        update(first, part)
    snapshot = first.snapshot()
    update(first, parts[3])  # the snapshot is no view of what goes on changing
    first.compute()
    again = Scores(text=False)
    for scores in (again, first):  # a fresh one, and one that has other sums and has computed them
        scores.restore(snapshot)
        assert scores.compute() == whole.compute()
    for part in parts[2:]:
        update(whole, part)
        update(again, part)
    assert again.compute() == whole.compute()


def test_reset() -> None:
    batch = torch.ones(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.long)
    scores = scores_of(batch)
    scores.reset()
    assert int(scores.count) == 0 and not scores.sums.any()


RANK = """
import sys, torch, src.torchvision_cpu
from src.metrics.scores import Scores
rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
g = torch.Generator().manual_seed(0)
log_probs, losses = torch.randn(50, 4, generator=g).log_softmax(-1), torch.rand(50, generator=g)
targets = torch.randint(4, (50,), generator=g)
scores = Scores(text=False)
for rows in ([slice(0, 20), slice(40, 50)], [slice(20, 40)])[rank]:
    scores.update({"loss": losses[rows]}, log_probs[rows], log_probs[rows], targets[rows])
print(scores.compute())
whole = Scores(text=False)
whole.update({"loss": losses}, log_probs, log_probs, targets)
whole.sync_on_compute = False
print(whole.compute())
"""


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Any) -> None:
    """Uneven ranks, 30 and 20 examples, over gloo."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for process in ranks:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        together, alone = (eval(line) for line in output.splitlines() if line.startswith("{"))
        assert together == pytest.approx(alone, rel=1e-14)
