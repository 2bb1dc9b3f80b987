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


class Strategy(Enum):
    """How several devices share a run."""

    ddp = "ddp"
    fsdp = "fsdp"


class Criterion(Enum):
    """What the temperature is fitted to."""

    nll = "nll"
    ece_grid = "ece_grid"


class LoggerKind(Enum):
    """Who draws the curves; metrics.csv is always written."""

    tensorboard = "tensorboard"
    csv = "csv"
    wandb = "wandb"


class XAxis(Enum):
    """What TensorBoard's curves are drawn over; metrics.csv always has both."""

    step = "step"
    samples_seen = "samples_seen"


@dataclass
class TrainerConf:
    """How long and on what to train. Values and comments: conf/trainer/."""

    accelerator: Accelerator = Accelerator.auto
    strategy: Strategy | None = None
    devices: int = 1
    num_nodes: int = 1
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
class CalibrationConf:
    """Temperature scaling after training."""

    criterion: Criterion = Criterion.nll


@dataclass
class SamplesConf:
    """Text that language runs write."""

    count: int = 2
    length: int = 300
    temperature: float = 1.0
    top_k: int | None = None
    prompt: str | None = None


@dataclass
class AblationConf:
    """Runs to compare: each line of ``runs`` is what a user would type behind ``train.py -m``, once for each seed."""

    baseline: str  # the label of one of the runs
    runs: list[str]
    seeds: list[int]
    needs: list[str] = field(default_factory=list)  # keys that the user has to type


@dataclass
class JobsSweeperConf:
    """Makes the list of jobs of a sweep or an ablation."""

    _target_: str = "hydra_plugins.xent.JobsSweeper"


@dataclass
class ProcessesLauncherConf:
    """Runs each job as a process of its own."""

    _target_: str = "hydra_plugins.xent.ProcessesLauncher"
    jobs: int | None = None  # runs at a time; None: one for each GPU, or, on a CPU, one for each core
    devices: list[int] | None = None  # GPUs to share out, by index; None: all that this process sees
    on_error: str = "continue"  # after a failed run: continue, or stop (start no more)


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
    ablation: AblationConf | None = None
    teacher: str | None = None
    seed: int = 0
    compile: Any = False
    ema: EMAConf = field(default_factory=EMAConf)
    early_stopping: EarlyStoppingConf = field(default_factory=EarlyStoppingConf)
    checkpoint: CheckpointConf = field(default_factory=CheckpointConf)
    calibration: CalibrationConf = field(default_factory=CalibrationConf)
    samples: SamplesConf = field(default_factory=SamplesConf)
    logger: LoggerKind = LoggerKind.tensorboard
    x_axis: XAxis = XAxis.step
    profiler: bool = False
    runs: str = "runs"
    resume: str | None = None
    figures: bool = True
    overwrite: bool = False
    retry_failed: bool = False


def register() -> None:
    """Make the schema known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="hydra/sweeper", name="jobs", node=JobsSweeperConf)
    store.store(group="hydra/launcher", name="processes", node=ProcessesLauncherConf)
