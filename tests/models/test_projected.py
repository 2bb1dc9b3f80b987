"""Networks without their head, and with a projector in its place."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from src.models.mlp import MLP
from src.models.projected import Projected
from src.models.zoo import TorchvisionModel
from tests.models.test_models import ROWS, build

FEATURED = [name for name, row in ROWS.items() if "features" in row.cls.gives]
MLP_KEYS: dict[str, Any] = {"batch_norm": False, "dropout": 0.0, "activation": "relu"}


def images() -> torch.Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FEATURED)
def test_features_are_what_the_head_reads(name: str) -> None:
    network = build(name, (1, 8, 8)).eval()
    whole = copy.deepcopy(network)
    head = [layer for layer in whole.modules() if isinstance(layer, nn.Linear)][-1]
    width = network.headless()
    features = network(images())
    assert features.shape == (6, width)
    bias = 0.0 if head.bias is None else head.bias
    torch.testing.assert_close(features @ head.weight.T + bias, whole(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FEATURED)
def test_a_projected_network_has_no_weight_without_use(name: str) -> None:
    model = Projected(build(name, (1, 8, 8)), [7, 4])
    projection = model(images())
    assert projection.shape == (6, 4)
    projection.square().sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []
    assert model.projector(model.backbone(images())).shape == (6, 4)


def test_layers_of_the_projector() -> None:
    network = MLP(input_shape=(1, 2, 2), outputs=3, widths=[5], **MLP_KEYS)
    kinds = [type(layer).__name__ for layer in Projected(network, [6, 7, 2]).projector]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]


def test_hidden_matrices_are_those_between_hidden_units() -> None:
    """That of the backbone's last layer too, which is its last linear one now; not the first and not the last."""
    network = MLP(input_shape=(1, 2, 2), outputs=3, widths=[5, 6], **MLP_KEYS)
    shapes = [tuple(weight.shape) for weight in Projected(network, [7, 2]).hidden_matrices()]
    assert shapes == [(6, 5), (7, 6)]


def test_a_network_without_a_linear_layer_is_refused() -> None:
    network = TorchvisionModel(input_shape=(3, 32, 32), outputs=5, name="squeezenet1_0")
    with pytest.raises(ValueError, match="TorchvisionModel has no linear layer at its end"):
        Projected(network, [8])


@pytest.mark.parametrize("projector", [[], "128", None, [0], [1.5], ["a"], 64, [8, -1], [True]])
def test_bad_projectors_are_refused(projector: Any) -> None:
    network = MLP(input_shape=(1, 2, 2), outputs=3, widths=[5], **MLP_KEYS)
    with pytest.raises(ValueError, match=r"^projector must be "):
        Projected(network, projector)
