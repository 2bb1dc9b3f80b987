"""From a checked configuration to objects. What a constructor refuses becomes a UserError that names the key."""

from dataclasses import asdict
from typing import Any

import torch
from hydra.utils import get_class
from torch import nn

from src.config.errors import UserError
from src.config.signature import signature
from src.data.base import Data, DataError, Spec, generator
from src.losses.base import ClassificationLoss
from src.models.base import Network
from src.tasks.schedules import Schedule
from src.tasks.supervised import parameter_groups

Plain = dict[str, Any]


def construct(cfg: Plain, group: str, **provided: Any) -> Any:
    """Call the ``_target_`` of a group with its keys and with those of ``provided`` that its constructor has."""
    keys = {key: value for key, value in cfg[group].items() if key != "_target_"}
    target = cfg[group]["_target_"]
    taken = signature(target)
    try:
        return get_class(target)(**keys, **{key: value for key, value in provided.items() if key in taken})
    except (ValueError, TypeError) as error:
        raise UserError(f"{group}.{error}" if str(error).split(" ")[0] in keys else f"{group}: {error}") from error
    except ImportError as error:
        raise UserError(f"{group}._target_={target} cannot be imported: {error}") from error


def build_data(cfg: Plain) -> Data:
    """The data set, nothing read yet."""
    data = construct(cfg, "data")
    if not isinstance(data, Data):
        raise UserError(f"data._target_={cfg['data']['_target_']} is no data set (a sub-class of src.data.base.Data)")
    return data


def load(data: Data) -> Spec:
    """Read the data; its sizes."""
    try:
        data.load()
    except DataError as error:
        raise UserError(str(error)) from error
    return data.spec


def fingerprint(data: Data) -> str | None:
    try:
        return data.fingerprint()
    except DataError as error:
        raise UserError(str(error)) from error


def build_loss(cfg: Plain, spec: Spec) -> ClassificationLoss:
    loss = construct(cfg, "loss", num_classes=spec.num_classes, class_counts=spec.class_counts)
    if not isinstance(loss, ClassificationLoss):
        raise UserError(f"loss._target_={cfg['loss']['_target_']} is no loss (a sub-class of ClassificationLoss)")
    return loss


def build_model(cfg: Plain, spec: Spec, loss: ClassificationLoss) -> Network:
    """The network, its weights a function of (seed, model) alone: all losses start from the same."""
    with torch.random.fork_rng():
        torch.manual_seed(generator("weights", cfg["seed"]).initial_seed())
        model = construct(
            cfg,
            "model",
            input_shape=spec.input_shape,
            num_classes=spec.num_classes,
            outputs=loss.outputs(spec.num_classes),
        )
    if not isinstance(model, Network):
        raise UserError(
            f"model._target_={cfg['model']['_target_']} is no network (a sub-class of src.models.base.Network)"
        )
    return model


def check_fit(cfg: Plain, data: Data) -> None:
    """Raise UserError, before anything is read, where the model reads another kind of data."""
    reads = getattr(get_class(cfg["model"]["_target_"]), "inputs", data.kind)
    if reads != data.kind:
        fitting = {"image": "mlp, model=resnet or model=vit", "text": "gpt"}[data.kind]
        model, name = cfg["choices"]["model"], cfg["choices"]["data"]
        raise UserError(f"model={model} reads {reads}, data={name} gives {data.kind}: take model={fitting}")


def build_optimizer(cfg: Plain, model: nn.Module) -> torch.optim.Optimizer:
    groups = parameter_groups(model, cfg["optimizer"].get("weight_decay") or 0.0)
    return construct(cfg, "optimizer", params=groups)


def build_schedule(cfg: Plain, total: int) -> Schedule:
    schedule = construct(cfg, "scheduler", total=total)
    if not isinstance(schedule, Schedule):
        raise UserError(f"scheduler._target_={cfg['scheduler']['_target_']} is no Schedule of src.tasks.schedules")
    return schedule


def facts_of(spec: Spec) -> Plain:
    """The data's sizes as plain lists, for config.yaml: with them the folder alone is enough to rebuild the model."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}
