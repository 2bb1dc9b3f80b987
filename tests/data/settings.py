"""Image data sets at their defaults, from the YAML that holds them."""

from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from src.data.images import ImageData
from src.data.mnist import MNIST5k
from tests.conftest import ROOT


def image_settings(**changes: Any) -> dict[str, Any]:
    """What conf/data/defaults/images.yaml says, but for ``changes``."""
    settings = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/data/defaults/images.yaml"))
    assert isinstance(settings, dict) and settings.keys() >= changes.keys()
    return {**settings, **changes}  # type: ignore[dict-item]


def digits(**changes: Any) -> MNIST5k:
    """The 5,000 digits, loaded; 64 a training batch, 300 in evaluation."""
    data = MNIST5k(**{**image_settings(batch_size=64, eval_batch_size=300), **changes})
    data.load()
    return data


def examples(data: ImageData, split: str) -> tuple[Tensor, Tensor]:
    """All images and labels of a split."""
    images, labels = data.splits[split]
    return images[:], labels
