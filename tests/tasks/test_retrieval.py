"""The task of retrieval, with towers whose embeddings are known."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from src.data.base import Batch, Chance, EvalLoader, Spec
from src.figures.retrieval import some_pairs
from src.losses.ce import CrossEntropyLoss
from src.losses.clip import ContrastiveLanguageImageLoss
from src.losses.siglip import SigmoidLanguageImageLoss
from src.models.base import Network
from src.tasks.retrieval import RetrievalTask

K, D = 30, 6
NAMES = tuple(f"{'abcde'[k // 6]} {'uvwxyz'[k % 6]}" for k in range(K))
COUNTS = tuple(0 if k % 5 == 0 else 3 for k in range(K))  # every fifth caption is unseen
SPEC = Spec("image", (1, 2, 3), NAMES, COUNTS, (0.5,), (2.0,))


class Known(Network):
    """The embedding of an image is its pixels, of a caption a fixed vector."""

    inputs, gives = "image", "towers"

    def __init__(self, **scalars: float) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.register_buffer("table", normalize(torch.randn(K, D, generator=g, dtype=torch.float64), dim=-1))
        self.scalars = nn.ParameterDict({name: nn.Parameter(torch.tensor([v]).double()) for name, v in scalars.items()})

    def forward(self, x: Tensor) -> Tensor:
        return normalize(x.flatten(1), dim=-1)

    def texts(self, classes: Tensor) -> Tensor:
        return self.all_texts()[classes]

    def all_texts(self) -> Tensor:
        assert isinstance(self.table, Tensor)
        return self.table


def task(loss: nn.Module | None = None, **scalars: float) -> RetrievalTask:
    return RetrievalTask(
        model=Known(**(scalars or {"log_scale": math.log(12)})), loss=loss or ContrastiveLanguageImageLoss(), spec=SPEC
    )


def batch(n: int = 100, noise: float = 0.35) -> Batch:
    """Images near to the embedding of their caption."""
    g = torch.Generator().manual_seed(1)
    targets = torch.randint(K, (n,), generator=g)
    x = Known(log_scale=0.0).all_texts()[targets] + noise * torch.randn(n, D, generator=g, dtype=torch.float64)
    return Batch(x.view(n, 1, 2, 3), targets, Chance("test", 0, size=n))


def outcome(found: RetrievalTask, given: Batch) -> tuple[dict[str, Tensor], dict[str, Any]]:
    found.eval()
    with torch.no_grad():
        answer = found.test_step(given, 0)
    examples = found.examples(answer)
    return examples, found.test_scores.compute() | found.conclude(examples)["metrics"]


def test_an_image_finds_its_caption_among_all() -> None:
    """Against a loop in NumPy over images and captions."""
    given = batch()
    examples, metrics = outcome(task(), given)
    a = given.inputs.flatten(1).numpy()
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    cosine, y = a @ Known(log_scale=0.0).all_texts().numpy().T, given.targets.numpy()
    order = np.argsort(-cosine, 1)
    first = order[:, 0] == y
    unseen = np.array(COUNTS)[y] == 0
    p = np.exp(12 * cosine) / np.exp(12 * cosine).sum(1, keepdims=True)
    words = np.array([name.split() for name in NAMES])
    expected = {
        "recall_at_1": first.mean(),
        "recall_at_5": (order[:, :5] == y[:, None]).any(1).mean(),
        "unseen_recall_at_1": first[unseen].mean(),
        "seen_recall_at_1": first[~unseen].mean(),
        "nll": -np.log(p[np.arange(len(y)), y]).mean(),
        "confidence": p.max(1).mean(),
        "word_accuracy": (words[order[:, 0]] == words[y]).mean(),
        "scale": 12.0,
    }
    for k in (1, 5):
        best = [(y[np.argsort(-cosine[:, c])[:k]] == c).any() for c in np.unique(y)]
        expected[f"text_recall_at_{k}"] = np.mean(best)
    assert 0.3 < expected["recall_at_1"] < 0.95 and 0 < expected["unseen_recall_at_1"] < 1
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name
    assert examples["guess"].tolist() == order[:, 0].tolist()


def test_the_ece_and_each_place_of_words() -> None:
    given = batch()
    found = task()
    examples, metrics = outcome(found, given)
    confidence, right = examples["confidence"].numpy(), examples["recall_at_1"].numpy()
    bins = np.ceil(confidence * 15).astype(int)
    gaps = [abs((right - confidence)[bins == b].sum()) for b in range(1, 16)]
    assert metrics["ece"] == pytest.approx(sum(gaps) / 100)
    concluded = found.conclude(examples)
    words = np.array([name.split() for name in NAMES])
    same = words[examples["guess"]] == words[given.targets]
    assert concluded["places"] == pytest.approx(same.mean(0)) and len(concluded["places"]) == 2
    assert concluded["floors"]["chance"] == pytest.approx(
        {
            **{"recall_at_1": 1 / 30, "recall_at_5": 5 / 30, "unseen_recall_at_1": 1 / 30, "seen_recall_at_1": 1 / 30},
            **{"text_recall_at_1": 1 / len(given.targets.unique()), "nll": math.log(30)},
            "word_accuracy": (1 / 5 + 1 / 6) / 2,
        }
    )


def test_one_embedding_for_everything_finds_nothing() -> None:
    found = task()
    found.model.table[:] = torch.eye(D)[0]  # products without rounding
    _, metrics = outcome(found, batch())
    assert metrics["recall_at_5"] == 0 and metrics["text_recall_at_5"] <= 5 / K  # all captions find the same images
    assert metrics["nll"] == pytest.approx(math.log(30))


def test_training_minimises_the_loss_of_the_batch_and_looks_at_no_other_caption() -> None:
    found, given = task(SigmoidLanguageImageLoss(), log_scale=1.0, bias=-2.0), batch(10)
    value, (terms, answer) = found.batch_loss(found.prepare(given))
    a, b = found.model(given.inputs), found.model.texts(given.targets)
    expected = found.loss(a, b, given.targets, **found.model.scalars)
    torch.testing.assert_close(value, expected.mean())
    assert terms["loss"].shape == (10,) and answer.keys() == {"targets"}
    found.tally([(terms, answer)])
    assert found.train_scores.compute() == pytest.approx(
        {"loss": value.item(), "scale": math.e, "bias": -2.0}, rel=1e-6
    )


def test_a_step_cannot_take_the_scale_above_its_bound() -> None:
    found = task(log_scale=4.7)
    with torch.no_grad():
        found.stepped()
    assert found.model.scalars["log_scale"].exp().item() == pytest.approx(100)
    below = task(log_scale=4.5)
    with torch.no_grad():
        below.stepped()
    assert below.model.scalars["log_scale"].item() == 4.5


def test_a_rank_without_examples_computes_along() -> None:
    found, given = task(), batch(8)
    found.eval()
    terms, answer = found.examine({"inputs": given.inputs, "targets": given.targets[:0]})
    assert terms["loss"].shape == (0,) and len(answer["logits"]) == 0
    assert all(len(column) == 0 for column in found.examples(answer).values())


def test_pairs_of_the_picture_are_half_unseen() -> None:
    seen = torch.tensor(COUNTS) > 0
    chosen = some_pairs(torch.arange(K).repeat(2), seen)
    assert seen[chosen].tolist() == [True] * 5 + [False] * 5
    assert len(some_pairs(torch.tensor([1, 1, 2]), seen)) == 2  # of two captions, none unseen


def test_pictures_are_drawn() -> None:
    given = batch()
    loader = EvalLoader(lambda index: (given.inputs, given.targets), range(1), "test")
    found = task()
    examples, metrics = outcome(found, given)
    result = found.conclude(examples) | {"metrics": {"test": metrics}}

    def names() -> Iterator[str]:
        for name, figure in found.pictures("one\ntwo", result, examples, loader):
            assert figure.get_size_inches()[0] == 3.5
            yield name

    assert list(names()) == ["similarity", "captions", "mistakes", "reliability"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="CrossEntropyLoss is no TowerLoss"):
        task(CrossEntropyLoss())
