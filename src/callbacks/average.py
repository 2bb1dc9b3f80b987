"""The moving average of the weights."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import weight_averaging


class EMAWeightAveraging(weight_averaging.EMAWeightAveraging):
    """Lightning's, which counts its updates on the host: on a GPU each update would wait twice for the count."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        average = self._average_model
        if average is not None:
            average.n_averaged = average.n_averaged.cpu()
