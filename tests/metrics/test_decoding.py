"""Strings of paths, and the beam, against sums over all paths of tiny cases."""

import itertools
import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor

from src.metrics.decoding import beam_search, collapsed, greedy


def string_of(path: tuple[int, ...]) -> tuple[int, ...]:
    """By the definition: join repeats, then leave out blanks."""
    return tuple(index - 1 for index, _ in itertools.groupby(path) if index != 0)


def as_string(row: Tensor) -> tuple[int, ...]:
    classes = row.tolist()
    end = classes.index(-1) if -1 in classes else len(classes)
    assert set(classes[end:]) <= {-1}
    return tuple(classes[:end])


def probabilities(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """(T, K + 1) -> each string's probability, summed over all (K + 1)^T paths in float64."""
    frames, outputs = log_probs.shape
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(outputs), repeat=frames):
        found[string_of(path)] += math.exp(sum(log_probs[t, k].item() for t, k in enumerate(path)))
    return found


def drawn(lines: int, frames: int, outputs: int, seed: int = 0, sharpness: float = 1.0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(lines, frames, outputs, generator=g, dtype=torch.float64)).log_softmax(-1)


def test_all_paths_collapse_as_defined() -> None:
    paths = list(itertools.product(range(3), repeat=5))
    found = collapsed(torch.tensor(paths))
    assert [as_string(row) for row in found] == [string_of(path) for path in paths]


def test_greedy_is_the_string_of_the_best_path() -> None:
    log_probs = drawn(50, 6, 3)
    for row, line in zip(greedy(log_probs), log_probs, strict=True):
        best = max(itertools.product(range(3), repeat=6), key=lambda path: sum(line[t, k] for t, k in enumerate(path)))
        assert as_string(row) == string_of(best)


@pytest.mark.parametrize(("frames", "outputs"), [(1, 2), (4, 3), (5, 3), (6, 2), (3, 4)])
def test_a_beam_that_leaves_nothing_out_finds_the_most_probable_string(frames: int, outputs: int) -> None:
    log_probs = drawn(12, frames, outputs, seed=frames)
    every = sum((outputs - 1) ** n for n in range(frames + 1))
    strings, log_p = beam_search(log_probs, every)
    greedy_is_less = 0
    for i, line in enumerate(log_probs):
        found = probabilities(line)
        best = max(found, key=lambda string: found[string])
        assert as_string(strings[i]) == best
        assert log_p[i].item() == pytest.approx(math.log(found[best]), abs=1e-12)
        greedy_is_less += found[as_string(greedy(line[None])[0])] < found[best] - 1e-12
    if (frames, outputs) == (5, 3):
        assert greedy_is_less, "or the beam proves nothing"


def test_a_narrow_beam_never_says_more_than_the_truth() -> None:
    """Its strings are among the most probable ones, and the paths that it lost are missing in its probability."""
    log_probs = drawn(20, 6, 3, seed=4)
    for width in (1, 2, 5):
        strings, log_p = beam_search(log_probs, width)
        for i, line in enumerate(log_probs):
            truth = probabilities(line)[as_string(strings[i])]
            assert log_p[i].exp().item() <= truth + 1e-12
    assert (beam_search(log_probs, 10)[1] >= beam_search(log_probs, 2)[1] - 1e-12).all()


def test_many_lines_are_as_one_by_one() -> None:
    log_probs = drawn(8, 20, 11, sharpness=3)
    strings, log_p = beam_search(log_probs, 10)
    for i in range(8):
        alone, alone_p = beam_search(log_probs[i : i + 1], 10)
        assert torch.equal(strings[i], alone[0]) and log_p[i] == alone_p[0]


def test_the_beam_s_log_probability_is_that_of_ctc() -> None:
    """A sharp network's string of 48 frames: with a wide beam nearly nothing is lost, as torch's ctc_loss says."""
    log_probs = drawn(6, 48, 11, sharpness=20)
    strings, log_p = beam_search(log_probs, 200)
    lengths = (strings >= 0).sum(1)
    nll = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1), (strings + 1).clamp_min(1), torch.full((6,), 48), lengths, reduction="none"
    )
    assert (log_p <= -nll + 1e-9).all()
    assert torch.allclose(log_p, -nll, atol=0.01)


def test_impossible_frames_and_no_lines() -> None:
    """Classes of probability 0, as a softmax in half precision gives; and a batch of none."""
    log_probs = torch.full((1, 4, 3), -math.inf, dtype=torch.float64)
    for t, index in enumerate((1, 1, 0, 2)):
        log_probs[0, t, index] = 0.0
    for width in (1, 10):
        strings, log_p = beam_search(log_probs, width)
        assert as_string(strings[0]) == (0, 1) == as_string(greedy(log_probs)[0])
        assert log_p[0] == 0
    assert beam_search(log_probs[:0], 10)[0].shape == (0, 4)
    assert greedy(log_probs[:0]).shape == (0, 4)
