"""How long a batch takes on this machine: a trial of the network itself, which is made once and kept.

So the same command makes the same choice the next time, and all jobs of a sweep make one.
"""

import hashlib
import itertools
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.base import Batch, Data
from ..data.cache import first_locked, folders
from ..models.base import RepeatedBlock
from ..plain import Plain
from ..system.files import DamagedError, read_json, write_json
from . import build, machine
from .rebuild import Rebuilt
from .teacher import build_task

Step = Callable[[], None]
log = logging.getLogger("xent")
DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
KINDS = ("convolution", "attention", "other")
WARM, LEAST, MOST, ENOUGH = 2, 3, 30, 0.5  # rounds that do not count, that do; seconds that are enough of them


@dataclass(frozen=True)
class Trial:
    """Seconds of a batch, forward and backward, by precision; the network's ``kind``, one of KINDS."""

    seconds: dict[str, float]
    kind: str


def kept_trial(cfg: Plain, data: Data, teacher: Rebuilt | None, device: str, precisions: list[str]) -> Trial | None:
    """The trial that is kept for such a batch on this machine, or a new one; None where the network fails.

    What hardly changes the seconds is left out, the loss too: losses that are compared are to choose alike. Of several
    processes one measures, the others wait.
    """
    about = {
        "model": cfg["model"],
        "batch": [data.batch_size, *data.spec.input_shape, data.spec.num_classes],
        "trainer": {key: cfg["trainer"][key] for key in ("threads", "devices", "num_nodes")},
        "machine": [machine.name_of(device), torch.__version__],
        "precisions": precisions,
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    with first_locked(folder / "speed" / f"{name}.json" for folder in folders()) as target:
        if target:
            return read(target, precisions) or write(target, about, tried(cfg, data, teacher, device, precisions))
    log.warning("how long a batch takes cannot be kept in %s: the next run measures it anew", folders()[0])
    return tried(cfg, data, teacher, device, precisions)


def read(path: Path, precisions: list[str]) -> Trial | None:
    """The trial in a file; None where there is no whole one."""
    try:
        stored = read_json(path)
        trial = Trial({name: float(stored["seconds"][name]) for name in precisions}, str(stored["kind"]))
    except (FileNotFoundError, DamagedError, LookupError, TypeError, ValueError):
        return None
    whole = trial.kind in KINDS and all(0 < value < math.inf for value in trial.seconds.values())
    return trial if whole else None


def write(path: Path, about: Plain, trial: Trial | None) -> Trial | None:
    """Keep a trial, if there is one."""
    try:
        if trial:
            write_json(path, about | asdict(trial))
    except OSError as error:
        log.warning("%s cannot be written (%s): the next run measures it anew", path, error.strerror)
    return trial


def tried(cfg: Plain, data: Data, teacher: Rebuilt | None, device: str, precisions: list[str]) -> Trial | None:
    """A trial on the first batch; it touches no random state of the run. A fault is for the run itself to meet."""
    place = torch.device("cuda" if device == "gpu" else "cpu")
    try:
        loss = build.build_loss(cfg, data.spec)
        model = build.build_model(cfg, data.spec, loss)
        task = build_task(cfg, data.spec, teacher, model=model, loss=loss).to(place).train()
        if precisions == ["64-true"]:
            task.double()
        task.on_fit_start()  # after double(), or a teacher in float64 would lose digits
        with torch.random.fork_rng(devices=[] if place.type == "cpu" else [torch.cuda.current_device()]):
            given = task.prepare(first_batch(cfg, data, place))
            steps = {name: backward(task, given, place, DTYPES.get(name)) for name in precisions}
            return Trial(fastest(steps, place), kind_of(model))
    except Exception:
        log.debug("the trial of a batch failed", exc_info=True)
        return None


def kind_of(model: nn.Module) -> str:
    modules = list(model.modules())
    if any(isinstance(module, nn.Conv2d) for module in modules):
        return "convolution"
    return "attention" if any(isinstance(module, RepeatedBlock) for module in modules) else "other"


def first_batch(cfg: Plain, data: Data, device: torch.device) -> Batch:
    """The first training batch, one rank's share of it."""
    world = cfg["trainer"]["devices"] * cfg["trainer"]["num_nodes"]
    loader = data.train_loader(cfg["seed"], 1, world=world)
    inputs, targets = loader.draw(0)
    return Batch(inputs.to(device), targets.to(device), loader.chance(0))


def backward(task: Any, given: dict[str, Tensor], place: torch.device, dtype: torch.dtype | None) -> Step:
    """What takes a batch forward and backward, under autocast where there is a ``dtype``."""

    def step() -> None:
        with torch.autocast(place.type, dtype or torch.bfloat16, enabled=dtype is not None):
            loss: Tensor = task.batch_loss(given)[0]
        loss.backward()  # type: ignore[no-untyped-call]
        task.zero_grad()

    return step


def fastest(steps: dict[str, Step], device: torch.device) -> dict[str, float]:
    """Seconds of the fastest of some calls of each, taken in turn: what else the machine does slows all alike."""
    found, begin = dict.fromkeys(steps, math.inf), time.perf_counter()
    for turn in itertools.count(1 - WARM):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn > 0:
                found[name] = min(found[name], time.perf_counter() - start)
        if turn == MOST or (turn >= LEAST and time.perf_counter() - begin > ENOUGH):
            break
    return found
