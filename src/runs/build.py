"""From a checked configuration to objects. What a constructor refuses becomes a UserError that names the key."""

import importlib
import logging
from dataclasses import asdict
from typing import Any

import torch
import yaml

from src.config.entry import CONF
from src.config.errors import UserError
from src.config.signature import signature
from src.config.trust import check_trusted
from src.data.base import Data, DataError, Spec, generator
from src.losses.base import LogitLoss
from src.models.base import Network
from src.tasks.schedules import Schedule
from src.tasks.supervised import parameter_groups

Plain = dict[str, Any]
log = logging.getLogger("xent")
# group -> what its classes are
BASES: dict[str, tuple[type, str]] = {
    "data": (Data, "data set"),
    "model": (Network, "network"),
    "loss": (LogitLoss, "loss"),
    "optimizer": (torch.optim.Optimizer, "optimizer"),
    "scheduler": (Schedule, "schedule"),
}


def class_of(cfg: Plain, group: str) -> type[Any]:
    """The class that a group names: the one way to import it. Raises UserError where it is not trusted or unfit."""
    target = cfg[group]["_target_"]
    check_trusted(group, target)
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of the user's own raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{group}._target_={target} cannot be imported: {reason}") from error
    base, what = BASES[group]
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(
            f"{group}._target_={target} is no {what} (a sub-class of {base.__module__}.{base.__qualname__})"
        )
    return found


def construct(cfg: Plain, group: str, **provided: Any) -> Any:
    """Call the ``_target_`` of a group with its keys and with those of ``provided`` that its constructor has."""
    keys = {key: value for key, value in cfg[group].items() if key != "_target_"}
    constructor, taken = class_of(cfg, group), signature(cfg[group]["_target_"])
    try:
        return constructor(**keys, **{key: value for key, value in provided.items() if key in taken})
    except (ValueError, TypeError) as error:
        raise UserError(f"{group}.{error}" if str(error).split(" ")[0] in keys else f"{group}: {error}") from error


def build_data(cfg: Plain) -> Data:
    """The data set, nothing read yet."""
    data: Data = construct(cfg, "data")
    trainer = cfg["trainer"]
    data.accumulate = trainer["accumulate_grad_batches"]
    data.limit = trainer["overfit_batches"] or trainer["limit_train_batches"]
    data.dtype = torch.float64 if trainer["precision"] == "64-true" else torch.float32
    return data


def load(data: Data) -> Spec:
    """Read the data; its sizes."""
    try:
        data.load()
    except DataError as error:
        raise UserError(str(error)) from error
    return data.spec


def fingerprint(data: Data) -> str:
    """What the data are, read if need be."""
    try:
        return data.fingerprint()
    except DataError as error:
        raise UserError(str(error)) from error


def build_loss(cfg: Plain, spec: Spec) -> LogitLoss:
    try:
        return construct(cfg, "loss", num_classes=spec.num_classes, class_counts=spec.class_counts)
    except UserError as error:
        if not str(error).startswith("loss: class_counts"):
            raise
        unseen = [name for name, n in zip(spec.class_names, spec.class_counts, strict=True) if n == 0]
        raise UserError(
            f"loss={cfg['choices']['loss']} weighs classes by how often they are in the training split,"
            f" which has none of {', '.join(map(repr, unseen[:5]))}"
        ) from error


def build_model(cfg: Plain, spec: Spec, loss: LogitLoss) -> Network:
    """The network, its weights a function of (seed, model) alone: all losses start from the same."""
    with torch.random.fork_rng(devices=[]):  # of the CPU, where weights are drawn; by default, of every GPU there is
        torch.manual_seed(generator("weights", cfg["seed"]).initial_seed())
        return construct(
            cfg,
            "model",
            input_shape=spec.input_shape,
            num_classes=spec.num_classes,
            outputs=loss.outputs(spec.num_classes),
        )


def check_fit(cfg: Plain, data: Data) -> None:
    """Raise UserError, before anything is read, where model or loss and the data do not fit together."""
    reads = getattr(class_of(cfg, "model"), "inputs", data.kind)
    if reads != data.kind:
        fitting = {"image": "mlp, model=resnet or model=vit", "text": "gpt"}[data.kind]
        model, name = cfg["choices"]["model"], cfg["choices"]["data"]
        raise UserError(f"model={model} reads {reads}, data={name} gives {data.kind}: take model={fitting}")
    loss = class_of(cfg, "loss")
    check_targets(cfg, data, loss)
    check_batch(cfg, data, loss)


def check_targets(cfg: Plain, data: Data, loss: type[LogitLoss]) -> None:
    """Raise UserError where targets are distributions and the loss, or what is asked of the run, wants classes."""
    if not data.soft_targets:
        return
    if not loss.soft_targets:
        raise UserError(
            f"loss={cfg['choices']['loss']} learns from classes, data.mixup={cfg['data']['mixup']} gives distributions"
            f" over them: take data.mixup=null or loss={', '.join(soft_losses())}"
        )
    if cfg["trainer"]["overfit_batches"]:
        raise UserError(
            "trainer.overfit_batches validates on training batches, which data.mixup mixes: take data.mixup=null"
        )


def soft_losses() -> list[str]:
    """The options of the group loss whose class takes distributions as targets."""
    options = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONF / "loss").glob("*.yaml"))}
    return [
        name
        for name, option in options.items()
        if "_target_" in option and class_of({"loss": option}, "loss").soft_targets
    ]


def check_batch(cfg: Plain, data: Data, loss: type[LogitLoss]) -> None:
    """Raise UserError where a loss over the statistics of its batch would not see the batch whole."""
    if not loss.batch_statistic:
        return
    name, why = cfg["choices"]["loss"], "is a statistic of the whole batch"
    if data.kind == "text":
        raise UserError(f"loss={name} {why} of examples, data={cfg['choices']['data']} gives text: take images")
    for key in ("accumulate_grad_batches", "devices", "num_nodes"):
        value = cfg["trainer"][key]
        if value > 1:
            raise UserError(f"loss={name} {why}, trainer.{key}={value} cuts it: take trainer.{key}=1")


def check_batches(cfg: Plain, data: Data) -> None:
    """Raise UserError where data that are read do not fill an optimizer step, or a batch gives no equal shares."""
    world = cfg["trainer"]["devices"] * cfg["trainer"]["num_nodes"]
    if data.batch_size % world:
        raise UserError(
            f"data.batch_size is {data.batch_size}, all that there is to train on: not a multiple of the {world}"
            f" devices; take data.batch_size={data.batch_size // world * world or world} or fewer devices"
        )

    if data.steps_per_epoch() == 0:
        epoch = min(count for count in (data.batches_per_epoch(), data.limit) if count is not None)
        raise UserError(
            f"trainer.accumulate_grad_batches={data.accumulate}: an epoch has {epoch} batches of {data.batch_size}"
            " (data.batch_size, trainer.limit_train_batches, trainer.overfit_batches), too few for an optimizer step"
        )


def build_optimizer(cfg: Plain, model: Network) -> torch.optim.Optimizer:
    groups = parameter_groups(model, cfg["optimizer"].get("weight_decay") or 0.0)
    if cfg["trainer"]["precision"] == "16-mixed" and cfg["optimizer"].get("fused"):
        log.warning("optimizer.fused is ignored: 16-mixed scales the loss, which a fused step undoes too late to clip")
        cfg = cfg | {"optimizer": cfg["optimizer"] | {"fused": False}}
    return construct(cfg, "optimizer", params=groups, hidden=model.hidden_matrices())


def build_schedule(cfg: Plain, total: int) -> Schedule:
    return construct(cfg, "scheduler", total=total)


def facts_of(spec: Spec) -> Plain:
    """The data's sizes as plain lists, for config.yaml: with them the folder alone is enough to rebuild the model."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}
