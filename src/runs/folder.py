"""A run's folder: its name, its state, and the lock that keeps a second writer out."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from src.config.errors import UserError
from src.runs.files import YamlLoader, write_json, write_yaml

Plain = dict[str, Any]

# Keys that cannot change a run's numbers.
NEUTRAL = (
    *("seed", "experiment", "ablation", "logger", "x_axis", "figures", "runs", "resume", "teacher", "samples"),
    *("overwrite", "retry_failed", "profiler"),
    *("trainer.log_every_n_steps", "trainer.accelerator", "checkpoint.every_n_steps", "data.root", "data.path"),
    "data.resident",
)
# Keys of config.yaml without which a run cannot be tested again.
TESTED_WITH = ("data", "model", "loss", "trainer", "teacher", "seed", "compile", "calibration", "samples", "facts")

BUSY = "another process is training this very run"


def identity(cfg: Plain, facts: Plain) -> str:
    """Eight hex digits that name a configuration without its seed: a hash of all that can change its numbers.

    ``facts`` are those that no key holds: the data's fingerprint, threads and device as resolved.
    """
    kept = {}
    for key, value in cfg.items():
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if f"{key}.{name}" not in NEUTRAL}
        if key not in NEUTRAL:
            kept[key] = value
    text = json.dumps(as_floats({"config": kept, "facts": facts}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def as_floats(value: Any) -> Any:
    """Plain containers with every integer as a float: loss.gamma=2 is the default's 2.0."""
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def slug(choices: Plain, typed: list[str]) -> str:
    """A readable name, the loss and what the user changed: "focal-gamma3". Nothing in it needs quotes in a command."""
    parts = [str(choices["loss"])]
    for override in typed:
        key, _, value = override.lstrip("+~").partition("=")
        if override == "debug=profiler":
            continue
        if not {key, key.partition(".")[0]} & set(NEUTRAL) and key not in ("data", "model", "loss", "trainer.threads"):
            parts.append(value if key in choices else f"{key.rpartition('.')[2]}{value}")
    return re.sub(r"[^\w.+-]+", "_", "-".join(parts))[:60].rstrip("_-.")


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
            return json.loads(self.result.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UserError(f"{self.result} is damaged ({error}); train anew with overwrite=true") from None

    def write_result(self, result: Plain) -> None:
        write_json(self.result, result)

    def read_config(self) -> Plain:
        """What config.yaml holds. Raises UserError where this is no run's folder."""
        try:
            config = yaml.load(self.config.read_text(), YamlLoader)
            assert isinstance(config, dict)
            assert "choices" in config
        except (OSError, ValueError, AssertionError, yaml.YAMLError):
            seeds = sorted(path.name for path in self.path.glob("seed*"))
            hint = f" Did you mean {self.path / seeds[0]}?" if seeds else ""
            raise UserError(f"{self.path} is no run's folder: it has no readable config.yaml.{hint}") from None
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
