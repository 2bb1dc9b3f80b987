"""Networks whose logits are cosines."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from src.models.base import CosineLinear
from src.models.zoo import TorchvisionModel
from tests.models.test_models import build
from tests.models.test_projected import FEATURED, images


@pytest.mark.parametrize("name", FEATURED)
def test_logits_are_the_cosines_of_features_and_classes(name: str) -> None:
    network = build(name, (1, 8, 8)).eval()
    headless = copy.deepcopy(network)
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    headless.headless()
    network.cosine_head()
    expected = cosine_similarity(headless(images())[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(network(images()), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FEATURED)
def test_it_keeps_the_weights_and_each_gets_a_gradient(name: str) -> None:
    network = build(name, (1, 8, 8))
    before = {key: weight.clone() for key, weight in network.state_dict().items()}
    network.cosine_head()
    after = network.state_dict()
    assert before.keys() - after.keys() <= {key for key in before if key.endswith("bias")}
    assert all(after[key].equal(before[key]) for key in after)
    network(images()).square().sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_a_feature_of_length_0_gives_0_and_finite_gradients() -> None:
    layer = CosineLinear(nn.Parameter(torch.randn(3, 4, generator=torch.Generator().manual_seed(0))))
    x = torch.zeros(2, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and not layer(x).any()


def test_a_network_without_a_linear_layer_is_refused() -> None:
    network = TorchvisionModel(input_shape=(3, 32, 32), outputs=5, name="squeezenet1_0")
    with pytest.raises(ValueError, match="TorchvisionModel has no linear layer at its end"):
        network.cosine_head()
