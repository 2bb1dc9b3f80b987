"""A finished run's network, ready to predict: ``xent.load``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import trust
from ..config.errors import UserError
from ..data.alphabet import encode
from ..folder.folder import RunFolder
from ..metrics.temperature import scaled
from .rebuild import Rebuilt, check_classifies, rebuild

BATCH = 500  # inputs that go through the network at a time, unless a call says otherwise


class Trained(nn.Module):
    """A trained network with its link, in eval mode and without gradients.

    Inputs are as the data set has them; the network sees them as in training.
      images: (N, C, H, W) of the run's size, uint8 from 0 to 255 or floating point from 0 to 1; they are standardised
              by the mean and deviation of the run's training images.
      text:   a string, or the numbers of its characters, (N, T) integers, T at most the run's block size. Position t
              answers what follows character t.

    ``network``, ``loss`` (whose link it is), ``spec`` (the data's sizes), ``class_names``, ``temperature`` (the run's,
    fitted on its validation split; None if it has none) and ``config`` are there to be read.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, run: Rebuilt, temperature: float | None, config: dict[str, Any]) -> None:
        super().__init__()
        check_classifies(run, "a network that predicts classes is asked for")
        self.network, self.loss, self.spec = run.model, run.loss, run.spec
        self.class_names = run.spec.class_names
        self.temperature, self.config = temperature, config
        self.dtype = torch.float64 if config["trainer"]["precision"] == "64-true" else torch.float32
        for name in ("mean", "std"):
            values = torch.tensor(getattr(run.spec, name), dtype=torch.float32)  # as the run computed them
            self.register_buffer(name, values[:, None, None])
        self.eval().requires_grad_(False)

    @property
    def linked(self) -> bool:
        """Whether the loss gives probabilities."""
        return self.loss.log_probs(torch.zeros(1, self.loss.outputs(self.spec.num_classes))) is not None

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) images or (N, T) characters -> (N, outputs) or (N, T, outputs): the network's logits."""
        if self.spec.kind == "text":
            return self.network(inputs)
        pixels = inputs.to(self.dtype)
        scaled_pixels = pixels if inputs.is_floating_point() else pixels / 255
        return self.network(((scaled_pixels - self.mean) / self.std).contiguous())

    @torch.no_grad()
    def log_probs(self, inputs: Any, *, calibrated: bool = False, batch_size: int = BATCH) -> Tensor:
        """Log-probabilities of the classes: (N, K) of images, (N, T, K) of characters, (T, K) of a string.

        ``calibrated`` divides them by the run's temperature, as ``ece_ts`` and its like have it. Raises ValueError for
        inputs that do not fit, if the loss gives no probabilities, and if ``calibrated`` asks for a temperature that
        the run does not have.
        """
        if calibrated and self.temperature is None:
            raise ValueError("this run has no temperature: none could be fitted (train.log says why)")
        given = self._fitting(inputs)
        parts = [self.loss.log_probs(self(part.to(self._device()))) for part in torch.split(given, batch_size)]
        if any(part is None for part in parts):
            name = self.config["choices"]["loss"]
            raise ValueError(f"the scores of loss={name} are no probabilities; call the model itself for the scores")
        found = torch.cat([part for part in parts if part is not None])
        found = scaled(found, self.temperature) if calibrated and self.temperature else found
        return found[0] if isinstance(inputs, str) else found

    def predict(self, inputs: Any, *, calibrated: bool = False, batch_size: int = BATCH) -> Tensor:
        """Probabilities of the classes, as ``log_probs`` has their logarithms; ``class_names`` names the columns."""
        return self.log_probs(inputs, calibrated=calibrated, batch_size=batch_size).exp()

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _fitting(self, inputs: Any) -> Tensor:
        """The inputs as a tensor of the run's kind and size. Raises ValueError."""
        if self.spec.kind == "text":
            return self._characters(inputs)
        images, shape = torch.as_tensor(inputs), self.spec.input_shape
        wanted = f"images (N, {', '.join(map(str, shape))}), uint8 from 0 to 255 or floating point from 0 to 1"
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise ValueError(f"this run reads {wanted}; got the shape {tuple(images.shape)}")
        if not (images.is_floating_point() or images.dtype == torch.uint8):
            raise ValueError(f"this run reads {wanted}; got {images.dtype}")
        if images.is_floating_point() and images.numel() and not (images.min() >= 0 and images.max() <= 1):
            low, high = images.min().item(), images.max().item()
            raise ValueError(f"this run reads {wanted}, not yet standardised; got values from {low:g} to {high:g}")
        return images

    def _characters(self, inputs: Any) -> Tensor:
        ids, block, classes = inputs, self.spec.input_shape[0], self.spec.num_classes
        ids = torch.as_tensor(encode(inputs, self.spec) if isinstance(inputs, str) else inputs)
        if ids.ndim != 2 or ids.is_floating_point() or not 1 <= ids.shape[1] <= block:
            raise ValueError(
                f"this run reads a text of 1 to {block} characters, or their numbers (N, T), T from 1 to {block};"
                f" got the shape {tuple(ids.shape)} of {ids.dtype}"
            )
        if ids.numel() and not (ids.min() >= 0 and ids.max() < classes):
            raise ValueError(f"the numbers of characters go from 0 to {classes - 1} (the places in class_names)")
        return ids.long()


def load(
    run: str | Path, *, device: str | torch.device = "cpu", own: type | str | Iterable[type | str] = ()
) -> Trained:
    """The network that a finished run trained, from the run's folder alone, ready to predict.

    A folder is data and never code: only classes of this package are made. If the run's loss or model is a class of
    your own, name it, or give the class itself: ``own="mine.OwnLoss"``. Weights are those that the run tested, in
    float32 (float64 if it was trained in that), whatever its mixed precision. Raises UserError where the folder is not
    that of a finished run, is damaged, or names a class that is not known.
    """
    folder = RunFolder(Path(run).expanduser())
    config, result = folder.read_finished()
    named = [own] if isinstance(own, type | str) else own
    trust.name(name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}" for name in named)
    temperature = result["metrics"]["test"].get("temperature")
    if temperature is not None and not (isinstance(temperature, float) and temperature > 0):
        raise UserError(f"{folder.result}: the temperature is damaged: {temperature!r:.50}")
    return Trained(rebuild(folder.path), temperature, config).to(device)
