"""A game of two small networks: penalties by hand, the turns, and what is measured."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.data.base import Batch, Chance, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.gan import GANLoss
from src.losses.wgan_gp import WassersteinGANLoss
from src.metrics.generated import coverage, precision
from src.models.base import GenerativeNetwork
from src.models.dcgan import DCGAN
from src.tasks.adversarial import AdversarialTask
from src.tasks.judge import Judge
from src.tasks.stepping import Stepping

SPEC = Spec("image", (1, 4, 4), tuple("abc"), (9, 9, 9), mean=(0.25,), std=(0.5,))


class Scored(GenerativeNetwork):
    """Makes images by a matrix, and scores them by a cubic polynomial, whose gradients are known."""

    latents = 3

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(3, 16)
        self.discriminator = nn.Linear(16, 1)

    def generate(self, z: Tensor) -> Tensor:
        return self.generator(z).tanh().view(-1, 1, 4, 4)

    def discriminate(self, images: Tensor) -> Tensor:
        return self.discriminator(images.flatten(1) ** 3)[:, 0]


def judge() -> Judge:
    g = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))
    for weight in model.parameters():
        nn.init.normal_(weight, generator=g)
    return Judge(model=model.double(), loss=CrossEntropyLoss(), scale=torch.tensor(1.0), shift=torch.tensor(0.0))


def task(loss: Any, turns: int = 1) -> AdversarialTask:
    torch.manual_seed(0)
    found = AdversarialTask(judge=judge(), discriminator_turns=turns, model=Scored().double(), loss=loss, spec=SPEC)
    return found


def batch(n: int = 6) -> Batch:
    g = torch.Generator().manual_seed(1)
    pixels = torch.rand(n, 1, 4, 4, generator=g, dtype=torch.float64)
    return Batch((pixels - 0.25) / 0.5, torch.arange(n) % 3, Chance(3, 7, size=n))


@pytest.mark.parametrize("loss", [GANLoss(r1=3.0), WassersteinGANLoss(weight=7.0)])
def test_penalty_by_hand(loss: Any) -> None:
    """The polynomial's gradient is 3 w x^2 a pixel, at the images themselves or on the way to made ones."""
    game = task(loss)
    given = game.prepare(batch())
    made = game.model.generate(given["discriminator latents"]).detach()
    w = game.model.discriminator.weight[0].view(1, 4, 4)
    x = given["real"]
    if loss.place == "between":
        x = x + given["share"].view(-1, 1, 1, 1) * (made - x)
    squared = (3 * w * x**2).square().sum((1, 2, 3))
    expected = 7 * (squared.sqrt() - 1) ** 2 if loss.place == "between" else 1.5 * squared
    terms, _ = game.turn("discriminator", given)
    scores = game.model.discriminate(given["real"]), game.model.discriminate(made)
    torch.testing.assert_close(terms["loss"], loss(*scores) + expected, rtol=1e-12, atol=1e-12)
    (got,) = torch.autograd.grad(terms["loss"].sum(), game.model.discriminator.weight)
    (by_hand,) = torch.autograd.grad((loss(*scores) + expected).sum(), game.model.discriminator.weight)
    torch.testing.assert_close(got, by_hand, rtol=1e-12, atol=1e-12)


def test_pixels_are_from_minus_one_to_one() -> None:
    game, one = task(GANLoss()), batch()
    real = game.prepare(one)["real"]
    torch.testing.assert_close((real + 1) / 2, one.inputs * 0.5 + 0.25)
    torch.testing.assert_close(game.spec.standardised((real + 1) / 2), one.inputs)


def test_turns_share_a_batch() -> None:
    game = task(GANLoss(), turns=3)
    given = game.prepare(batch())
    turns = list(game.turns(given))
    assert [player for player, _ in turns] == ["discriminator"] * 3 + ["generator"]
    whole = torch.cat([read["real"] for player, read in turns if player == "discriminator"])
    assert torch.equal(whole, given["real"]) and turns[-1][1]["real"] is given["real"]
    assert not torch.equal(given["discriminator latents"], given["generator latents"])
    terms, _ = game.judge(given)
    once, _ = task(GANLoss()).judge(given)
    torch.testing.assert_close(terms, once)  # nobody moves in between


@pytest.mark.parametrize("turns", [4, 9])
def test_there_are_as_many_turns_as_asked_for(turns: int) -> None:
    """Six examples: four turns have 2, 2, 1, 1; the nine of a short batch of validation have one or none."""
    game = task(GANLoss(), turns=turns).eval()
    given = game.prepare(batch())
    sizes = [len(read["real"]) for player, read in game.turns(given) if player == "discriminator"]
    assert sizes == ([2, 2, 1, 1] if turns == 4 else [1] * 6 + [0] * 3)
    with torch.no_grad():
        terms, _ = game.judge(given)
        once, _ = task(GANLoss()).eval().judge(given)
    torch.testing.assert_close(terms, once)


def test_a_penalty_is_taken_in_float32() -> None:
    """The same bits with and without the bfloat16 of autocast, in which the scores are."""
    game = task(GANLoss(r1=3.0)).float()
    given = {name: value.float() for name, value in game.prepare(batch()).items()}
    made = game.model.generate(given["discriminator latents"])
    expected = game._penalty(given["real"], made, given["share"])
    with torch.autocast("cpu", torch.bfloat16):
        assert game.model.discriminate(given["real"]).dtype == torch.bfloat16
        got = game._penalty(given["real"], made, given["share"])
    assert got.dtype == torch.float32 and torch.equal(got, expected)


def test_what_is_compared_is_of_the_judges_features() -> None:
    game, one = task(GANLoss()).eval(), batch(40)
    _, answer = game.look(one)
    found = game.combined(game.examples(answer | game._pairs(one, game.looker)))
    layers = game.looker.model
    real = layers[:3](one.inputs)
    images = (game.model.generate(one.chance.normal("latents", 3).double()) + 1) / 2
    made = layers[:3](game.spec.standardised(images))
    torch.testing.assert_close(found["real_features"], real)
    torch.testing.assert_close(found["made_features"], made)
    assert torch.equal(found["covered"], coverage(real, made).double())
    assert torch.equal(found["precise"], precision(real, made).double())
    assert torch.equal(found["made_class"], layers[3](made).argmax(-1))
    answer["real_score"], answer["made_score"] = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 1.0])
    assert game.examples(answer)["told_apart"].tolist() == [1, 0]


def test_a_judge_needs_a_linear_layer() -> None:
    with pytest.raises(ValueError, match="no linear layer"):
        Judge(model=nn.Flatten(), loss=CrossEntropyLoss(), scale=None, shift=None)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 8, 12)])
def test_dcgan(shape: tuple[int, ...]) -> None:
    """Shapes, range, and the number of weights; every weight has a gradient."""
    model, width, small = DCGAN(input_shape=shape, latents=5, width=4), 4, shape[1] * shape[2] // 16
    images = model.generate(torch.randn(6, 5))
    assert images.shape == (6, *shape) and images.abs().max() <= 1
    scores = model(images)
    assert scores.shape == (6,)
    scores.sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())
    generator = 5 * 2 * width * small + 4 * width + 16 * 2 * width * width + 2 * width + (16 * width + 1) * shape[0]
    discriminator = (16 * shape[0] + 1) * width + (16 * width + 1) * 2 * width + 2 * width * small + 1
    assert sum(weight.numel() for weight in model.parameters()) == generator + discriminator


def test_dcgan_refuses_what_it_cannot_halve_twice() -> None:
    with pytest.raises(ValueError, match="multiples of 4 pixels a side, got 28 x 30"):
        DCGAN(input_shape=(1, 28, 30), latents=5, width=4)


@pytest.mark.slow
def test_turns_and_judgement_are_the_same_compiled() -> None:
    torch._dynamo.reset()
    found = []
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        for compiled in (False, True):
            game = task(GANLoss())
            game.stepping = Stepping((), due=bool, total=2)
            step, examine = game.forward_backward, game.examine
            if compiled:
                step = torch.compile(step, fullgraph=True, backend="aot_eager")
                examine = torch.compile(examine, backend="aot_eager")
            given = game.prepare(batch())
            for player in game.players:
                step(given, player)
            with torch.no_grad():
                terms, answer = examine(given)
            found.append(([weight.grad for weight in game.model.parameters()], terms, answer))
    torch.testing.assert_close(found[1], found[0])
