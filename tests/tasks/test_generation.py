"""Text from a model whose probabilities are known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn

from src.losses.base import ClassificationLoss
from src.tasks.generation import generate

SCORES = torch.tensor([[0.3, -1.0, 2.0, 0.0, 1.0], [1.0, 0.5, 0.0, -0.5, -1.0], [0.0, 0.0, 3.0, 0.0, 0.0]])


class Sigmoids(ClassificationLoss):
    """Reads its scores as P(k) ~ sigmoid(z_k), which is no softmax."""

    def log_probs(self, logits: Tensor) -> Tensor:
        log_p = nn.functional.logsigmoid(logits)
        return log_p - log_p.logsumexp(-1, keepdim=True)


class NoProbabilities(ClassificationLoss):
    def log_probs(self, logits: Tensor) -> None:
        return None


class Table(nn.Module):
    """The logits of the next id depend on the last one alone; remembers what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, ids: Tensor) -> Tensor:
        assert not self.training, "dropout would be on"
        self.seen.append(ids)
        return SCORES[ids % 3]


def draw(
    loss: ClassificationLoss | None = None,
    prompt: Tensor | None = None,
    length: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    context: int = 8,
    model: nn.Module | None = None,
) -> Tensor:
    prompt = torch.zeros(4000, 1, dtype=torch.long) if prompt is None else prompt
    return generate(
        model or Table(),
        loss or ClassificationLoss(),
        prompt,
        length=length,
        context=context,
        temperature=temperature,
        top_k=top_k,
        g=torch.Generator().manual_seed(seed),
    )


def softmax(logits: Tensor) -> np.ndarray:
    e = np.exp(logits.numpy().astype(np.float64))
    return e / e.sum()


def pvalue(ids: np.ndarray, p: np.ndarray) -> float:
    """Of the hypothesis that ids are drawn from p, by chi-squared; 0 where one is impossible."""
    counts = np.bincount(ids, minlength=5)
    possible = p > 0
    if counts[~possible].any():
        return 0.0
    return float(chisquare(counts[possible], counts.sum() * p[possible] / p.sum()).pvalue)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 2, 5, 99])
def test_ids_are_drawn_from_the_tempered_probabilities(temperature: float, top_k: int | None) -> None:
    def expected(temperature: float) -> np.ndarray:
        p = softmax(SCORES[0] / temperature)
        if top_k is not None and top_k < 5:
            p[np.argsort(p)[:-top_k]] = 0
        return p

    ids = draw(temperature=temperature, top_k=top_k)[:, 1].numpy()
    assert pvalue(ids, expected(temperature)) > 1e-4
    assert pvalue(ids, expected(1.5 * temperature)) < 1e-4, "the test has no power"


def test_probabilities_are_those_of_the_loss() -> None:
    ids = draw(Sigmoids())[:, 1].numpy()
    assert pvalue(ids, 1 / (1 + np.exp(-SCORES[0].numpy().astype(np.float64)))) > 1e-4
    assert pvalue(ids, softmax(SCORES[0])) < 1e-4


def test_scores_without_probabilities_take_their_softmax() -> None:
    assert pvalue(draw(NoProbabilities())[:, 1].numpy(), softmax(SCORES[0])) > 1e-4


def test_each_id_follows_from_the_one_before() -> None:
    """Transitions from each state of a long text, against the row of that state."""
    ids = draw(prompt=torch.zeros(20, 1, dtype=torch.long), length=300).numpy()
    for state in range(5):
        following = ids[:, 1:][ids[:, :-1] == state]
        assert len(following) > 100
        assert pvalue(following, softmax(SCORES[state % 3])) > 1e-4


def test_top_1_and_low_temperature_are_greedy() -> None:
    prompt = torch.tensor([[0], [1], [2]])
    expected = [[0], [1], [2]]
    for row in expected:
        for _ in range(6):
            row.append(int(SCORES[row[-1] % 3].argmax()))
    assert draw(prompt=prompt, length=6, top_k=1).tolist() == expected
    assert draw(prompt=prompt, length=6, temperature=1e-3).tolist() == expected


def test_the_model_sees_the_last_ids_of_the_context() -> None:
    model = Table()
    prompt = torch.tensor([[0, 1, 2], [2, 1, 0]])
    ids = draw(prompt=prompt, length=5, context=4, model=model)
    assert torch.equal(ids[:, :3], prompt) and ids.shape == (2, 8)
    assert [seen.shape[1] for seen in model.seen] == [3, 4, 4, 4, 4]
    for i, seen in enumerate(model.seen):
        assert torch.equal(seen, ids[:, max(0, 3 + i - 4) : 3 + i])


def test_draws_are_a_function_of_the_generator_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draw(length=3)
    assert torch.equal(torch.get_rng_state(), state), "the global state is untouched"
    torch.manual_seed(2)
    assert torch.equal(draw(length=3), first)
    assert not torch.equal(draw(length=3, seed=1), first)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode(training: bool) -> None:
    model = Table().train(training)
    draw(model=model)
    assert model.training == training


def test_no_gradient_is_recorded() -> None:
    model = nn.Sequential(nn.Embedding(5, 5))
    ids = draw(model=model, prompt=torch.zeros(2, 1, dtype=torch.long), length=2)
    assert model[0].weight.grad is None and not ids.is_floating_point()
    assert math.prod(ids.shape) == 6
