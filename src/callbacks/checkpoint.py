"""Checkpoints from which a run goes on bit for bit, and the stops that leave one behind."""

import os
import random
import signal
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint

from ..config.errors import first_line
from ..folder.folder import RunFolder
from ..ranks import ranks
from ..system.files import DamagedError, opened, written_whole
from .plan import Plan, steps_taken

STOPS = (signal.SIGINT, signal.SIGTERM)
FORMAT = 4  # of a checkpoint; another one is not gone on from
LEAST = 1.0  # seconds from one checkpoint to that of a validation: each waits four times for the disk


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is there whole or not at all, whenever the process dies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        for key, state in checkpoint["callbacks"].items():
            check_state(f"the state of the callback {key}", state)
        with written_whole(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load(Path(path))


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU. Raises FileNotFoundError, and DamagedError where one bit is not as it was written.

    torch writes a CRC-32 beside each part of its zip file, and does not look at it when it reads.
    """
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as parts:
                bad = parts.testzip()
            if bad is not None:
                raise DamagedError(path, f"the checksum of its part {bad} is another one")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except DamagedError:
            raise
        except Exception as error:  # whatever zipfile and torch make of other bytes
            raise DamagedError(path, f"no checkpoint of xent ({first_line(error)[:100]})") from error


def check_state(name: str, state: Any) -> None:
    """Raise TypeError where a callback's state holds what ``load`` would refuse to read."""
    if type(state) in (dict, OrderedDict):
        for key, value in state.items():
            check_state(f"{name}.{key}", value)
        state = list(state)
    if type(state) in (list, tuple):
        for item in state:
            check_state(name, item)
    elif type(state) not in (type(None), bool, int, float, str, bytes, torch.Tensor):
        raise TypeError(
            f"{name} is of the type {type(state).__name__}; a checkpoint takes numbers, texts, tensors, and lists and"
            " dictionaries of these"
        )


class Interrupted(BaseException):
    """A signal stopped the run at a point from which it can go on. ``signum`` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class RandomState(Callback):
    """Carries every rank's random states of Python, NumPy and torch (CPU and the rank's own GPU) in the checkpoint.

    No other GPU is asked: that would open a context on it, and the machine that finishes the run may have fewer.
    """

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None
        self.device = torch.device("cpu")

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self.device = trainer.strategy.root_device

    def state_dict(self) -> dict[str, Any]:
        return {"ranks": ranks.gathered(self._own())}

    def _own(self) -> dict[str, Any]:
        kind, keys, position, has_gauss, gauss = np.random.get_state()
        version, internal, gauss_next = random.getstate()
        return {
            "python": [version, list(internal), gauss_next],
            "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
            "torch": torch.get_rng_state(),
            "cuda": [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict["ranks"][ranks.rank()]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Only now: building the trainer and the model may have drawn numbers after the checkpoint was read."""
        if self.loaded is None:
            return
        version, internal, gauss_next = self.loaded["python"]
        random.setstate((version, tuple(internal), gauss_next))
        kind, keys, position, has_gauss, gauss = self.loaded["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
        torch.set_rng_state(self.loaded["torch"])
        if self.loaded["cuda"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(self.loaded["cuda"][0], self.device)
        self.loaded = None


class ExactCheckpoint(Checkpoint):
    """Writes last.ckpt after a validation, where the plan says so, and on a signal.

    A validation within LEAST seconds of the last checkpoint writes none, unless it is the last or finds the best.
    It saves where nothing is pending: after a batch that ended an optimizer step, or, where that batch is followed by
    validation, after the validation. Lightning calls Checkpoint callbacks last, so all others have done their part.
    ``best.ckpt`` is the one with the best validation value of what the task's family ``keeps``, if ``keep_best``; of
    the first in its ``chooses`` if the run has no such value.
    ``about`` says which run it is of.

    Where there are several ranks, a signal to any of them stops all at the same step: about once a second they ask each
    other, at a step that all of them know. In the test they follow the first.
    """

    def __init__(self, folder: RunFolder, about: dict[str, Any], plan: Plan, keep_best: bool) -> None:
        self.folder, self.about, self.plan, self.keep_best = folder, about, plan, keep_best
        self.best: float | None = None
        self.finished = False
        self.saved_at = 0.0
        self.signum: int | None = None
        self.signalled_at = 0.0
        self.asked_at = (0, 0.0)  # step, time
        self.ask_next = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.saved_at = time.monotonic()
        self.asked_at = (trainer.global_step, self.saved_at)
        self._listen()

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._listen()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._listen()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = steps_taken(trainer, batch_idx)
        if step is None or self.plan.validation_due(step):
            return
        asked = self._asked(step)
        if self.plan.saving_due(step) or asked:
            self._save(trainer)
        if asked:
            self._stop()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        step = trainer.global_step
        self.finished = step == self.plan.steps or trainer.should_stop
        better = self.keep_best and self._is_best(pl_module)
        if better:  # before last.ckpt, which remembers this value: a crash in between writes it once more
            self.folder.check_held()
            trainer.save_checkpoint(self.folder.best)
        save = better or self.finished or self.plan.saving_due(step) or self._is_time()
        if save:
            self._save(trainer)
        self.ask_next = step
        if self._asked(step) and not self.finished:  # a signal may also come while a checkpoint is written
            if not save:
                self._save(trainer)
            self._stop()

    def _is_best(self, task: Any) -> bool:
        """Whether this validation is better than all before; then its value is the best from now on."""
        family, values = task.family, task.val_scores.compute()
        name = next((name for name in (family.keeps, *family.chooses) if values.get(name) is not None), None)
        if name is None:
            raise ValueError(
                f"checkpoint.best=true keeps the weights with the best val/{family.keeps}, which this run has not"
            )
        value = values[name]
        better = self.best is None or family.column(name).is_better(value, self.best)
        self.best = value if better else self.best
        return better

    def _is_time(self) -> bool:
        """Whether the last checkpoint was a while ago; several ranks, whose clocks differ, do not ask."""
        return ranks.world() > 1 or time.monotonic() >= self.saved_at + LEAST

    def _save(self, trainer: pl.Trainer) -> None:
        self.folder.check_held()
        trainer.save_checkpoint(self.folder.last)
        self.saved_at = time.monotonic()

    def _asked(self, step: int) -> bool:
        """Whether a signal came, to any rank."""
        if ranks.world() == 1 or step < self.ask_next:
            return ranks.world() == 1 and self.signum is not None
        (before, then), now = self.asked_at, time.monotonic()
        pace = int((step - before) / (now - then)) if ranks.rank() == 0 else 0  # steps a second, by one clock
        signum, pace = ranks.largest(self.signum or 0, pace)
        self.signum = signum or None
        self.asked_at, self.ask_next = (step, now), step + max(1, pace)
        return self.signum is not None

    def _stop(self) -> None:
        assert self.signum
        raise Interrupted(self.signum)

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if self.signum and ranks.rank() == 0:
            self._stop()

    def state_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "run": self.about, "best": self.best, "finished": self.finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a checkpoint and a stop; a second one, not of the same moment, stops at once."""
        before = {signum: signal.getsignal(signum) for signum in STOPS}
        self._listen()
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _listen(self) -> None:
        """Lightning puts its own handlers in place, and the one for SIGTERM waits for the other ranks right there."""
        for signum in STOPS:
            signal.signal(signum, self._hear)

    def _hear(self, signum: int, frame: FrameType | None) -> None:
        if self.signum and time.monotonic() - self.signalled_at > 0.5:  # a terminal's Ctrl-C may reach a rank twice
            os._exit(128 + signum)
        self.signum, self.signalled_at = signum, time.monotonic()
