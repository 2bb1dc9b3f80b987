"""Strings read out of the log-probabilities of frames, as connectionist temporal classification (CTC) means them.

A frame says one of K classes or, with index 0, none (blank). A path is what each frame says; its string is what is left
when repeats are joined and then blanks removed. The probability of a string is the sum over its paths.
Source: Graves et al. 2006, Connectionist Temporal Classification, ICML.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLANK = 0  # class k is index k + 1
LEAST = float("-inf")


def greedy(log_probs: Tensor) -> Tensor:
    """(N, T, K + 1) -> (N, T) classes, -1 behind the end: the string of the most probable path."""
    return collapsed(log_probs.argmax(-1))


def collapsed(path: Tensor) -> Tensor:
    """(N, T) indices -> (N, T) classes, -1 behind the end: the string of each path."""
    new = path != BLANK
    new[:, 1:] &= path[:, 1:] != path[:, :-1]
    last = path.shape[1]  # a column more takes what is left out
    place = torch.where(new, new.cumsum(1) - 1, last)
    string = path.new_full((len(path), last + 1), -1)
    return string.scatter(1, place, path - 1)[:, :last]


class Beam(NamedTuple):
    """Of each line W prefixes of strings, (N, W, T) classes, -1 behind the end, and how long they are, (N, W).

    Of their paths so far, log-probabilities (N, W): of those that end in a blank, and of those that end in a class.
    """

    prefixes: Tensor
    length: Tensor
    blank: Tensor
    spoken: Tensor


def beam_search(log_probs: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(N, T, K + 1) -> (N, T) classes, -1 behind the end, and (N,): the most probable string that prefix beam search
    finds with so many prefixes, and the log-probability that it has found of it, at most the true one.

    In float64. With as many prefixes as there are strings of up to T classes, nothing is left out, and both are exact.
    Source: Hannun et al. 2014, First-Pass Large Vocabulary Continuous Speech Recognition, arXiv:1408.2873.
    """
    log_probs = log_probs.double()
    lines, frames, _ = log_probs.shape
    prefixes = log_probs.new_full((lines, 1, frames), -1, dtype=torch.long)
    nothing = log_probs.new_zeros(lines, 1)
    beam = Beam(prefixes, prefixes.new_zeros(lines, 1), nothing, torch.full_like(nothing, LEAST))
    for frame in log_probs.unbind(1):
        beam = _after(beam, frame, width)
    best = torch.logaddexp(beam.blank, beam.spoken).max(1)
    return beam.prefixes.take_along_dim(best.indices[:, None, None], 1)[:, 0], best.values


def _after(beam: Beam, frame: Tensor, width: int) -> Beam:
    """The most probable prefixes after one frame more, (N, K + 1)."""
    n, classes = beam.length.shape[1], frame.shape[1] - 1
    last = beam.prefixes.take_along_dim((beam.length - 1).clamp_min(0)[..., None], 2)[..., 0]  # (N, W)
    total = torch.logaddexp(beam.blank, beam.spoken)
    again = beam.spoken + torch.where(last < 0, LEAST, frame.gather(1, last + 1))  # (N, W): the last class once more
    repeats = last[..., None] == torch.arange(classes, device=last.device)  # (N, W, K)
    longer = torch.where(repeats, beam.blank[..., None], total[..., None]) + frame[:, None, 1:]  # (N, W, K)
    again, longer = _joined(beam, last, again, longer.flatten(1))
    blank = total + frame[:, :1]
    chosen = torch.cat([torch.logaddexp(blank, again), longer], 1)  # (N, W + W K)
    chosen = chosen.topk(min(width, chosen.shape[1])).indices  # (N, width)
    extended, extension = chosen >= n, (chosen - n).clamp_min(0)
    parent = torch.where(extended, extension // classes, chosen)
    prefixes, length = beam.prefixes.take_along_dim(parent[..., None], 1), beam.length.gather(1, parent)
    end = length.clamp_max(prefixes.shape[2] - 1)[..., None]
    added = torch.where(extended[..., None], (extension % classes)[..., None], prefixes.gather(2, end))
    return Beam(
        prefixes.scatter(2, end, added),
        length + extended,
        torch.where(extended, LEAST, blank.gather(1, parent)),
        torch.where(extended, longer.gather(1, extension), again.gather(1, parent)),
    )


def _joined(beam: Beam, last: Tensor, again: Tensor, longer: Tensor) -> tuple[Tensor, Tensor]:
    """``again`` (N, W) and ``longer`` (N, W K): if a prefix with a class more is another prefix of the beam, its paths
    are that one's. A beam with more room than there are strings holds copies without any path, which do not count."""
    begin = beam.prefixes.scatter(2, (beam.length - 1).clamp_min(0)[..., None], -1)  # (N, W, T): without the last class
    alive = torch.logaddexp(beam.blank, beam.spoken) > LEAST
    parents = (begin[:, :, None] == beam.prefixes[:, None]).all(-1)  # (N, W, W): of each prefix all others
    parents &= (alive & (beam.length > 0))[..., None] & alive[:, None]
    known = parents.any(-1)  # no prefix has two, since prefixes differ
    place = parents.int().argmax(-1) * (longer.shape[1] // last.shape[1]) + last.clamp_min(0)
    again = torch.where(known, torch.logaddexp(again, longer.gather(1, place)), again)
    taken = torch.zeros_like(longer).scatter_add(1, place, known.to(longer))
    return again, longer.masked_fill(taken > 0, LEAST)
