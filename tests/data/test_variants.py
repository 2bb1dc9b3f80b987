"""Two classes, long tails and wrong labels: each against its definition, and validation and test as they were."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from src.data.base import DataError, generator
from src.data.images import ImageData
from src.data.labels import class_index, long_tail, noisy, two_groups
from src.data.mnist import MNIST5k
from src.losses.bce import BinaryCrossEntropyLoss
from src.metrics.scores import Scores
from tests.data.settings import digits, examples, image_settings

NAMES = tuple("0123456789")


def test_noise_is_at_its_rate_and_uniform_over_the_other_classes() -> None:
    labels, n = torch.arange(10).repeat(5000), 50_000
    given = noisy(labels, 10, 0.3, generator("test"))
    wrong = given != labels
    assert stats.binomtest(int(wrong.sum()), n, 0.3).pvalue > 0.01
    assert stats.chisquare([int(wrong[labels == k].sum()) for k in range(10)]).pvalue > 0.01
    steps = torch.bincount((given - labels)[wrong] % 10, minlength=10)
    assert steps[0] == 0
    assert stats.chisquare(steps[1:].numpy()).pvalue > 0.01
    assert torch.equal(noisy(labels, 10, 0.0, generator("test")), labels)


def by_image(data: ImageData, split: str) -> dict[bytes, int]:
    images, labels = examples(data, split)
    return {image.numpy().tobytes(): int(y) for image, y in zip(images, labels, strict=True)}


def test_an_image_has_the_same_wrong_label_in_every_subset() -> None:
    clean, whole = digits(), digits(label_noise=0.5)
    some = digits(label_noise=0.5, train_examples=700, val_fraction=0.3)
    true, given, subset = by_image(clean, "train"), by_image(whole, "train"), by_image(some, "train")
    assert true.keys() == given.keys()
    wrong = sum(true[image] != given[image] for image in true)
    assert stats.binomtest(wrong, 3600, 0.5).pvalue > 0.01
    shared = subset.keys() & given.keys()
    assert len(shared) > 300
    assert all(subset[image] == given[image] for image in shared)
    assert whole.spec.class_counts == tuple(torch.bincount(examples(whole, "train")[1]).tolist()) != (360,) * 10


@pytest.mark.parametrize("imbalance", [1, 3.5, 10, 100])
def test_long_tail_keeps_what_the_formula_says(imbalance: float) -> None:
    data = digits(imbalance=imbalance)
    expected = tuple(int(360 * imbalance ** (-k / 9) + 1e-9) for k in range(10))
    assert data.spec.class_counts == expected
    assert torch.bincount(examples(data, "train")[1]).tolist() == list(expected)
    plain = digits()
    for split in ("val", "test"):
        torch.testing.assert_close(examples(data, split), examples(plain, split))
    assert by_image(data, "train").items() <= by_image(plain, "train").items()


def test_published_counts_of_long_tailed_cifar() -> None:
    """CIFAR-10-LT at 100: Cao et al. 2019, arXiv:1906.07413, by their code."""
    expected = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tail(torch.full((10,), 5000), 100).tolist() == expected


@given(st.lists(st.integers(1, 500), min_size=2, max_size=12), st.floats(1, 50))
@settings(max_examples=200)
def test_long_tail_takes_no_more_than_there_is(counts: list[int], imbalance: float) -> None:
    shares = [imbalance ** (-k / (len(counts) - 1)) for k in range(len(counts))]
    largest = min(n / share for n, share in zip(counts, shares, strict=True))
    if largest * shares[-1] < 1:
        return
    kept = long_tail(torch.tensor(counts), imbalance).tolist()
    assert all(0 < k <= n for k, n in zip(kept, counts, strict=True))
    assert all(abs(k - largest * share) < 1 for k, share in zip(kept, shares, strict=True))
    assert any(k == n for k, n in zip(kept, counts, strict=True))  # no more would do


def test_train_examples_are_taken_of_the_long_tail_in_its_proportions() -> None:
    tail, some = digits(imbalance=10), digits(imbalance=10, train_examples=600)
    assert sum(some.spec.class_counts) == 600
    share = 600 / sum(tail.spec.class_counts)
    assert all(abs(k - share * n) < 1 for k, n in zip(some.spec.class_counts, tail.spec.class_counts, strict=True))


def test_odd_and_even_digits() -> None:
    data, plain = digits(binary="odd_even"), digits()
    assert data.spec.class_names == ("even", "odd")
    assert data.spec.class_counts == (1800, 1800)
    assert torch.equal(examples(data, "test")[1], examples(plain, "test")[1] % 2)
    assert [len(examples(data, split)[1]) for split in ("train", "val", "test")] == [3600, 400, 1000]


def test_lists_of_classes_leave_out_the_others() -> None:
    data, plain = digits(binary=[[8, "1"], [3]]), digits()
    assert data.spec.class_names == ("1, 8", "3")
    for split, sizes in (("train", (720, 360)), ("val", (80, 40)), ("test", (200, 100))):
        assert tuple(torch.bincount(examples(data, split)[1]).tolist()) == sizes
    images, labels = examples(plain, "test")
    chosen = (labels == 8) | (labels == 1) | (labels == 3)
    assert torch.equal(examples(data, "test")[0], images[chosen])
    assert torch.equal(examples(data, "test")[1], (labels[chosen] == 3).long())


def test_names_of_many_classes_stay_short() -> None:
    names = tuple(f"kind{i}" for i in range(50))
    new, both = two_groups([list(range(40)), ["kind49"]], names)
    assert both == ("kind0, kind1, kind2 and 37 more", "kind49")
    assert torch.bincount(new + 1).tolist() == [9, 40, 1]


def test_all_options_together() -> None:
    data = digits(binary="odd_even", imbalance=4, train_examples=1000, label_noise=0.1, mixup="cutmix", pad=2)
    x, targets = data.train_batch(0, 0)
    assert x.shape == (64, 1, 28, 28) and targets.shape == (64, 2)
    assert sum(data.spec.class_counts) == 1000
    assert 0.68 < data.spec.class_counts[0] / 1000 < 0.80  # 4 : 1, then a tenth of each changes sides: 0.74


def test_metrics_of_one_logit_are_those_of_its_two_probabilities() -> None:
    data = digits(binary="odd_even")
    loss = BinaryCrossEntropyLoss(smoothing=0.0, class_weights=None, effective_number_beta=None)
    x, y = data.eval_batch("test", 0)
    z = x.flatten(1).sum(1, keepdim=True) / 100
    assert loss.outputs(data.spec.num_classes) == z.shape[1] == 1
    scores = Scores(text=False)
    scores.update({"loss": loss(z, y)}, z, loss.log_probs(z), y)
    p = torch.sigmoid(z[:, 0].double())
    truth = torch.where(y == 1, p, 1 - p)
    got = scores.compute()
    assert got["nll"] == pytest.approx(-truth.log().mean().item(), rel=1e-6)
    assert got["accuracy"] == pytest.approx(((p > 0.5) == (y == 1)).double().mean().item())
    assert got["confidence"] == pytest.approx(torch.maximum(p, 1 - p).mean().item(), rel=1e-6)
    assert got["loss"] == pytest.approx(got["nll"], rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_noise": 1.0}, "label_noise must be a number >= 0 and < 1, got 1.0"),
        ({"label_noise": -0.1}, "label_noise must be a number >= 0 and < 1, got -0.1"),
        ({"imbalance": 0.5}, "imbalance must be a number >= 1, got 0.5"),
        *(
            ({"binary": value}, "binary must be null, odd_even or two lists of classes, got")
            for value in ("even", [[0, 1]], [[0], []], [0, 1], ["01", "23"], [[True], [1]], [[0.5], [1]], 3)
        ),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MNIST5k(**image_settings(**changes))


def test_what_the_data_cannot_give() -> None:
    with pytest.raises(DataError, match=r"data.binary: there is no class 10; the classes are 0, 1, 2, .*, 9"):
        two_groups([[0], [10]], NAMES)
    with pytest.raises(DataError, match="there is no class 'cat'"):
        two_groups([[0], ["cat"]], NAMES)
    with pytest.raises(DataError, match="class 3 is there twice"):
        two_groups([[3, 4], ["3"]], NAMES)
    for names in (("cat", "dog"), ("2", "4"), ("1", "2", "ten")):
        with pytest.raises(DataError, match=f"odd_even needs even and odd numbers as classes, here are {names[0]}"):
            two_groups("odd_even", names)
    with pytest.raises(DataError, match=r"data.imbalance=1000 leaves the last class no example of 360"):
        digits(imbalance=1000)


def test_noise_changes_nothing_but_training_labels() -> None:
    data, clean = digits(label_noise=0.3), digits()
    assert torch.equal(examples(data, "train")[0], examples(clean, "train")[0])
    assert not torch.equal(examples(data, "train")[1], examples(clean, "train")[1])
    for split in ("val", "test"):
        torch.testing.assert_close(examples(data, split), examples(clean, split), rtol=0, atol=0)


def test_without_a_class_training_alone_loses_it() -> None:
    whole, some = digits(), digits(without=[3, "5"])
    labels = torch.bincount(examples(some, "train")[1], minlength=10)
    assert labels.tolist() == [360, 360, 360, 0, 360, 0, 360, 360, 360, 360]
    assert some.spec.class_counts == tuple(labels.tolist())
    assert some.spec.class_names == whole.spec.class_names
    for split in ("val", "test"):
        torch.testing.assert_close(examples(some, split), examples(whole, split))


FROM_ONE = tuple(map(str, range(1, 13)))
ANIMALS = ("cat", "dog", "eel")


@pytest.mark.parametrize(
    ("member", "names", "expected"),
    [
        (2, FROM_ONE, "2"),  # index 2 is the class 3
        ("2", FROM_ONE, "2"),
        (12, FROM_ONE, "12"),
        (2, sorted(FROM_ONE), "2"),  # as a folder has them: 1, 10, 11, 12, 2, ...
        (2, ANIMALS, "eel"),
        ("dog", ANIMALS, "dog"),
        (1, ("1", "dog"), "1"),
        (-1, ("-1", "dog"), "-1"),
    ],
)
def test_a_number_is_a_name_where_there_is_one(member: int | str, names: tuple[str, ...], expected: str) -> None:
    assert names[class_index("without", member, names)] == expected


@pytest.mark.parametrize(
    ("member", "names"),
    [(0, FROM_ONE), (13, FROM_ONE), (0, ("1", "dog")), (1, ("01", "02")), (3, ANIMALS), (-1, ANIMALS), ("1", ANIMALS)],
)
def test_a_number_that_could_be_meant_in_two_ways_is_refused(member: int | str, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"data.without: there is no class {member!r}; the classes are {names[0]}, "):
        class_index("without", member, names)


@pytest.mark.parametrize("without", [3, "3", [True], [0.5], [[3]], [None]])
def test_without_is_a_list_of_classes(without: Any) -> None:
    with pytest.raises(ValueError, match="without must be a list of classes, by name or index, got"):
        MNIST5k(**image_settings(without=without))
