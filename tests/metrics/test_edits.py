"""Edits against recursion over all ways, another library, and by hand."""

import functools
import itertools

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.text import edit_distance

from src.metrics.edits import edits


def padded(*strings: tuple[int, ...] | str) -> Tensor:
    longest = max(map(len, strings), default=0)
    rows = [[int(one) for one in string] + [-1] * (longest + 1 - len(string)) for string in strings]
    return torch.tensor(rows)


@functools.cache
def ways(guess: str, target: str) -> tuple[int, int, int, int]:
    """Edits, and of the ways with the fewest that with the most substitutions: minus these, deletions, insertions."""
    if not guess or not target:
        return len(guess) + len(target), 0, len(target), len(guess)
    tried = [ways(guess[1:], target[1:])] if guess[0] == target[0] else []
    total, less, deleted, inserted = ways(guess[1:], target[1:])
    tried += [(total + 1, less - 1, deleted, inserted)] if guess[0] != target[0] else []
    total, less, deleted, inserted = ways(guess, target[1:])
    tried.append((total + 1, less, deleted + 1, inserted))
    total, less, deleted, inserted = ways(guess[1:], target)
    tried.append((total + 1, less, deleted, inserted + 1))
    return min(tried)


def test_all_pairs_of_short_strings() -> None:
    """Of up to four of two classes: 961 pairs, at once and of several lengths."""
    strings = ["".join(part) for n in range(5) for part in itertools.product("01", repeat=n)]
    pairs = list(itertools.product(strings, strings))
    found = edits(padded(*(guess for guess, _ in pairs)), padded(*(target for _, target in pairs)))
    expected = [ways(*pair) for pair in pairs]
    assert found.total.tolist() == [total for total, *_ in expected]
    assert found.substitutions.tolist() == [-less for _, less, _, _ in expected]
    assert found.deletions.tolist() == [deleted for *_, deleted, _ in expected]
    assert found.insertions.tolist() == [inserted for *_, inserted in expected]


def test_long_strings_against_torchmetrics() -> None:
    g = torch.Generator().manual_seed(3)
    lengths = torch.randint(0, 40, (2, 60), generator=g)
    guesses, targets = (
        ["".join(map(str, torch.randint(0, 10, (n,), generator=g).tolist())) for n in of] for of in lengths.tolist()
    )
    found = edits(padded(*guesses), padded(*targets))
    assert found.total.tolist() == edit_distance(guesses, targets, reduction="none").tolist()
    assert (found.deletions - found.insertions == lengths[1] - lengths[0]).all()


@pytest.mark.parametrize(
    ("guess", "target", "expected"),
    [("123", "123", (0, 0, 0)), ("", "12", (0, 2, 0)), ("12", "", (0, 0, 2)), ("", "", (0, 0, 0)),
     ("193", "123", (1, 0, 0)), ("13", "123", (0, 1, 0)), ("1223", "123", (0, 0, 1)), ("21", "12", (2, 0, 0))],
)  # fmt: skip
def test_by_hand(guess: str, target: str, expected: tuple[int, int, int]) -> None:
    assert tuple(int(part) for part in edits(padded(guess), padded(target))) == expected


def test_no_lines_and_no_columns() -> None:
    empty = edits(torch.empty(0, 3, dtype=torch.long), torch.empty(0, 2, dtype=torch.long))
    assert empty.total.shape == (0,)
    assert edits(torch.empty(2, 0, dtype=torch.long), padded("1", "22")).deletions.tolist() == [1, 2]
    assert edits(padded("1", "22"), torch.empty(2, 0, dtype=torch.long)).insertions.tolist() == [1, 2]
