"""Another run that a run hears, a teacher or a judge: found, checked, and made to read the run's own batches."""

from pathlib import Path
from typing import Any

import torch

from ..config.errors import UserError
from ..config.signature import signature
from ..data.base import Spec
from ..plain import Plain
from ..tasks.base import Task
from ..tasks.distillation import Teacher
from ..tasks.judge import Judge
from .build import construct
from .rebuild import Rebuilt, check_classifies, rebuild

# key -> what it becomes, and which losses hear it
KINDS: dict[str, tuple[type[Teacher], str]] = {
    "teacher": (Teacher, "loss=distillation"),
    "judge": (Judge, "losses of networks that make images, such as loss=gan,"),
}


def heard(cfg: Plain) -> str:
    """Which key of KINDS names the run that the task hears; "" if it hears none."""
    return next((key for key in KINDS if key in signature(cfg["task"]["_target_"])), "")


def find_teacher(cfg: Plain) -> Rebuilt | None:
    """The run that ``teacher`` or ``judge`` names, where the loss wants one. Raises UserError."""
    loss, wanted = cfg["choices"]["loss"], heard(cfg)
    for key, (_, losses) in KINDS.items():
        if key != wanted and cfg.get(key):
            raise UserError(f"{key}={cfg[key]} is heard by {losses} alone, not by loss={loss}; leave it out")
    if not wanted:
        return None
    path = cfg.get(wanted)  # a run that is older than the key has none
    if not path and signature(cfg["task"]["_target_"])[wanted].required:
        raise UserError(f"loss={loss} needs a {wanted}: {wanted}=RUN_FOLDER, the folder of a finished run")
    if not path:
        return None
    try:
        return rebuild(Path(path).expanduser())
    except UserError as error:
        raise UserError(f"{wanted}={path}: {error}") from None


def build_task(cfg: Plain, spec: Spec, teacher: Rebuilt | None, **parts: Any) -> Task:
    """The task that the loss brings, of the model and loss in ``parts``; a teacher as it reads the data of ``spec``."""
    key = heard(cfg)
    own = {key: fitted(teacher, spec, key, cfg[key])} if teacher else {}
    task: Task = construct(cfg, "task", spec=spec, **parts, **own)
    return task


def fitted(run: Rebuilt, spec: Spec, key: str, path: str) -> Teacher:
    """The run as a module for the data of ``spec``. Raises UserError where classes, inputs or link do not agree."""
    kind, name = KINDS[key][0], f"{key}={path}"
    check_classifies(run, name)
    theirs = run.spec
    if theirs.kind != spec.kind:
        raise UserError(f"{name} reads {theirs.kind}, the data give {spec.kind}")
    if theirs.class_names != spec.class_names:
        what = "characters" if spec.kind == "text" else "classes"
        odd = sorted(set(theirs.class_names) ^ set(spec.class_names)) or ["the order"]
        raise UserError(
            f"{name} knows other {what}: {len(theirs.class_names)} there, {len(spec.class_names)} here"
            f" (they differ in {', '.join(map(repr, odd[:5]))})"
        )
    if spec.kind == "image" and theirs.input_shape != spec.input_shape:
        raise UserError(f"{name} reads images of {theirs.input_shape}, the data give {spec.input_shape}")
    if spec.kind == "text" and theirs.input_shape[0] < spec.input_shape[0]:
        raise UserError(
            f"{name} reads blocks of {theirs.input_shape[0]} characters at most, the data give"
            f" {spec.input_shape[0]}: take data.block_size={theirs.input_shape[0]}"
        )
    if run.loss.log_probs(torch.zeros(1, run.loss.outputs(theirs.num_classes))) is None:
        raise UserError(f"{name} was trained with a loss whose scores are no probabilities; take another {key}")
    if spec.kind == "text":
        return kind(model=run.model, loss=run.loss, scale=None, shift=None)
    mean, std, own_mean, own_std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in (spec.mean, spec.std, theirs.mean, theirs.std)
    )
    try:
        return kind(model=run.model, loss=run.loss, scale=std / own_std, shift=(mean - own_mean) / own_std)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
