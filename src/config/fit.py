"""What can be told, before torch is imported, of whether data, model and loss fit together."""

from typing import Any

import yaml

from ..package import CONF
from .errors import UserError
from .signature import constant

Plain = dict[str, Any]
LOSSES = CONF / "loss"


def check_fit(cfg: Plain, choices: Plain) -> None:
    """Raise UserError where model or loss and the data do not fit together."""
    kind, reads = (constant(cfg[group]["_target_"], name) for group, name in (("data", "kind"), ("model", "inputs")))
    if kind and reads and kind not in str(reads).split(" or "):
        fitting = {"image": "mlp, model=resnet or model=vit", "text": "gpt", "table": "mlp"}[kind]
        raise UserError(
            f"model={choices['model']} reads {reads}, data={choices['data']} gives {kind}: take model={fitting}"
        )
    check_targets(cfg, choices)
    check_batch(cfg, choices, kind)


def check_targets(cfg: Plain, choices: Plain) -> None:
    """Raise UserError where targets are distributions and the loss, or what is asked of the run, wants classes."""
    mixup = cfg["data"].get("mixup")
    if mixup is None:
        return
    if constant(cfg["loss"]["_target_"], "soft_targets") is False:
        raise UserError(
            f"loss={choices['loss']} learns from classes, data.mixup={mixup} gives distributions over them: take"
            f" data.mixup=null or loss={', '.join(soft_losses())}"
        )
    if cfg["trainer"]["overfit_batches"]:
        raise UserError(
            "trainer.overfit_batches validates on training batches, which data.mixup mixes: take data.mixup=null"
        )


def soft_losses() -> list[str]:
    """The options of the group loss whose class takes distributions as targets."""
    options = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(LOSSES.glob("*.yaml"))}
    return [name for name, option in options.items() if constant(str(option.get("_target_")), "soft_targets") is True]


def check_batch(cfg: Plain, choices: Plain, kind: str | None) -> None:
    """Raise UserError where a loss over the statistics of its batch would not see the batch whole."""
    statistic = constant(cfg["loss"]["_target_"], "batch_statistic")
    if statistic is not True and not cfg["loss"].get(statistic):
        return
    name, why = choices["loss"], "is a statistic of the whole batch"
    if statistic is not True:
        name = f"{name} with loss.{statistic} above 0"
    if kind == "text":
        raise UserError(f"loss={name} {why} of examples, data={choices['data']} gives text: take images")
    for key in ("accumulate_grad_batches", "devices", "num_nodes"):
        value = cfg["trainer"][key]
        if value > 1:
            raise UserError(f"loss={name} {why}, trainer.{key}={value} cuts it: take trainer.{key}=1")
