"""The top level of every configuration: which keys there are, and of which type. Hydra merges the YAML files into it.

Group options (data, model, ...) are free-form here; their keys are checked against constructors in check.py.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore


class Accelerator(Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class LoggerKind(Enum):
    """Who draws the curves; metrics.csv is always written."""

    tensorboard = "tensorboard"
    csv = "csv"
    wandb = "wandb"


@dataclass
class TrainerConf:
    """How long and on what to train. Values and comments: conf/trainer/."""

    accelerator: Accelerator = Accelerator.auto
    devices: int = 1
    precision: str = "32-true"
    threads: int | None = None
    max_epochs: int | None = None
    max_steps: int | None = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    val_every_n_steps: int | None = None
    log_every_n_steps: int = 50
    limit_train_batches: int | None = None
    limit_eval_batches: int | None = None
    overfit_batches: int | None = None


@dataclass
class CheckpointConf:
    """Which checkpoints to write besides the one at each validation."""

    every_n_steps: int | None = None
    best: bool = False


@dataclass
class EMAConf:
    """Exponential moving average of the weights."""

    decay: float | None = None


@dataclass
class EarlyStoppingConf:
    """Stop when validation nll has not improved."""

    patience: int | None = None


@dataclass
class SamplesConf:
    """Text that language runs write."""

    count: int = 2
    length: int = 300
    temperature: float = 1.0
    top_k: int | None = None
    prompt: str | None = None


@dataclass
class Config:
    """Everything that a command can set."""

    data: Any = None
    model: Any = None
    loss: Any = None
    optimizer: Any = None
    scheduler: Any = None
    trainer: TrainerConf = field(default_factory=TrainerConf)
    experiment: str | None = None
    teacher: str | None = None
    seed: int = 0
    compile: bool = False
    ema: EMAConf = field(default_factory=EMAConf)
    early_stopping: EarlyStoppingConf = field(default_factory=EarlyStoppingConf)
    checkpoint: CheckpointConf = field(default_factory=CheckpointConf)
    samples: SamplesConf = field(default_factory=SamplesConf)
    logger: LoggerKind = LoggerKind.tensorboard
    runs: str = "runs"
    resume: str | None = None
    overwrite: bool = False
    retry_failed: bool = False


def register() -> None:
    """Make the schema known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
