"""Scores against their definitions, example by example in NumPy's float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.metrics.calibration import bin_of, bin_table
from src.metrics.scores import Scores
from tests.metrics.definitions import by_definition

Batch = tuple[Tensor, Tensor, Tensor]  # losses, log-probabilities, targets


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Random, tied, saturated (confidence exactly 1) and wrong scores; down to one example, one class, one bin."""
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


def scores_of(*parts: Batch, text: bool = False) -> Scores:
    scores = Scores(text=text, num_classes=parts[0][1].shape[1])
    for losses, log_probs, targets in parts:
        scores.update({"loss": losses}, log_probs, log_probs, targets)
    return scores


def rows(batch: Batch, which: slice) -> Batch:
    return batch[0][which], batch[1][which], batch[2][which]


@settings(max_examples=300)
@given(batches())
def test_against_the_definitions(batch: Batch) -> None:
    assert scores_of(batch).compute() == pytest.approx(by_definition(*batch), rel=1e-12, abs=1e-12)


@settings(max_examples=100)
@given(batches(), st.data())
def test_how_examples_are_cut_into_batches_does_not_matter(batch: Batch, data: st.DataObject) -> None:
    n = len(batch[2])
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1)))) if n > 1 else []
    parts = [rows(batch, slice(a, b)) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    assert scores_of(*parts).compute() == pytest.approx(scores_of(batch).compute(), rel=1e-12, abs=1e-12)


@settings(max_examples=50)
@given(batches(), st.data())
def test_two_ranks_give_what_one_gives(batch: Batch, data: st.DataObject) -> None:
    """torchmetrics gathers each state of both and reduces it by its own rule."""
    cut = data.draw(st.integers(1, max(1, len(batch[2]) - 1)))
    here, there = scores_of(rows(batch, slice(0, cut))), scores_of(rows(batch, slice(cut - 1, None)))
    theirs = iter([getattr(there, name) for name in here._reductions])

    def gather(state: Tensor, group: Any = None) -> list[Tensor]:
        return [state, next(theirs)]

    here.dist_sync_fn, here.distributed_available_fn = gather, lambda: True
    together = here.compute()
    overlapping = tuple(torch.cat([part[:cut], part[cut - 1 :]]) for part in batch)
    assert together == pytest.approx(by_definition(*overlapping), rel=1e-12, abs=1e-12)
    assert int(here.count) == cut, "its own sums are back"


@pytest.mark.parametrize(
    ("p", "bin_"),
    [(0.0, 0), (1 / 15, 0), (math.nextafter(1 / 15, 1), 1), (3 / 15, 2), (10 / 15, 9), (1.0, 14), (1e-300, 0)],
)
def test_bins_are_closed_on_the_right(p: float, bin_: int) -> None:
    assert bin_of(torch.tensor([p], dtype=torch.float64)).item() == bin_
    table = bin_table(torch.tensor([p], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    assert table[0].nonzero().item() == bin_


def test_ece_by_hand() -> None:
    """Three of confidence 0.7, two right; one of 0.95, wrong."""
    p = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.3, 0.7], [0.95, 0.05]], dtype=torch.float64)
    values = scores_of((torch.zeros(4), p.log(), torch.tensor([0, 1, 1, 1]))).compute()
    assert values["ece"] == pytest.approx((abs(2 - 2.1) + 0.95) / 4)
    assert values["mce"] == pytest.approx(0.95)
    first = (abs(1 - 1.4) + abs(0 - 0.3) + abs(0 - 0.95)) / 4  # of class 0: p 0.7 twice with one 0, once 0.3, once 0.95
    assert values["classwise_ece"] == pytest.approx(first), "of two classes, each mirrors the other"
    assert values["brier"] == pytest.approx(2 * (0.09 + 0.49 + 0.09 + 0.95**2) / 4)


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
    assert [name for name, value in values.items() if value is not None] == ["loss", "accuracy"]
    assert set(values) == set(scores_of((torch.zeros(1), raw[:1], torch.tensor([0]))).compute()) - {"classwise_ece"}


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
    assert not any(getattr(scores, name).any() for name in scores._defaults)


def test_sums_stay_float64_in_a_module_that_is_cast() -> None:
    """As FSDP casts them."""
    scores = Scores(text=False, num_classes=3)
    module = torch.nn.ModuleList([scores]).to(torch.float32)
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        scores.update({"loss": logits[:, 0]}, logits, logits.log_softmax(-1), torch.tensor([0, 1, 2, 0, 1]))
        assert {name: getattr(scores, name).dtype for name in ("sums", "bins", "by_class", "count")} == {
            **dict.fromkeys(("sums", "bins", "by_class"), torch.float64),
            "count": torch.int64,
        }
        module.to(torch.bfloat16)
        scores.reset()
