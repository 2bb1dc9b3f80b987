"""What can be told of a configuration before torch is imported. Each fault is a UserError."""

import ast
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import checks
from ..plain import Plain
from .errors import UserError, suggestion
from .schema import Config
from .signature import TargetNotFoundError, accepts, describe, signature

# group -> arguments that the builder passes, so no YAML may
PROVIDED = {
    "data": frozenset[str](),
    "loss": frozenset({"num_classes", "class_counts"}),
    "model": frozenset({"input_shape", "num_classes", "outputs", "class_names", "scalars"}),
    "optimizer": frozenset({"params", "hidden"}),
    "scheduler": frozenset({"total"}),
    "task": frozenset({"model", "loss", "spec", "stepping", "teacher", "judge"}),
}
FOLDER_NAME = re.compile(r"(?!debug$)\w[\w.+-]{0,79}", re.ASCII)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true", "auto")

# Keys that a configuration may lack.
OPTIONAL = ("ablation", "needs", "margin", "claims", "name", "label", "note", "tags")
ANY = ast.Name(id="Any")


def check(cfg: Plain) -> None:
    """Check a resolved configuration in plain containers. Raises UserError."""
    check_keys(Config, cfg)
    for group, provided in PROVIDED.items():
        check_target(group, cfg[group], provided)
    for place, node in callbacks_of(cfg).items():
        check_target(place, node, frozenset())
    try:
        check_values(cfg)
    except ValueError as error:
        raise UserError(str(error)) from None


def check_keys(kind: type, values: Any, place: str = "") -> None:
    """Check keys and types against those of a dataclass, at every depth. Raises UserError."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(values, dict):
        raise UserError(f"{place} takes no value; its keys are {', '.join(f'{place}.{name}' for name in known)}")
    for key in values:
        if key not in known:
            where = f"in {place}" if place else "at the top level"
            raise UserError(f"unknown key '{key}' {where}.{suggestion(key, known)} Valid: {', '.join(known)}")
    for name, field in known.items():
        key = f"{place}.{name}" if place else name
        if name not in values:
            if name in OPTIONAL:
                continue
            raise UserError(f"{key} is missing")
        if dataclasses.is_dataclass(field.default_factory):
            check_keys(field.default_factory, values[name], key)
        else:
            check_type(key, type_of(field), values[name])


def type_of(field: dataclasses.Field[Any]) -> ast.expr:
    return ast.parse(str(field.type), mode="eval").body


def check_type(key: str, annotation: ast.expr, value: Any) -> None:
    """Raise UserError where ``value`` is not of the type that ``key`` takes."""
    if value == "???":
        raise UserError(f"{key} has no value: this needs {key}=...")
    if not accepts(annotation, value):
        raise UserError(f"{key} must be {describe(annotation)}, got {'null' if value is None else repr(value)}")


def take_as_typed(cfg: Plain, typed: Mapping[str, str]) -> None:
    """Give the keys that want a text the one that was ``typed``, where Hydra read it as a number: runs=1e3."""
    for key, text in typed.items():
        *path, name = key.split(".")
        node: Any = cfg
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        annotation = wanted(cfg, path, name)
        if not isinstance(node, dict) or name not in node or annotation is None:
            continue  # the key is unknown, which is told later
        if accepts(annotation, text) and not accepts(annotation, node[name]):
            node[name] = text


def wanted(cfg: Plain, path: list[str], name: str) -> ast.expr | None:
    """The annotation of a key, of the schema or of a group's constructor; None where there is none."""
    kind: Any = Config
    for part in path:
        if part in PROVIDED:
            target = cfg[part].get("_target_") if isinstance(cfg.get(part), dict) else None
            try:
                parameters = signature(str(target))
            except TargetNotFoundError:
                return None
            return parameters[name].annotation if name in parameters else None
        kind = next((field.default_factory for field in dataclasses.fields(kind) if field.name == part), None)
        if not dataclasses.is_dataclass(kind):
            return None
    return next((type_of(field) for field in dataclasses.fields(kind) if field.name == name), None)


def callbacks_of(cfg: Plain) -> Plain:
    """The user's callbacks by their places, callbacks.NAME. Raises UserError where they are no callbacks with names."""
    found = cfg.get("callbacks")
    if found is None:
        return {}
    if not isinstance(found, dict) or "_target_" in found:
        raise UserError("callbacks must be null, or a mapping from a name to a callback: NAME: {_target_: ...}")
    for name, node in found.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise UserError(f"callbacks.{name} must be a mapping with a _target_, its class, got {node!r:.100}")
    return {f"callbacks.{name}": node for name, node in found.items()}


def check_target(group: str, node: Any, provided: frozenset[str]) -> None:
    """Bind a group's keys to the signature of its ``_target_``, types included. Raises UserError."""
    if group == "task" and not node:
        raise UserError(
            "the loss says no task: its option file begins with the line"
            " `defaults: [/task@_global_.task: classification, _self_]` (docs/own.md)"
        )
    if isinstance(node, dict) and node and "_target_" not in node:
        raise UserError(f"{group} has no _target_, which names its class: _target_: package.module.Class")
    if not isinstance(node, dict) or not node:
        raise UserError(f"no {group} is chosen: {group}=OPTION takes a file of conf/{group}/")
    target = node["_target_"]
    try:
        parameters = signature(target)
    except TargetNotFoundError as error:
        raise UserError(f"{group}._target_={str(target)[:200]}: {error}") from None
    open_to_user = {name: p for name, p in parameters.items() if name not in provided}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in open_to_user:
            valid = ", ".join(open_to_user) or "it takes none"
            raise UserError(f"unknown key '{key}' in {group} ({target}).{suggestion(key, open_to_user)} Valid: {valid}")
        check_type(f"{group}.{key}", open_to_user[key].annotation or ANY, value)
    missing = [name for name, p in open_to_user.items() if p.required and name not in node]
    if missing:
        raise UserError(f"{group} ({target}) needs {', '.join(f'{group}.{name}=...' for name in missing)}")


def check_values(cfg: Plain) -> None:
    """Ranges of the keys that no constructor checks. Raises ValueError."""
    trainer, samples = cfg["trainer"], cfg["samples"]
    for key in ("resume", "teacher", "judge", "runs"):
        if cfg[key] == "":
            raise ValueError(f"{key}= has no value; name a folder")
    for key in ("name", "label"):
        if cfg[key] is not None and not FOLDER_NAME.fullmatch(cfg[key]):
            raise ValueError(
                f"{key} must be a folder's name of up to 80 letters, digits and . _ + -, first a letter, digit or _"
                f" (but not 'debug', where runs for debugging are), got {cfg[key]!r}"
            )
    checks.integer("seed", cfg["seed"], low=0, high=2**32 - 1)  # NumPy's largest
    if "lr" in cfg["optimizer"]:
        checks.number("optimizer.lr", cfg["optimizer"]["lr"], low=0)
    for key in ("devices", "num_nodes", "threads"):
        if trainer[key] is not None:
            checks.integer(f"trainer.{key}", trainer[key], low=1, high=1024)  # OpenMP dies of too many threads
    for key in ("accumulate_grad_batches", "log_every_n_steps"):
        checks.integer(f"trainer.{key}", trainer[key], low=1)
    for key in (
        *("max_epochs", "max_steps", "val_every_n_steps"),
        *("limit_train_batches", "limit_eval_batches", "overfit_batches"),
    ):
        if trainer[key] is not None:
            checks.integer(f"trainer.{key}", trainer[key], low=1)
    check_ranks(cfg)
    if trainer["max_epochs"] is None and trainer["max_steps"] is None:
        raise ValueError("the run has no end: set trainer.max_epochs or trainer.max_steps")
    if trainer["gradient_clip_val"] is not None:
        checks.number("trainer.gradient_clip_val", trainer["gradient_clip_val"], above=0)
    checks.choice("trainer.precision", trainer["precision"], PRECISIONS)
    if cfg["compile"] == "reduce-overhead" and trainer["accumulate_grad_batches"] > 1:
        raise ValueError(
            "compile=reduce-overhead takes no trainer.accumulate_grad_batches > 1: a CUDA graph writes each batch's"
            " gradients where the last one's were; take compile=true"
        )
    if cfg["ema"]["decay"] is not None:
        checks.number("ema.decay", cfg["ema"]["decay"], low=0, below=1)
    for key, value in (
        ("early_stopping.patience", cfg["early_stopping"]["patience"]),
        ("checkpoint.every_n_steps", cfg["checkpoint"]["every_n_steps"]),
        ("samples.top_k", samples["top_k"]),
    ):
        if value is not None:
            checks.integer(key, value, low=1)
    checks.integer("samples.count", samples["count"], low=0)
    checks.integer("samples.length", samples["length"], low=1)
    checks.number("samples.temperature", samples["temperature"], above=0)
    if samples["prompt"] == "":
        raise ValueError("samples.prompt must be at least one character, got ''")


def check_homes(cfg: Plain) -> None:
    """Raise UserError where a run's place is below a home folder that is not there; data sets check their own."""
    for key in ("runs", "resume", "teacher", "judge"):
        value = cfg.get(key)
        try:
            if isinstance(value, str):
                Path(value).expanduser()
        except RuntimeError:
            raise UserError(f"{key} names a home folder that is not known, got {value!r}") from None


def check_ranks(cfg: Plain) -> None:
    """What several devices ask of the other keys. Raises ValueError."""
    trainer, batch = cfg["trainer"], cfg["data"].get("batch_size")
    devices, nodes, strategy = trainer["devices"], trainer["num_nodes"], trainer["strategy"]
    world = devices * nodes
    if strategy is None and world > 1:
        raise ValueError(f"trainer.devices={devices} trainer.num_nodes={nodes}: several devices need trainer=ddp")
    if isinstance(batch, int) and batch % world:  # equal shares, or the mean of the ranks' means is not the batch's
        raise ValueError(
            f"data.batch_size is over all devices and must be a multiple of the {world} there are"
            f" (trainer.devices={devices} x trainer.num_nodes={nodes}), got {batch}"
        )
    if strategy == "fsdp":
        for key, value, refused in (
            ("teacher", cfg["teacher"], cfg["teacher"] is not None),
            ("ema.decay", cfg["ema"]["decay"], cfg["ema"]["decay"] is not None),
            ("trainer.gradient_clip_val", trainer["gradient_clip_val"], trainer["gradient_clip_val"] is not None),
            ("trainer.precision", trainer["precision"], trainer["precision"] == "64-true"),
            ("optimizer", "muon", cfg["optimizer"]["_target_"] == "src.optim.muon.Muon"),  # of pieces of a matrix
        ):
            if refused:
                raise ValueError(f"trainer=fsdp cannot do {key}={value}; take trainer=ddp, or leave it out")
