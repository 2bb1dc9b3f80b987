"""What can be told, before torch is imported, of whether data, model and loss fit together."""

from typing import Any

import yaml

from ..package import CONF
from ..plain import Plain
from .errors import UserError
from .signature import constant

TARGETS = {
    "class": "classes",
    "value": "numbers",
    "sequence": "sequences",
    "alignment": "sequences with the place of each member",
}
COMMON = (
    "model=mlp",
    "model=gpt",
    "loss=ce",
    "loss=mse",
    "loss=ctc",
)  # of several options that fit, the one that a message names


def check_fit(cfg: Plain, choices: Plain) -> None:
    """Raise UserError where model or loss and the data do not fit together."""
    kind, reads = (constant(cfg[group]["_target_"], name) for group, name in (("data", "kind"), ("model", "inputs")))
    if kind and reads and kind not in str(reads).split(" or "):
        fitting = {"image": "mlp, model=resnet or model=vit", "text": "gpt", "table": "mlp"}.get(kind)
        way = f": take model={fitting}" if fitting else ""
        raise UserError(f"model={choices['model']} reads {reads}, data={choices['data']} gives {kind}{way}")
    check_answer(cfg, choices, kind)
    check_pixels(cfg, choices)
    check_numbers(cfg, choices)
    check_targets(cfg, choices)
    check_batch(cfg, choices, kind)
    check_players(cfg, choices)
    check_compile(cfg, choices)


def check_answer(cfg: Plain, choices: Plain, kind: str | None) -> None:
    """Raise UserError if the loss does not read what the model gives: logits, latents, ..."""
    gives, reads = constant(cfg["model"]["_target_"], "gives"), constant(cfg["loss"]["_target_"], "reads")
    if None in (gives, reads) or reads in gives.split(" or "):
        return
    fitting = options("model", gives=reads, inputs=kind), options("loss", reads=gives)
    ways = [min(words, key=lambda word: word not in COMMON) for words in fitting if words]
    way = f": take {', or '.join(ways)}" if ways else ""
    raise UserError(f"loss={choices['loss']} reads {reads}, model={choices['model']} gives {gives}{way}")


def check_pixels(cfg: Plain, choices: Plain) -> None:
    """Raise UserError if the loss is a likelihood of other pixels than those of the data."""
    if constant(cfg["loss"]["_target_"], "reads") != "latents":
        return
    reconstruction, binarise = cfg["loss"].get("reconstruction"), cfg["data"].get("binarise")
    if reconstruction == "bernoulli" and not binarise:
        raise UserError(
            f"loss={choices['loss']} with reconstruction=bernoulli is a likelihood of pixels that are 0 or 1,"
            f" data={choices['data']} gives grey ones: take data.binarise=dynamic, or loss.reconstruction=gaussian"
        )
    if reconstruction == "gaussian" and binarise:
        raise UserError(
            f"loss={choices['loss']} with reconstruction=gaussian is a density of grey pixels, data.binarise={binarise}"
            " makes them 0 or 1: take data.binarise=null, or loss.reconstruction=bernoulli"
        )


def check_numbers(cfg: Plain, choices: Plain) -> None:
    """Raise UserError if the loss learns from targets of another kind than those that the data give."""
    if unfit := unfit_targets(cfg):
        gives, wants = unfit
        fitting = options("loss", targets=gives)
        way = f": take {min(fitting, key=lambda word: word not in COMMON)}" if fitting else ""
        raise UserError(
            f"loss={choices['loss']} learns from {TARGETS[wants]}, data={choices['data']} gives {TARGETS[gives]}{way}"
        )


def unfit_targets(cfg: Plain) -> tuple[str, str] | None:
    """The kind of targets that the data give and, if it is another, the first of those from which the loss learns; None
    if they fit, and if their classes do not say."""
    gives, wants = (constant(cfg[group]["_target_"], "targets") for group in ("data", "loss"))
    if None in (gives, wants) or gives in (kinds := str(wants).split(" or ")):
        return None
    return str(gives), kinds[0]


def check_targets(cfg: Plain, choices: Plain) -> None:
    """Raise UserError where targets are distributions and the loss, or what is asked of the run, wants classes."""
    mixup = cfg["data"].get("mixup")
    if mixup is None:
        return
    if constant(cfg["loss"]["_target_"], "imitates"):
        raise UserError(
            f"loss={choices['loss']} learns what images look like, data.mixup={mixup} mixes them: take data.mixup=null"
        )
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
    return [word.removeprefix("loss=") for word in options("loss", soft_targets=True)]


def options(group: str, **wanted: Any) -> list[str]:
    """The words that choose an option of the group whose class gives each name that value, or one of "this or that"."""
    found = []
    for path in sorted((CONF / group).glob("*.yaml")):
        target = str(yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_"))
        said = {name: constant(target, name) for name in wanted}
        if all({*str(value).split(" or ")} & {*str(said[name]).split(" or ")} for name, value in wanted.items()):
            found.append(f"{group}={path.stem}")
    return found


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
    gathers = constant(cfg["task"]["_target_"], "gathers")
    if gathers and cfg["data"].get("batch_size") == 1:
        raise UserError(f"loss={name} {why}, and one example has no others: take data.batch_size=2, or more")
    for key in ("accumulate_grad_batches", *(() if gathers else ("devices", "num_nodes"))):
        value = cfg["trainer"][key]
        if value > 1:
            raise UserError(f"loss={name} {why}, trainer.{key}={value} cuts it: take trainer.{key}=1")


def check_players(cfg: Plain, choices: Plain) -> None:
    """Raise UserError if the task trains several players and the trainer is for one."""
    players = constant(cfg["task"]["_target_"], "players")
    if not players:
        return
    trainer = cfg["trainer"]
    task = f"task={choices['task']} trains {' and '.join(players)} in turns, each with its own optimizer."
    if trainer["strategy"]:
        raise UserError(
            f"{task} trainer.strategy={trainer['strategy']} is for one optimizer: train on one device, with trainer=cpu"
            " or trainer=gpu"
        )
    if trainer["precision"] == "16-mixed":
        raise UserError(
            f"{task} The loss scaler of trainer.precision=16-mixed is for one optimizer: take"
            " trainer.precision=bf16-mixed or 32-true"
        )
    if trainer["accumulate_grad_batches"] > 1:
        raise UserError(
            f"{task} They take turns on each batch, so trainer.accumulate_grad_batches must be 1: take a larger"
            " data.batch_size"
        )
    cuts = constant(cfg["task"]["_target_"], "cuts")
    if cuts and isinstance(parts := cfg["task"][cuts], int) and parts > cfg["data"]["batch_size"]:
        raise UserError(
            f"task.{cuts}={parts} turns share the data.batch_size={cfg['data']['batch_size']} examples of a step: take"
            " a larger batch, or fewer turns"
        )


def check_compile(cfg: Plain, choices: Plain) -> None:
    """Raise UserError if a loss takes a second derivative, and the run is to be compiled."""
    asked = constant(cfg["loss"]["_target_"], "second_derivative")
    if cfg["compile"] and asked and (asked is True or cfg["loss"].get(asked)):
        name = choices["loss"] if asked is True else f"{choices['loss']} with loss.{asked} above 0"
        raise UserError(f"loss={name} takes a second derivative, which torch.compile has not: take compile=false")
