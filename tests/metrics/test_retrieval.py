"""Places in a ranking against a sort in NumPy, ties and numbers that are none included."""

import numpy as np
import torch

from src.metrics.retrieval import best_places, places, same_words, spelled


def test_places_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(0)
    scores, answers = rng.standard_normal((50, 20)), rng.integers(0, 20, 50)
    expected = [list(np.argsort(-row)).index(answer) for row, answer in zip(scores, answers, strict=True)]
    assert places(torch.tensor(scores), torch.tensor(answers)).tolist() == expected


def test_ties_count_against_the_right_answer() -> None:
    """Else a network that gives the same embedding to everything would find everything."""
    same = torch.zeros(2, 10)
    assert places(same, torch.tensor([0, 9])).tolist() == [9, 9]
    right = torch.zeros(2, 10, dtype=torch.bool)
    right[0, :2] = right[1, 5] = True
    assert best_places(same, right).tolist() == [8, 9]


def test_what_is_no_number_is_found_last() -> None:
    assert places(torch.full((1, 5), torch.nan), torch.tensor([2])).tolist() == [4]


def test_the_best_of_several_right_ones_counts() -> None:
    rng = np.random.default_rng(1)
    scores, right = rng.standard_normal((30, 15)), rng.random((30, 15)) < 0.2
    right[:, 3] = True
    expected = [
        next(place for place, k in enumerate(np.argsort(-row)) if of_row[k])
        for row, of_row in zip(scores, right, strict=True)
    ]
    assert best_places(torch.tensor(scores), torch.tensor(right)).tolist() == expected


def test_words_are_compared_place_by_place() -> None:
    words = spelled(("two one two", "one one two", "ten", "two ten"))
    same, present = same_words(words[[0, 0, 2, 2, 0]], words[[1, 0, 2, 3, 2]])
    assert same.sum(1).tolist() == [2, 3, 1, 0, 0] and present.sum(1).tolist() == [3, 3, 1, 2, 3]
