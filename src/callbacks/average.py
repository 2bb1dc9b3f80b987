"""The moving average of the weights."""

from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import weight_averaging
from torch import Tensor


class EMAWeightAveraging(weight_averaging.EMAWeightAveraging):
    """Lightning's, which counts its updates on the host: on a GPU each update would wait twice for the count.

    It copies the weights before they are converted, so the average is converted too: it would round them to float32.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        average = self._average_model
        if average is not None and average.avg_fn is not None:
            trainer.precision_plugin.convert_module(average)
            average.n_averaged = average.n_averaged.cpu()
            average.avg_fn = exact_integers(average.avg_fn)


def exact_integers(mean: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A rule of averaging that takes the current value of what is no floating point: a mean would be cut to less."""
    return lambda old, new, count: mean(old, new, count) if old.is_floating_point() else new
