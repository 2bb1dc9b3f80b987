"""How many characters of a sequence have to be edited until it is another one."""

from typing import NamedTuple

import torch
from torch import Tensor

ONE = 2**20  # the cost of an edit; a substitution costs 1 less, so that of equally few edits it is preferred


class Edits(NamedTuple):
    """Of each sequence, (N,) int64: how many of its target's characters are wrong in it or lack, and how many it has
    that its target has not."""

    substitutions: Tensor
    deletions: Tensor
    insertions: Tensor

    @property
    def total(self) -> Tensor:
        """The edit distance of Levenshtein, (N,)."""
        return self.substitutions + self.deletions + self.insertions


def edits(guess: Tensor, target: Tensor) -> Edits:
    """(N, V), (N, U) classes, both -1 behind the end -> the fewest edits that make of each target its guess.

    Where several ways need equally few, that with the most substitutions counts: so kinds are no matter of chance.
    Source: Wagner & Fischer 1974, Journal of the ACM 21, 168.
    """
    written, wanted = (guess >= 0).sum(1), (target >= 0).sum(1)  # (N,), (N,)
    place = ONE * torch.arange(target.shape[1] + 1, device=target.device)  # (U + 1,)
    cost = place.expand(len(target), -1)  # (N, U + 1): of target[:j] and nothing
    for v in range(guess.shape[1]):
        same = guess[:, v, None] == target  # (N, U)
        inserted, replaced = cost + ONE, cost[:, :-1] + (ONE - 1) * ~same
        least = torch.cat([inserted[:, :1], torch.minimum(inserted[:, 1:], replaced)], 1)
        least = (least - place).cummin(1).values + place  # deleted: from the column before
        cost = torch.where((v < written)[:, None], least, cost)
    found = cost.gather(1, wanted[:, None])[:, 0]  # (N,)
    total = -(-found // ONE)
    substitutions, more = total * ONE - found, written - wanted
    insertions = (total - substitutions + more) // 2
    return Edits(substitutions, insertions - more, insertions)
