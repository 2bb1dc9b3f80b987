"""From a checked configuration to objects. What a constructor refuses becomes a UserError that names the key."""

from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import contextlib
import importlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from ..config.errors import UserError
from ..config.signature import signature
from ..config.trust import check_trusted
from ..data.base import Data, DataError, Spec, generator
from ..losses.base import Loss, UnseenClassError
from ..models.base import Network
from ..names import NAME, actual
from ..optim.parameters import parameter_groups
from ..optim.schedules import Schedule
from ..plain import Plain
from ..tasks.base import Task
from ..tasks.stepping import Player
from .size import check_size

log = logging.getLogger("xent")
# group -> what its classes are
BASES: dict[str, tuple[type, str]] = {
    "data": (Data, "data set"),
    "model": (Network, "network"),
    "loss": (Loss, "loss"),
    "task": (Task, "task"),
    "optimizer": (torch.optim.Optimizer, "optimizer"),
    "scheduler": (Schedule, "schedule"),
    "callbacks": (Callback, "callback"),
}


def class_of(cfg: Plain, group: str) -> type[Any]:
    """The class that a group names: the one way to import it. Raises UserError where it is not trusted or unfit."""
    target = cfg[group]["_target_"]
    check_trusted(group, target)
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(actual(module)), name)
    except Exception as error:  # whatever a module of the user's own raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{group}._target_={target} cannot be imported: {reason}") from error
    base, what = BASES[group.partition(".")[0]]
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(
            f"{group}._target_={target} is no {what} (a sub-class of {base.__module__}.{base.__qualname__})"
        )
    return found


def construct(cfg: Plain, group: str, **provided: Any) -> Any:
    """Call the ``_target_`` of a group with its keys and with those of ``provided`` that its constructor has.

    Raises UserError for what the constructor raises, unless that is a fault of this project.
    """
    keys = {key: value for key, value in cfg[group].items() if key != "_target_"}
    constructor, taken = class_of(cfg, group), signature(cfg[group]["_target_"])
    try:
        return constructor(**keys, **{key: value for key, value in provided.items() if key in taken})
    except Exception as error:
        refused = isinstance(error, ValueError | TypeError)
        if not refused and constructor.__module__.startswith(f"{NAME}."):
            raise
        if str(error).split(" ")[0] in keys:
            raise UserError(f"{group}.{error}") from error
        text = str(error) if refused else f"{type(error).__name__}: {error} (XENT_DEBUG=1 shows where)"
        # torch's own: "Invalid beta parameter at index 1: 2" is of betas
        key = next((key for key in keys if re.search(rf"\b{key.removesuffix('s')}", str(error))), None)
        raise UserError(f"{group}.{key}={keys[key]}: {text}" if key else f"{group}: {text}") from error


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
    with faults_of(data):
        data.load()
    return data.spec


def fingerprint(data: Data) -> str:
    """What the data are, read if need be."""
    with faults_of(data):
        return data.fingerprint()


@contextlib.contextmanager
def faults_of(data: Data) -> Iterator[None]:
    """Raise UserError for a DataError, and for whatever else a data set of the user's own raises."""
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from error
    except Exception as error:
        if type(data).__module__.startswith(f"{NAME}."):
            raise
        raise UserError(f"data: {type(error).__name__}: {error} (XENT_DEBUG=1 shows where)") from error


def build_loss(cfg: Plain, spec: Spec) -> Loss:
    try:
        return construct(cfg, "loss", num_classes=spec.num_classes, class_counts=spec.class_counts)
    except UserError as error:
        if not isinstance(error.__cause__, UnseenClassError):
            raise
        unseen = [name for name, n in zip(spec.class_names, spec.class_counts, strict=True) if n == 0]
        raise UserError(
            f"loss={cfg['choices']['loss']} weighs classes by how often they are in the training split,"
            f" which has none of {', '.join(map(repr, unseen[:5]))}"
        ) from error


def build_model(cfg: Plain, spec: Spec, loss: Loss) -> Network:
    """The network, its weights a function of (seed, model) alone: all losses start from the same."""
    sizes = {
        "input_shape": spec.input_shape,
        "num_classes": spec.num_classes,
        "outputs": loss.outputs(spec.num_classes),
        "class_names": spec.class_names,
        "scalars": loss.scalars(cfg["data"].get("batch_size", 1)),
    }

    def make() -> Network:
        network, task = construct(cfg, "model", **sizes), class_of(cfg, "task")
        try:
            if loss.cosines:
                network.cosine_head()
            return task.completed(network, cfg["task"])
        except ValueError as error:
            of_task = str(error).split(" ")[0] in cfg["task"]
            raise UserError(f"task.{error}" if of_task else f"model={cfg['choices']['model']}: {error}") from error

    check_size(make, cfg["model"])
    with torch.random.fork_rng(devices=[]):  # of the CPU, where weights are drawn; by default, of every GPU there is
        torch.manual_seed(generator("weights", cfg["seed"]).initial_seed())
        return make()


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


def build_players(cfg: Plain, model: Network, total: int) -> tuple[Player, ...]:
    """The players that the task names, each with the weights of the part of the network that has its name.

    Raises UserError unless each weight of the network has one player.
    """
    names = class_of(cfg, "task").players
    players = tuple(
        Player(name, build_optimizer(cfg, model, part), build_schedule(cfg, total))
        for name, part in parts_of(cfg, model, names).items()
    )
    owned = Counter(id(weight) for player in players for weight in player.weights)
    for name, weight in model.named_parameters():
        if weight.requires_grad and owned[id(weight)] != 1:
            whose = "several players" if owned[id(weight)] else f"none of the players {', '.join(names)}"
            raise UserError(f"model={cfg['choices']['model']}: {name} is a weight of {whose}")
    return players


def parts_of(cfg: Plain, model: Network, names: Sequence[str]) -> dict[str, nn.Module]:
    """The parts of the network by player; the whole network by "" if there are no players."""
    if not names:
        return {"": model}
    parts = dict(model.named_children())
    for name in names:
        if name not in parts:
            task, what = cfg["choices"]["task"], cfg["choices"]["model"]
            raise UserError(f"task={task} trains the parts {', '.join(names)} of a network, model={what} has no {name}")
    return {name: parts[name] for name in names}


def build_optimizer(cfg: Plain, model: Network, part: nn.Module) -> torch.optim.Optimizer:
    """For the weights of a part of the network."""
    groups = parameter_groups(part, cfg["optimizer"].get("weight_decay") or 0.0)
    if cfg["trainer"]["precision"] == "16-mixed" and cfg["optimizer"].get("fused"):
        log.warning("optimizer.fused is ignored: 16-mixed scales the loss, which a fused step undoes too late to clip")
        cfg = cfg | {"optimizer": cfg["optimizer"] | {"fused": False}}
    own = {id(weight) for weight in part.parameters()}
    hidden = [matrix for matrix in model.hidden_matrices() if id(matrix) in own]
    return construct(cfg, "optimizer", params=groups, hidden=hidden)


def build_schedule(cfg: Plain, total: int) -> Schedule:
    return construct(cfg, "scheduler", total=total)


def facts_of(spec: Spec) -> Plain:
    """The data's sizes as plain lists, for config.yaml: with them the folder alone is enough to rebuild the model."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}
