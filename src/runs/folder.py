"""A run's folder: its name, its state, and the lock that keeps a second writer out."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.runs.files import DamagedError, read_json, read_yaml, write_json, write_yaml

Plain = dict[str, Any]

# Keys of config.yaml without which a run cannot be tested again.
TESTED_WITH = ("data", "model", "loss", "trainer", "teacher", "seed", "compile", "calibration", "samples", "facts")

BUSY = "another process is training this very run"


def family(cfg: Plain, choices: Plain) -> Path:
    """The folder of all runs of an ablation, else of an experiment, else of a data set and a model."""
    name = choices["ablation"] or choices["experiment"] or f"{choices['data']}-{choices['model']}"
    return Path(cfg["runs"]).expanduser() / name


@contextlib.contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Make the folder ``path`` and hold it alone, until the process dies at the latest. Raises UserError ``busy``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"runs: {path} cannot be made: {error.strerror}") from None
    with (path / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(busy) from None
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the folder ``path``, or may do so: a lock that cannot be read tells nothing."""
    try:
        with (path / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class RunFolder:
    """``runs/<ablation, else experiment, else data-model>/<slug>-<id8>/seed<k>``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.result = path / "result.json"
        self.weights = path / "weights.safetensors"
        self.figures = path / "figures"
        self.profile = path / "profile"
        self.predictions = path / "predictions.npz"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"

    def read_result(self) -> Plain:
        """What result.json says; {} where there is none. Raises UserError if it is damaged."""
        try:
            result = read_json(self.result)
            if not isinstance(result, dict):
                raise DamagedError(self.result, "it holds no result of a run")
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            raise UserError(f"{error}; train anew with overwrite=true") from None
        return result

    def write_result(self, result: Plain) -> None:
        write_json(self.result, result)

    def read_config(self) -> Plain:
        """What config.yaml holds. Raises UserError where this is no run's folder."""
        try:
            config = read_yaml(self.config)
            if not isinstance(config, dict) or "choices" not in config:
                raise DamagedError(self.config, "it holds no configuration of a run")
        except FileNotFoundError:
            seeds = sorted(path.name for path in self.path.glob("seed*"))
            hint = f" Did you mean {self.path / seeds[0]}?" if seeds else ""
            raise UserError(f"{self.path} is no run's folder: it has no config.yaml.{hint}") from None
        except DamagedError as error:
            raise UserError(f"{self.path} is no run's folder: {error}") from None
        return config

    def read_finished(self) -> tuple[Plain, Plain]:
        """Configuration and result of a finished run. Raises UserError."""
        config, result = self.read_config(), self.read_result()
        status = result.get("status", "not started")
        if status != "finished":
            retry = " retry_failed=true" if status == "failed" else ""
            raise UserError(f"{self.path} is {status}: finish it first, python train.py resume={self.path}{retry}")
        lacking = [key for key in TESTED_WITH if key not in config]
        if lacking or "temperature" not in result.get("metrics", {}).get("test", {}):
            what = f"{self.config} has no {lacking[0]}" if lacking else f"{self.result} has no temperature"
            raise UserError(f"{what}: damaged, or written by another version of xent")
        return config, result

    def write_config(self, config: Plain) -> None:
        write_yaml(self.config, config)

    def clear(self) -> None:
        """Delete all that a run wrote; the lock stays."""
        for item in self.path.iterdir():
            if item.is_dir():
                shutil.rmtree(item)
            elif item.name != ".lock":
                item.unlink()

    def check_place(self) -> None:
        """Raise UserError if the folder could not be made."""
        existing = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        if not existing.is_dir():
            raise UserError(f"runs: {self.path} cannot be made, {existing} is a file")
        if not os.access(existing, os.W_OK):
            raise UserError(f"runs: {self.path} cannot be made, {existing} is not writable")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Make the folder and hold it alone. Raises UserError if another process does."""
        return held(self.path, f"{self.path}: {BUSY}")
