"""The top level of every configuration: which keys there are, and of which type. Hydra merges the YAML files into it.

Group options (data, model, ...) are free-form here; their keys are checked against constructors in check.py. Hydra only
learns which keys there are: it would convert a value to a type, 1e3 for a folder to 1000.0, before anyone can look.
"""

from __future__ import annotations  # types as they are written: check.py reads them

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, Literal

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from ..names import called


@dataclass
class TrainerConf:
    """How long and on what to train. Values and comments: conf/trainer/."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    strategy: Literal["ddp", "fsdp"] | None = None
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
    """Which checkpoints to write besides those after validations."""

    every_n_steps: int | None = None
    best: bool = False


@dataclass
class EMAConf:
    """Exponential moving average of the weights."""

    decay: float | None = None


@dataclass
class EarlyStoppingConf:
    """Stop when validation has not become better."""

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
class AblationConf:
    """Runs to compare: each line of ``runs`` is what a user would type behind ``train.py -m``, once for each seed."""

    baseline: str  # the label of one of the runs
    runs: list[str]
    seeds: list[int]
    needs: list[str] = field(default_factory=list)  # keys that the user has to type
    margin: str | None = None  # within what the report calls losses equal: "accuracy:0.005,nll:0.01"
    claims: list[Any] = field(default_factory=list)  # what a published table says (src/metrics/claims.py)


# The names under which Hydra finds the classes of src/sweep/plugin.py; it wants them to begin so.
SWEEPER, LAUNCHER = "hydra_plugins.xent.JobsSweeper", "hydra_plugins.xent.ProcessesLauncher"
# Runs each job as a process of its own. jobs: runs at a time; None: one for each GPU, or, on a CPU, one for each core.
# devices: GPUs to share out, by index; None: all that this process sees. on_error: after a failed run, go on or stop.
PROCESSES = {"_target_": LAUNCHER, "jobs": None, "devices": None, "on_error": "continue"}


@dataclass
class Config:
    """Everything that a command can set."""

    data: Any = None
    model: Any = None
    loss: Any = None
    task: Any = None  # the loss's option file brings it
    optimizer: Any = None
    scheduler: Any = None
    callbacks: Any = None
    trainer: TrainerConf = field(default_factory=TrainerConf)
    experiment: str | None = None
    ablation: AblationConf | None = None
    teacher: str | None = None
    judge: str | None = None
    seed: int = 0
    compile: bool | Literal["auto", "reduce-overhead"] = False
    ema: EMAConf = field(default_factory=EMAConf)
    early_stopping: EarlyStoppingConf = field(default_factory=EarlyStoppingConf)
    checkpoint: CheckpointConf = field(default_factory=CheckpointConf)
    samples: SamplesConf = field(default_factory=SamplesConf)
    logger: (  # who draws the curves
        Literal["tensorboard", "csv", "wandb", "mlflow"] | list[Literal["tensorboard", "csv", "wandb", "mlflow"]] | None
    ) = "tensorboard"
    x_axis: Literal["step", "samples_seen"] = "step"  # of TensorBoard's curves; metrics.csv always has both
    profiler: bool = False
    runs: str = "runs"
    name: str | None = None
    label: str | None = None
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    resume: str | None = None
    figures: bool = True
    overwrite: bool = False
    retry_failed: bool = False


@functools.cache
def keys_of(kind: type) -> type:
    """A dataclass with the keys and defaults of ``kind``, nested ones too, that takes any value."""
    fields: list[tuple[str, Any, Any]] = []
    for one in dataclasses.fields(kind):
        inner = one.default_factory
        if dataclasses.is_dataclass(inner):
            fields.append((one.name, keys_of(inner), field(default_factory=keys_of(inner))))
        elif inner is list:
            fields.append((one.name, Any, field(default_factory=list)))
        else:
            fields.append((one.name, Any, one.default))
    return dataclasses.make_dataclass(kind.__name__, fields)


def keys_below(key: str) -> list[str]:
    """The keys inside of a key of the top level: decay of ema. [] where there are none."""
    kind = next((one.default_factory for one in dataclasses.fields(Config) if one.name == key), None)
    return [one.name for one in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def register() -> None:
    """Make the schema known to Hydra, and what its help is made of."""
    OmegaConf.register_new_resolver("called", called, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=keys_of(Config))
    store.store(group="hydra/sweeper", name="jobs", node={"_target_": SWEEPER})
    store.store(group="hydra/launcher", name="processes", node=PROCESSES)
