"""Networks of other libraries, by name, untrained."""

from ..system import torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import copy
import difflib
import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision import models

from .base import Network


class Adapted(Network):
    """(B, C, H, W) -> (B, outputs), by a network that another library makes.

    A sub-class makes it. Raises ValueError if it cannot read images of this size, or answers more than logits.
    """

    inputs = "image"
    gives = "logits or features"

    def __init__(self, network: nn.Module, name: str, input_shape: Sequence[int], outputs: int, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        size = " x ".join(map(str, input_shape))
        try:
            # as in training, of a copy that has no numbers: nothing is computed, and no running average is touched
            answer = copy.deepcopy(self).to("meta").train()(torch.empty(2, *input_shape, device="meta"))
        except Exception as error:  # whatever a foreign network raises
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"name={name} cannot read images of {size}: {reason}") from None
        if not (isinstance(answer, Tensor) and answer.shape == (2, outputs)):
            raise ValueError(f"name={name} does not give one row of logits for each image")

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != self.channels:
            images = images.expand(-1, self.channels, -1, -1)  # grey becomes red = green = blue
        return self.network(images)


class TorchvisionModel(Adapted):
    """A classifier of torchvision with its own initial weights and an output layer of this many outputs.

    Grey images are repeated for the three channels that all of them read. Most are made for 224 pixels: with smaller
    images they see less and less, and some refuse.
    """

    def __init__(self, *, input_shape: Sequence[int], outputs: int, name: str) -> None:
        known = models.list_models(module=models)
        check_name("torchvision", name, known)
        if input_shape[0] not in (1, 3):
            raise ValueError(f"name={name} reads images of 3 channels, or of 1 that is repeated, not {input_shape[0]}")
        network = models.get_model(name, weights=None, num_classes=outputs)
        super().__init__(network, name, input_shape, outputs, channels=3)


class TimmModel(Adapted):
    """A classifier of the package timm with its own initial weights, for these channels and outputs."""

    def __init__(self, *, input_shape: Sequence[int], outputs: int, name: str) -> None:
        try:
            timm = importlib.import_module("timm")
        except ImportError as error:
            raise ValueError(f"name={name} needs the package timm: pip install timm ({error})") from None
        check_name("timm", name, timm.list_models())
        channels = input_shape[0]
        network = timm.create_model(name, pretrained=False, num_classes=outputs, in_chans=channels)
        super().__init__(network, name, input_shape, outputs, channels)


def check_name(library: str, name: object, known: Sequence[str]) -> None:
    """Raise ValueError if a library has no classifier of this name."""
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise ValueError(f"name must be a classifier of {library} (it has {len(known)}), got {name!r}{hint}")
