"""What a run shows in TensorBoard: curves, a row of hyper-parameters, pictures and text."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import DataType, Experiment, HParamInfo, MetricInfo, MetricName
from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, create_summary_metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

Plain = dict[str, Any]

# TensorBoard orders groups of tags by name, and pictures are to come after train/ and val/.
PICTURES = "visuals"

# TensorBoard takes the columns of all runs from any one of them, so every run has all, whatever it trained.
COLUMNS: dict[str, tuple[type[str] | type[float], str]] = {
    "loss": (str, "choices.loss"),
    "loss_parameters": (str, "loss"),
    "seed": (str, "seed"),
    "data": (str, "choices.data"),
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
    "train_examples": (float, "data.train_examples"),
    "label_noise": (float, "data.label_noise"),
    "imbalance": (float, "data.imbalance"),
    "mixup": (str, "data.mixup"),
    "teacher": (str, "teacher"),
    "experiment": (str, "choices.experiment"),
    "note": (str, "note"),
    "tags": (str, "tags"),
}
# One number a run: as scalars they would be cards with one dot, so they are columns beside the settings.
TESTED = (
    *("test/accuracy", "test/nll", "test/ece", "test/ece_ts", "test/brier", "test/perplexity", "test/bits_per_char"),
    *("test/overconfidence", "test/temperature", "test/nll_ts", "test/brier_ts", "test/classwise_ece"),
)
# Five columns of each kind are shown until the user ticks others: these, and the first five metrics.
SHOWN = ("loss", "lr", "test/accuracy", "test/nll", "test/ece")
# The last value of each curve.
METRICS = ("val/accuracy", "val/nll", "val/ece", "val/brier", "val/overconfidence", "train/nll")


class EventFiles(TensorBoardLogger):
    """TensorBoard's event file in the run's folder, and nothing else there.

    ``unit`` is what one optimizer step is on TensorBoard's axis: 1, or the examples of a step. ``resumed_at`` is the
    checkpoint's step: what was drawn after it is hidden.
    """

    def __init__(self, folder: Path, *, unit: int, resumed_at: int | None) -> None:
        self.unit = unit
        purge_step = None if resumed_at is None else resumed_at * unit + 1
        super().__init__(folder, name="", version="", default_hp_metric=False, purge_step=purge_step)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Draw scalars by tag at an optimizer step, but for ``undrawn``."""
        assert step is not None
        # one event for all: one for each, as the base class writes them, takes several times as long
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items() if not undrawn(tag)]
        self.experiment.file_writer.add_summary(Summary(value=scalars), step * self.unit)

    @rank_zero_only
    def image(self, name: str, png: bytes, step: int) -> None:
        """Show a picture."""
        width, height = struct.unpack(">II", png[16:24])  # of the header, which is always there
        picture = Summary.Image(width=width, height=height, encoded_image_string=png)
        value = Summary.Value(tag=f"{PICTURES}/{name}", image=picture)
        self.experiment.file_writer.add_summary(Summary(value=[value]), step * self.unit)

    @rank_zero_only
    def text(self, tag: str, markdown: str, step: int) -> None:
        """Show text."""
        self.experiment.add_text(tag, markdown, step * self.unit)

    @rank_zero_only
    def hyperparameters(self, cfg: Plain, test: Mapping[str, float | None], step: int) -> None:
        """Make the run a row of the HParams tab, once, at its end: settings and ``test``, name -> value.

        What the run does not have, such as the nll of a loss without probabilities, is an empty cell.
        """
        _, start, end = hparams(row(cfg) | results(test), {})  # type: ignore[no-untyped-call]
        for summary in (columns(), start, end):
            self.experiment.file_writer.add_summary(summary, step * self.unit)
        self.save()

    def save(self) -> None:
        """Flush; the configuration is in config.yaml, so no hparams.yaml."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Flush, and stay open for the test: a second file would purge what the first drew after a resume."""
        self.save()


def undrawn(tag: str) -> bool:
    """Whether a value of metrics.csv is not drawn as a curve.

    A test gives one value. ``bits`` is nll / ln 2. ``mce`` is mostly the noise of the bin with the fewest examples.
    """
    split, _, name = tag.partition("/")
    return split == "test" or name in ("bits", "mce")


def columns() -> Summary:
    """The table's columns. No domains: a value that another run's domain lacks would be filtered out of the table."""
    types = {str: DataType.DATA_TYPE_STRING, float: DataType.DATA_TYPE_FLOAT64}
    kinds: dict[str, type[str] | type[float]] = {key: kind for key, (kind, _) in COLUMNS.items()}
    kinds |= dict.fromkeys(TESTED, float)
    experiment = Experiment(
        # what differs comes first
        hparam_infos=[HParamInfo(name=key, type=types[kind], differs=key in SHOWN) for key, kind in kinds.items()],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in METRICS],
    )
    metadata = create_summary_metadata(HParamsPluginData(experiment=experiment))
    return Summary(value=[Summary.Value(tag=EXPERIMENT_TAG, metadata=metadata)])


def results(test: Mapping[str, float | None]) -> dict[str, float]:
    """The values of TESTED that there are; TensorBoard can show no infinite one."""
    known = {tag: test.get(tag.partition("/")[2]) for tag in TESTED}
    return {tag: value for tag, value in known.items() if value is not None and math.isfinite(value)}


def row(cfg: Plain) -> dict[str, str | float | None]:
    """The values of COLUMNS; None where the configuration has no such key, or null."""
    return {key: None if (value := find(cfg, path)) is None else kind(value) for key, (kind, path) in COLUMNS.items()}


def find(cfg: Plain, path: str) -> Any:
    """The value at a dotted path, a group's own keys as one text ("gamma=3 beta=0.999"); None where there is none."""
    *groups, last = path.split(".")
    for group in groups:
        cfg = cfg[group]
    value = cfg.get(last)  # text has no label noise
    if isinstance(value, list):
        return " ".join(map(str, value)) or None
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items() if key != "_target_" and item is not None)
    return value
