"""Writes what a run measures: metrics.csv exactly, timing.csv and TensorBoard beside it."""

import csv
import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import FSDPStrategy

from ..folder.folder import RunFolder
from ..ranks import ranks
from ..system.files import DamagedError, opened
from .plan import Plan, steps_taken
from .utilisation import Utilisation

TAG = re.compile(r"(train|val)/\w+")
TIDY = ("step", "epoch", "samples_seen", "tag", "value")
Values = dict[str, float | None]


class TidyTable:
    """An append-only CSV file. Length and SHA-256 are part of the checkpoint: what was written later is cut on resume.

    Ranks other than the first write into the void.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.file: BinaryIO = path.open("ab") if ranks.rank() == 0 else tempfile.TemporaryFile()  # noqa: SIM115
        self.sha256 = hashlib.sha256()
        if self.file.tell() == 0:
            self.append([columns])

    def append(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        content = text.getvalue().encode()
        self.file.write(content)
        self.sha256.update(content)

    def state_dict(self) -> dict[str, Any]:
        """Length and checksum of what was written, all of it on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return {"length": self.file.tell(), "sha256": self.sha256.hexdigest()}

    def cut(self, state: dict[str, Any]) -> None:
        """Go back to the file of ``state``, which ``check_table`` has seen to be its beginning."""
        self.file.flush()
        self.file.truncate(state["length"])
        self.file.seek(0, os.SEEK_END)
        self.sha256 = prefix_sha256(self.path, state["length"]) if ranks.rank() == 0 else hashlib.sha256()


def prefix_sha256(path: Path, length: int) -> Any:
    """The running SHA-256 of a file's first ``length`` bytes. Raises FileNotFoundError and DamagedError."""
    with opened(path) as file:
        return hashlib.sha256(file.read(length))


def check_table(path: Path, state: dict[str, Any]) -> None:
    """Raise FileNotFoundError or DamagedError where a table does not begin with what a checkpoint's ``state`` tells."""
    if prefix_sha256(path, state["length"]).hexdigest() != state["sha256"]:
        raise DamagedError(path, "it does not hold the rows that were there when the checkpoint was written")


class Recorder(Callback):
    """Records train/ values where the plan has logging (means since the last), val/ values at each validation.

    metrics.csv is tidy (step, epoch, samples_seen, tag, value) and holds nothing that depends on the clock, which goes
    to timing.csv. ``latest`` has the last value of each tag.
    """

    def __init__(self, folder: RunFolder, plan: Plan, batch_size: int, utilisation: Utilisation) -> None:
        self.plan, self.batch_size, self.utilisation = plan, batch_size, utilisation
        self.metrics = TidyTable(folder.metrics, TIDY)
        self.timing = TidyTable(folder.timing, TIDY)
        self.latest: Values = {}
        self.scores: Any = None
        self.loaded: dict[str, Any] | None = None
        self.recorded_at = 0
        self.since = (0, time.perf_counter())

    def close(self) -> None:
        """No more is recorded."""
        self.metrics.file.close()
        self.timing.file.close()

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self.scores = pl_module.train_scores

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.restore(pl_module)
        self.since = (trainer.global_step, time.perf_counter())

    def restore(self, task: Any) -> None:
        """Go back to the loaded checkpoint: rows written after it are cut off."""
        if self.loaded is None:
            return
        self.metrics.cut(self.loaded["metrics"])
        self.timing.cut(self.loaded["timing"])
        task.train_scores.restore(self.loaded["scores"][ranks.rank()])
        self.latest = self.loaded["latest"]
        self.recorded_at = self.loaded["recorded_at"]
        self.loaded = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = steps_taken(trainer, batch_idx)
        if step is None or step == self.recorded_at or not self.plan.logging_due(step):
            return
        values: Values = self._prefixed("train", self.scores.compute())
        self.scores.reset()
        self.recorded_at = step
        first = pl_module.stepping.players[0]  # the settings of optimizer and scheduler are the same for all players
        values["train/lr"] = first.schedule(step - 1) * first.optimizer.defaults["lr"]
        shards = isinstance(trainer.strategy, FSDPStrategy)
        for player, norm in pl_module.grad_norms.items():
            whole = ranks.summed(norm.square()).sqrt() if shards else norm
            values["_".join(("train/grad_norm", *([player] if player else [])))] = whole.item()
        self.record(trainer, step, values)
        before, start = self.since
        if step > before:
            rate = (step - before) * self.plan.accumulate * self.batch_size / (time.perf_counter() - start)
            rates: Values = {"train/examples_per_second": rate, **self.utilisation.at(rate, pl_module.device)}
            self._write(trainer, self.timing, step, rates)
        self.since = (step, time.perf_counter())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        pl_module.val_scores.reset()
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.record(trainer, trainer.global_step, self._prefixed("val", pl_module.val_scores.compute()))
        step, start = self.since
        self.since = (step, start + time.perf_counter() - self._paused)  # validation is not training time

    def record(self, trainer: pl.Trainer, step: int, values: Values) -> None:
        """Write values of this step to metrics.csv and the loggers."""
        self.latest |= values
        self._write(trainer, self.metrics, step, values)

    def _write(self, trainer: pl.Trainer, table: TidyTable, step: int, values: Values) -> None:
        known = {tag: value for tag, value in values.items() if value is not None}
        seen = step * self.plan.accumulate * self.batch_size
        table.append((step, self.plan.epoch(step), seen, tag, repr(value)) for tag, value in known.items())
        for logger in trainer.loggers:
            logger.log_metrics(known, step)

    @staticmethod
    def _prefixed(split: str, values: Values) -> Values:
        return {f"{split}/{name}": value for name, value in values.items()}

    def sync(self) -> None:
        """Have all rows on disk."""
        self.metrics.state_dict()
        self.timing.state_dict()

    def state_dict(self) -> dict[str, Any]:
        return {
            "metrics": self.metrics.state_dict(),
            "timing": self.timing.state_dict(),
            "scores": ranks.gathered(self.scores.snapshot()),  # each rank's sums, of its share
            "latest": dict(self.latest),
            "recorded_at": self.recorded_at,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict

    def latest_in(self, checkpoint: Mapping[str, Any]) -> Values:
        """``latest`` as it was when the checkpoint was written."""
        latest: Values = checkpoint["callbacks"][self.state_key]["latest"]
        return latest


def record(trainer: Any, values: Mapping[str, Any]) -> None:
    """Write what a callback of the user's measures to metrics.csv and the loggers, as of the step that was taken last.

    ``values``: tag -> number, such as "val/weight_norm". Raises ValueError for another tag.
    """
    for tag in values:
        if not TAG.fullmatch(tag):
            raise ValueError(f"a value is recorded as train/NAME or val/NAME, got {tag!r}")
    recorder = next(callback for callback in trainer.callbacks if isinstance(callback, Recorder))
    recorder.record(trainer, trainer.global_step, {tag: float(value) for tag, value in values.items()})
