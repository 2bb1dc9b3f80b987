"""How well one kind of thing is found by another, from similarities. Ties count against the right answer."""

import torch
from torch import Tensor


def places(scores: Tensor, answers: Tensor) -> Tensor:
    """(N, K), (N,) -> (N,): how many of the other K - 1 score no less than the right answer; 0 if it is found first."""
    own = scores.gather(-1, answers[:, None])
    return (~(scores < own)).sum(-1) - 1


def best_places(scores: Tensor, right: Tensor) -> Tensor:
    """(M, N), (M, N) bool -> (M,): how many wrong ones score no less than the best of the right ones, some in a row."""
    best = scores.masked_fill(~right, -torch.inf).amax(-1, keepdim=True)
    return (~(scores < best) & ~right).sum(-1)


def spelled(names: tuple[str, ...]) -> Tensor:
    """(K, W): the words of each name as numbers from 1, and 0 behind its end."""
    words = [name.split() for name in names]
    number = {word: i for i, word in enumerate(sorted({word for some in words for word in some}), 1)}
    longest = max(1, *map(len, words))
    return torch.tensor([[number[word] for word in some] + [0] * (longest - len(some)) for some in words])


def same_words(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """(N, W), (N, W) -> (N, W), (N, W): at which places two names have the same word, and at which either has one."""
    present = (one > 0) | (other > 0)
    return (one == other) & present, present
