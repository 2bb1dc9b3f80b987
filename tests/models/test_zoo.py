"""Networks of other libraries: they are the library's own, and what cannot be used is refused."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from src.models.base import Network
from src.models.zoo import TimmModel, TorchvisionModel


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_it_is_the_librarys_network(name: str) -> None:
    """Its own initial weights, drawn with the same seed, and its own answers."""
    torch.manual_seed(0)
    own = TorchvisionModel(input_shape=(3, 32, 32), outputs=7, name=name).eval()
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=7).eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(own(x), theirs(x))


def test_timms_too() -> None:
    torch.manual_seed(0)
    own = TimmModel(input_shape=(1, 28, 28), outputs=7, name="resnet10t").eval()
    torch.manual_seed(0)
    theirs = timm.create_model("resnet10t", num_classes=7, in_chans=1).eval()
    x = torch.randn(2, 1, 28, 28)
    assert torch.equal(own(x), theirs(x))


def test_grey_is_red_green_and_blue() -> None:
    model = TorchvisionModel(input_shape=(1, 32, 32), outputs=3, name="resnet18").eval()
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(model(x), model.network(torch.cat([x, x, x], 1)))


def test_it_is_made_and_looked_at_without_a_trace() -> None:
    """Running averages are as at the start, and the numbers of the generator those of the library's constructor."""
    model = TorchvisionModel(input_shape=(3, 32, 32), outputs=3, name="resnet18")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(norm.num_batches_tracked == 0 and not norm.running_mean.any() for norm in norms)  # type: ignore[union-attr]
    torch.manual_seed(0)
    TorchvisionModel(input_shape=(3, 64, 64), outputs=3, name="vgg11")
    mine = torch.randn(1)
    torch.manual_seed(0)
    models.get_model("vgg11", num_classes=3)
    assert torch.equal(mine, torch.randn(1))


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
@pytest.mark.parametrize(
    ("cls", "shape", "name", "message"),
    [
        (TorchvisionModel, (3, 32, 32), "resnet81", "name must be a classifier of torchvision .*near: resnet18"),
        (TorchvisionModel, (3, 32, 32), None, "name must be a classifier of torchvision .*, got None"),
        (TorchvisionModel, (3, 32, 32), "fcn_resnet50", "name must be a classifier of torchvision"),  # of pixels
        (TorchvisionModel, (1, 28, 28), "alexnet", "name=alexnet cannot read images of 1 x 28 x 28: Given input size"),
        (TorchvisionModel, (3, 32, 32), "vit_b_32", "name=vit_b_32 cannot read images of 3 x 32 x 32: Wrong image"),
        (TorchvisionModel, (2, 32, 32), "resnet18", "name=resnet18 reads images of 3 channels"),
        (TorchvisionModel, (3, 32, 32), "googlenet", "name=googlenet does not give one row of logits"),
        (TimmModel, (3, 32, 32), "resnet81", "name must be a classifier of timm"),
        (TimmModel, (3, 32, 32), "vit_tiny_patch16_224", "name=vit_tiny_patch16_224 cannot read images of 3 x 32 x 32"),
    ],
)
def test_refused(cls: Callable[..., Network], shape: tuple[int, ...], name: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(input_shape=shape, outputs=5, name=name)


def test_without_timm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ValueError, match="name=resnet18 needs the package timm: pip install timm"):
        TimmModel(input_shape=(3, 32, 32), outputs=5, name="resnet18")
