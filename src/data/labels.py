"""Other questions asked of the same images: two classes, a long tail, wrong labels."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .base import DataError
from .resident import Rows

Groups = str | Sequence[Sequence[int | str]] | None


def members_of(name: str, value: Any) -> Sequence[int | str]:
    """Return ``value`` if it is a list of class names or indices; ValueError otherwise."""
    valid = isinstance(value, Sequence) and not isinstance(value, str)
    if not valid or any(isinstance(m, bool) or not isinstance(m, int | str) for m in value):
        raise ValueError(f"{name} must be a list of classes, by name or index, got {value!r}")
    return value


def groups_of_classes(name: str, value: Any) -> Groups:
    """Return ``value`` if it is None, odd_even, or two lists of class names or indices; ValueError otherwise."""
    if value is None or value == "odd_even":
        return value
    with contextlib.suppress(ValueError):
        if isinstance(value, Sequence) and len(value) == 2 and all(members_of(name, group) for group in value):
            return value
    raise ValueError(f"{name} must be null, odd_even or two lists of classes, got {value!r}")


def two_groups(groups: str | Sequence[Sequence[int | str]], names: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """(K,) the new class 0 or 1 of each class, or -1 where it is in neither group; and the two new names.

    odd_even: class 0 is the even numbers, class 1 the odd ones, by the classes' names. Raises DataError.
    """
    if groups == "odd_even":
        parity = torch.tensor([int(name) % 2 if name.isdecimal() else -1 for name in names])
        if set(parity.tolist()) != {0, 1}:
            raise DataError(f"data.binary=odd_even needs even and odd numbers as classes, here are {listed(names, 10)}")
        return parity, ("even", "odd")
    new = torch.full((len(names),), -1)
    for k, group in enumerate(groups):
        for member in group:
            index = class_index("binary", member, names)
            if new[index] >= 0:
                raise DataError(f"data.binary: class {names[index]} is there twice")
            new[index] = k
    first, second = ([name for name, to in zip(names, new, strict=True) if to == k] for k in (0, 1))
    return new, (listed(first, 3), listed(second, 3))


def class_index(key: str, member: int | str, names: Sequence[str]) -> int:
    """The index of a class given by its name, as text or number, or by its index.

    A number is a name where any class has a number for its name, else an index. Raises DataError.
    """
    if str(member) in names:
        return names.index(str(member))
    numbers = any(name.isdecimal() for name in names)
    if isinstance(member, int) and 0 <= member < len(names) and not numbers:
        return member
    why = ", where numbers are names" if isinstance(member, int) and numbers else ""
    raise DataError(f"data.{key}: there is no class {member!r}; the classes are {listed(names, 10)}{why}")


def places(data: str, names: Sequence[str], known: Sequence[str]) -> Tensor:
    """(K,) the index in ``known`` of each of ``names``. Raises DataError where they are not the same classes."""
    if sorted(names) != sorted(known):
        odd = [name for name in (*names, *known) if (name in names) != (name in known)]
        raise DataError(
            f"{data} has other classes than the model: {len(names)} there, {len(known)} in the model"
            f" (they differ in {listed([repr(name) for name in odd], 5)})"
        )
    return torch.tensor([known.index(name) for name in names])


def listed(names: Sequence[str], most: int) -> str:
    """The names, or the first ``most`` of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def relabelled(images: Rows, labels: Tensor, new: Tensor) -> tuple[Rows, Tensor]:
    """Images and labels with class k called ``new[k]``, without those whose new class is negative."""
    labels = new[labels]
    kept = (labels >= 0).nonzero().flatten()
    return images.of(kept), labels[kept]


def long_tail(counts: Tensor, imbalance: float) -> Tensor:
    """(K,) examples of each class -> how many it keeps: n_k = n_max imbalance^(-k / (K - 1)), rounded down.

    The first class keeps ``imbalance`` times as many as the last. n_max is the largest for which every class has
    enough: where classes are equal, their size; imbalance = 1 makes all equal. Raises DataError where none is left.
    Source: Cui et al. 2019, arXiv:1901.05555, section 5.1 (who thin each class by its own size).
    """
    share = imbalance ** -torch.linspace(0, 1, len(counts), dtype=torch.float64)
    kept = ((counts / share).min() * share + 1e-9).floor().long()  # 1e-9: what is whole stays so when rounded
    if kept.min() == 0:
        raise DataError(f"data.imbalance={imbalance:g} leaves the last class no example of {int(counts[-1])}")
    return kept


def noisy(labels: Tensor, classes: int, rate: float, g: torch.Generator) -> Tensor:
    """(N,) -> (N,): each label is replaced, with probability ``rate``, by one of the other classes, all alike.

    So ``rate`` is the share of wrong labels; code that draws from all classes has only rate (K - 1) / K of them.
    Source: symmetric noise of Ghosh et al. 2017, arXiv:1712.09482, and Zhang & Sabuncu 2018, arXiv:1805.07836.
    """
    wrong = torch.rand(len(labels), generator=g, dtype=torch.float64) < rate
    other = (labels + torch.randint(1, classes, labels.shape, generator=g)) % classes
    return torch.where(wrong, other, labels)
