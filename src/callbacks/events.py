"""What a run shows in TensorBoard: curves, a row of hyper-parameters, pictures and text."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import DataType, Experiment, HParamInfo, MetricInfo, MetricName
from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, create_summary_metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from ..metrics.columns import Family
from ..plain import Plain

# TensorBoard orders groups of tags by name, and pictures are to come after train/ and val/.
PICTURES = "visuals"

# TensorBoard takes the columns of all runs from any one of them, so every run has all, whatever it trained.
# What only some have, such as a loss's own parameters, is one text; of the data, what is swept can be sorted as well.
SETTINGS: dict[str, tuple[type[str] | type[float], str]] = {
    "loss": (str, "choices.loss"),
    "loss_parameters": (str, "loss"),
    "task": (str, "choices.task"),
    "task_parameters": (str, "task"),
    "seed": (str, "seed"),
    "data": (str, "choices.data"),
    "data_parameters": (str, "data"),
    "train_examples": (float, "data.train_examples"),
    "label_noise": (float, "data.label_noise"),
    "target_noise": (float, "data.target_noise"),
    "imbalance": (float, "data.imbalance"),
    "model": (str, "choices.model"),
    "model_parameters": (str, "model"),
    "optimizer": (str, "choices.optimizer"),
    "lr": (float, "optimizer.lr"),
    "weight_decay": (float, "optimizer.weight_decay"),
    "scheduler": (str, "choices.scheduler"),
    "warmup_steps": (float, "scheduler.warmup_steps"),
    "batch_size": (float, "data.batch_size"),
    "accumulate_grad_batches": (float, "trainer.accumulate_grad_batches"),
    "max_epochs": (float, "trainer.max_epochs"),
    "max_steps": (float, "trainer.max_steps"),
    "precision": (str, "trainer.precision"),
    "gradient_clip_val": (float, "trainer.gradient_clip_val"),
    "ema_decay": (float, "ema.decay"),
    "teacher": (str, "teacher"),
    "judge": (str, "judge"),
    "experiment": (str, "choices.experiment"),
    "note": (str, "note"),
    "tags": (str, "tags"),
}
TICKED = 5  # columns of each kind that are shown until the user ticks others


class EventFiles(TensorBoardLogger):
    """TensorBoard's event file in the run's folder, and nothing else there.

    ``family`` says what is measured. ``unit`` is what one optimizer step is on TensorBoard's axis: 1, or the examples
    of a step. ``resumed_at`` is the checkpoint's step: what was drawn after it is hidden.
    """

    def __init__(self, folder: Path, family: Family, *, unit: int, resumed_at: int | None) -> None:
        self.family, self.unit = family, unit
        purge_step = None if resumed_at is None else resumed_at * unit + 1
        super().__init__(folder, name="", version="", default_hp_metric=False, purge_step=purge_step)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Draw scalars by tag at an optimizer step, but for those of the test and what the family leaves out.

        A test gives one value, which is no curve.
        """
        assert step is not None
        # one event for all: one for each, as the base class writes them, takes several times as long
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items() if self._is_drawn(tag)]
        self.experiment.file_writer.add_summary(Summary(value=scalars), step * self.unit)

    def _is_drawn(self, tag: str) -> bool:
        split, _, name = tag.partition("/")
        return split != "test" and name not in self.family.undrawn

    @rank_zero_only
    def image(self, name: str, png: bytes, step: int) -> None:
        """Show a picture."""
        width, height = struct.unpack(">II", png[16:24])  # of the header, which is always there
        picture = Summary.Image(width=width, height=height, encoded_image_string=png)
        value = Summary.Value(tag=f"{PICTURES}/{name}", image=picture)
        self.experiment.file_writer.add_summary(Summary(value=[value]), step * self.unit)

    @rank_zero_only
    def histogram(self, name: str, values: NDArray[np.float64], step: int) -> None:
        """Show how values of validation are spread; nothing if there are none."""
        if values.size:
            self.experiment.add_histogram(f"val/{name}", values, step * self.unit)

    @rank_zero_only
    def text(self, tag: str, markdown: str, step: int) -> None:
        """Show text."""
        self.experiment.add_text(tag, markdown, step * self.unit)

    @rank_zero_only
    def hyperparameters(self, cfg: Plain, test: Mapping[str, float | None], step: int) -> None:
        """Make the run a row of the HParams tab, once, at its end: settings and ``test``, name -> value.

        What the run does not have, such as the nll of a loss without probabilities, is an empty cell.
        """
        _, start, end = hparams(settings(cfg) | cells(self.family, test), {})  # type: ignore[no-untyped-call]
        for summary in (columns(self.family), start, end):
            self.experiment.file_writer.add_summary(summary, step * self.unit)
        self.save()

    def save(self) -> None:
        """Flush; the configuration is in config.yaml, so no hparams.yaml."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Flush, and stay open for the test: a second file would purge what the first drew after a resume."""
        self.save()


def of_test(family: Family) -> tuple[str, ...]:
    """The test's columns. As scalars they would be cards with one dot, so they stand beside the settings."""
    return tuple(f"test/{column.name}" for column in family.columns)


def curves(family: Family) -> tuple[str, ...]:
    """The columns that are the last value of a curve."""
    return (*(f"val/{name}" for name in family.charts), f"train/{family.chooses[0]}")


def ticked(family: Family) -> tuple[str, ...]:
    """The columns among settings and test that are shown until the user ticks others; of curves, the first are."""
    return ("loss", "lr", *dict.fromkeys(f"test/{name}" for name in (*family.shown, *(family.against or ()))))[:TICKED]


def columns(family: Family) -> Summary:
    """The table's columns. No domains: a value that another run's domain lacks would be filtered out of the table."""
    types = {str: DataType.DATA_TYPE_STRING, float: DataType.DATA_TYPE_FLOAT64}
    kinds: dict[str, type[str] | type[float]] = {key: kind for key, (kind, _) in SETTINGS.items()}
    kinds |= dict.fromkeys(of_test(family), float)
    first = ticked(family)
    experiment = Experiment(
        # what differs comes first
        hparam_infos=[HParamInfo(name=key, type=types[kind], differs=key in first) for key, kind in kinds.items()],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in curves(family)],
    )
    metadata = create_summary_metadata(HParamsPluginData(experiment=experiment))
    return Summary(value=[Summary.Value(tag=EXPERIMENT_TAG, metadata=metadata)])


def cells(family: Family, test: Mapping[str, float | None]) -> dict[str, float]:
    """The values of ``of_test`` that there are; TensorBoard can show no infinite one."""
    known = {tag: test.get(tag.partition("/")[2]) for tag in of_test(family)}
    return {tag: value for tag, value in known.items() if value is not None and math.isfinite(value)}


def settings(cfg: Plain) -> dict[str, str | float | None]:
    """The values of SETTINGS; None if the configuration has no such key, or null."""
    return {
        key: None if (value := setting(cfg, path)) is None else kind(value) for key, (kind, path) in SETTINGS.items()
    }


def setting(cfg: Plain, path: str) -> Any:
    """The value at a dotted path, a group's own keys as one text ("gamma=3 alpha=0.5"); None if there is none."""
    *groups, last = path.split(".")
    for group in groups:
        cfg = cfg[group]
    value = cfg.get(last)
    if isinstance(value, list):
        return " ".join(map(str, value)) or None
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items() if key != "_target_" and item is not None)
    return value
