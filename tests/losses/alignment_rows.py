"""The table of the losses of sequences, each with an independent reference in NumPy; test_contract.py and
test_alignment.py ask it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.losses.alignment import AlignmentLoss
from src.losses.ce_aligned import AlignedCrossEntropyLoss
from src.losses.ctc import CTCLoss
from src.losses.ctc_smoothed import SmoothedCTCLoss
from src.losses.focal_ctc import FocalCTCLoss
from tests.losses.contract import Array, Entry

T, K = 9, 4
SEQUENCES = torch.tensor([[0, 1, 2, 3], [2, 2, 2, -1], [3, -1, -1, -1], [-1, -1, -1, -1], [1, 1, 0, 0], [0, 3, 3, 1]])
PATHS = torch.tensor(  # an alignment of each
    [
        *([0, 1, 1, 2, 0, 3, 3, 4, 0], [3, 3, 0, 3, 3, 0, 0, 3, 0], [0, 0, 0, 4, 4, 0, 0, 0, 0]),
        *([0] * 9, [2, 0, 2, 2, 0, 1, 0, 1, 1], [1, 4, 4, 0, 4, 0, 0, 2, 2]),
    ]
)
BASES = {"alignment"}


def log_softmax(z: Array) -> Array:
    return z - np.logaddexp.reduce(z, -1, keepdims=True)


def recursion(log_p: Array, sequence: list[int]) -> float:
    """-ln P of one line, (T, K + 1): the forward variables of Graves et al. 2006, equations 6 to 8, in logarithms."""
    extended = [0]
    for label in sequence:
        extended += [label + 1, 0]
    alpha = np.full(len(extended), -np.inf)
    alpha[:2] = log_p[0, extended[:2]]
    for frame in log_p[1:]:
        before = alpha
        alpha = np.full(len(extended), -np.inf)
        for s, label in enumerate(extended):
            ways = [before[s]] + ([before[s - 1]] if s else [])
            if s > 1 and label != 0 and label != extended[s - 2]:
                ways.append(before[s - 2])
            alpha[s] = np.logaddexp.reduce(ways) + frame[label]
    return -np.logaddexp.reduce(alpha[-2:])


def ctc_of(logits: Array, targets: Array) -> Array:
    lines = zip(log_softmax(logits), targets, strict=True)
    return np.array([recursion(log_p, [k for k in line if k >= 0]) for log_p, line in lines])


def ctc(logits: Array, targets: Array, path: Array, *, reduction: str) -> Array:
    lengths = [max(1, sum(k >= 0 for k in line)) for line in targets]
    return ctc_of(logits, targets) / (np.array(lengths) if reduction == "length" else 1)


def smoothed(logits: Array, targets: Array, path: Array, *, alpha: float) -> Array:
    """KL(u || p_t) term by term."""
    p, u = np.exp(log_softmax(logits)), 1 / logits.shape[-1]
    return ctc_of(logits, targets) + alpha * (u * np.log(u / p)).sum(-1).mean(-1)


def focal(logits: Array, targets: Array, path: Array, *, gamma: float) -> Array:
    nll = ctc_of(logits, targets)
    return (1 - np.exp(-nll)) ** gamma * nll


def aligned(logits: Array, targets: Array, path: Array) -> Array:
    p = np.exp(log_softmax(logits))
    return np.array([sum(-math.log(p[n, t, right]) for t, right in enumerate(line)) for n, line in enumerate(path)])


def uniform_ctc(frames: int, classes: int, length: int, repeats: int) -> float:
    return frames * math.log(classes + 1) - math.log(math.comb(frames + length - repeats, 2 * length))


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(logits (N, T, K + 1), targets (N, U), path (N, T), **arguments) -> (N,)``.
    uniform:   (frames, classes, length, repeats) -> the loss where all frames are uniform.
    """

    uniform: Callable[[int, int, int, int], float] = uniform_ctc
    task: str = "sequence"
    compiles: bool = False
    twice: bool = False

    def given(self, loss: AlignmentLoss) -> tuple[Tensor, ...]:
        g = torch.Generator().manual_seed(0)
        return 2 * torch.randn(6, T, K + 1, generator=g, dtype=torch.float64), SEQUENCES, PATHS


ROWS = [
    Row(
        name="ctc",
        cls=CTCLoss,
        kwargs={"reduction": "line"},
        reference=ctc,
        bad={"reduction": ["mean", None, 1, ["line"]]},
        boundary=[{"reduction": "length"}],
    ),
    Row(
        name="ctc_smoothed",
        cls=SmoothedCTCLoss,
        kwargs={"alpha": 1.0},
        reference=smoothed,
        bad={"alpha": [-0.01, "abc", float("nan"), float("inf"), True, None]},
        boundary=[{"alpha": 0}, {"alpha": 10}],
    ),
    Row(
        name="focal_ctc",
        cls=FocalCTCLoss,
        kwargs={"gamma": 2.0},
        reference=focal,
        bad={"gamma": [-0.01, "abc", float("nan"), float("inf"), True, None]},
        boundary=[{"gamma": 0}, {"gamma": 0.5}],
        uniform=lambda *sizes: (1 - math.exp(-uniform_ctc(*sizes))) ** 2 * uniform_ctc(*sizes),
    ),
    Row(
        name="ce_aligned",
        cls=AlignedCrossEntropyLoss,
        reference=aligned,
        uniform=lambda frames, classes, *_: frames * math.log(classes + 1),
        compiles=True,
        twice=True,
    ),
]
