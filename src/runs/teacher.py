"""The teacher of a distillation: found, checked, and made to read the student's batches."""

from pathlib import Path
from typing import Any

import torch

from ..config.errors import UserError
from ..config.signature import signature
from ..data.base import Spec
from ..plain import Plain
from ..tasks.base import Task
from ..tasks.distillation import Teacher
from .build import construct
from .rebuild import Rebuilt, check_classifies, rebuild


def find_teacher(cfg: Plain) -> Rebuilt | None:
    """The run that ``teacher`` names, where the loss wants one. Raises UserError."""
    loss, path = cfg["choices"]["loss"], cfg["teacher"]
    if "teacher" not in signature(cfg["task"]["_target_"]):
        if path:
            raise UserError(f"teacher={path} is heard by loss=distillation alone, not by loss={loss}; leave it out")
        return None
    if not path:
        raise UserError(f"loss={loss} needs a teacher: teacher=RUN_FOLDER, the folder of a finished run")
    try:
        return rebuild(Path(path).expanduser())
    except UserError as error:
        raise UserError(f"teacher={path}: {error}") from None


def build_task(cfg: Plain, spec: Spec, teacher: Rebuilt | None, **parts: Any) -> Task:
    """The task that the loss brings, of the model and loss in ``parts``; a teacher as it reads the data of ``spec``."""
    heard = {"teacher": fitted(teacher, spec, cfg["teacher"])} if teacher else {}
    task: Task = construct(cfg, "task", spec=spec, **parts, **heard)
    return task


def fitted(run: Rebuilt, spec: Spec, path: str) -> Teacher:
    """The teacher as a module for the student's data. Raises UserError where classes, inputs or link do not agree."""
    check_classifies(run, f"teacher={path}")
    theirs = run.spec
    if theirs.kind != spec.kind:
        raise UserError(f"teacher={path} reads {theirs.kind}, the student {spec.kind}")
    if theirs.class_names != spec.class_names:
        what = "characters" if spec.kind == "text" else "classes"
        odd = sorted(set(theirs.class_names) ^ set(spec.class_names)) or ["the order"]
        raise UserError(
            f"teacher={path} knows other {what}: {len(theirs.class_names)} there, {len(spec.class_names)} here"
            f" (they differ in {', '.join(map(repr, odd[:5]))})"
        )
    if spec.kind == "image" and theirs.input_shape != spec.input_shape:
        raise UserError(f"teacher={path} reads images of {theirs.input_shape}, the student of {spec.input_shape}")
    if spec.kind == "text" and theirs.input_shape[0] < spec.input_shape[0]:
        raise UserError(
            f"teacher={path} reads blocks of {theirs.input_shape[0]} characters at most, the student of"
            f" {spec.input_shape[0]}: take data.block_size={theirs.input_shape[0]}"
        )
    if run.loss.log_probs(torch.zeros(1, run.loss.outputs(theirs.num_classes))) is None:
        raise UserError(
            f"teacher={path} was trained with a loss whose scores are no probabilities; take another teacher"
        )
    if spec.kind == "text":
        return Teacher(model=run.model, loss=run.loss, scale=None, shift=None)
    mean, std, own_mean, own_std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in (spec.mean, spec.std, theirs.mean, theirs.std)
    )
    return Teacher(model=run.model, loss=run.loss, scale=std / own_std, shift=(mean - own_mean) / own_std)
