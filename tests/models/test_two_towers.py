"""Two towers: captions as characters, embeddings of length 1, and numbers that are learnt for the loss."""

import math
from typing import Any

import pytest
import torch

from src.losses.base import Scalar
from src.models.two_towers import TwoTowers, spelled
from src.optim.parameters import parameter_groups

NAMES = ("one", "two", "ten one", "one ten")
KEYS: dict[str, Any] = {"widths": [4, 6], "n_layer": 2, "n_head": 2, "n_embd": 8, "embedding": 5}
SCALARS = {"log_scale": Scalar(math.log(10)), "bias": Scalar(-4.0)}


def towers(shape: tuple[int, ...] = (1, 9, 14), **changes: Any) -> TwoTowers:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoTowers(input_shape=shape, class_names=NAMES, **{"scalars": SCALARS, **KEYS, **changes})


def test_names_are_spelled() -> None:
    """e n o t w and a space, which comes first."""
    assert spelled(("to", "wet", " o")).tolist() == [[4, 3, 0], [5, 2, 4], [1, 3, 0]]
    assert spelled(("", "a")).tolist() == [[0], [1]]


@pytest.mark.parametrize("shape", [(1, 9, 14), (3, 8, 8)])
def test_embeddings_have_length_one(shape: tuple[int, ...]) -> None:
    network = towers(shape)
    images, texts = network(torch.randn(3, *shape)), network.all_texts()
    assert images.shape == (3, 5) and texts.shape == (4, 5)
    for found in (images, texts):
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(len(found)))
    assert torch.equal(network.texts(torch.tensor([2, 0])), network.texts(torch.tensor([2, 0, 1]))[:2])
    torch.testing.assert_close(network.texts(torch.arange(4)), texts)


def test_what_stands_behind_a_text_is_not_in_its_mean() -> None:
    """The first block is taken out: then a character says nothing of the others, and the mean is theirs alone."""
    tower = towers(n_layer=1).text_tower
    tower.blocks = torch.nn.ModuleList()
    one, ids = spelled(NAMES)[0], spelled(NAMES)
    x = tower.norm(tower.tokens(one[:3]) + tower.places.weight[:3])
    torch.testing.assert_close(tower(ids)[0], tower.head(x.mean(0)))


def test_order_of_words_matters() -> None:
    texts = towers().all_texts()
    assert (texts[2] - texts[3]).abs().max() > 1e-3


def test_every_weight_gets_a_gradient_and_the_numbers_do_not_decay() -> None:
    network = towers()
    images, texts = network(torch.randn(4, 1, 9, 14)), network.all_texts()
    scale, bias = (network.scalars[name] for name in ("log_scale", "bias"))
    (scale.exp() * images @ texts.T + bias).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())
    decayed, rest = (group["params"] for group in parameter_groups(network, 0.1))
    assert any(weight is scale for weight in rest) and not any(weight is scale for weight in decayed)


def test_numbers_start_where_they_should_and_a_fixed_one_is_not_learnt() -> None:
    network = towers(scalars={"log_scale": Scalar(1.5, learnt=False)})
    assert network.scalars["log_scale"].item() == 1.5 and not network.scalars["log_scale"].requires_grad
    assert torch.equal(towers().image_tower.body[0].weight, network.image_tower.body[0].weight)  # of the seed alone
    assert not any("captions" in name for name in network.state_dict())


@pytest.mark.parametrize(("name", "values"), {"embedding": [0, 1.5], "n_head": [3, 0], "widths": [[0], "a"]}.items())
def test_bad_settings_are_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=r"^(n_embd|" + name + r") must be .*, got "):
            towers(**{name: value})
