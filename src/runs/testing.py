"""The test of a trained model: first what the other splits teach it, then everything measured on test data."""

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from ..callbacks.predictions import Predictions
from ..data.base import Data, EvalLoader
from ..plain import Plain
from ..ranks import ranks
from ..tasks.base import Task, joined
from ..tasks.stepping import Named

SAME_EXAMPLES = (
    "the test examples are those to which the run was adjusted after training: what comes of that (temperature scaling,"
    " the residuals of a regression, the penalty of a probe) is better on them than on new ones"
)
ADJUSTED_ON = 2**26  # numbers of answers that a task is adjusted on at most (half a GB), in batches taken evenly


def eval_loader(cfg: Plain, data: Data, split: str) -> EvalLoader:
    """The split's batches that the configuration wants: all, a sample, or those that the run has by heart."""
    settings = cfg["trainer"]
    if settings["overfit_batches"]:
        by_heart = range(data.steps_per_epoch() * data.accumulate)
        return EvalLoader(lambda index: data.train_batch(cfg["seed"], index), by_heart, "train")
    return data.eval_loader(split, settings["limit_eval_batches"])


def test(trainer: pl.Trainer, task: Task, loader: EvalLoader, predictions: Predictions, below: Plain) -> Plain:
    """Test ``task``: metrics, and what else its family concludes from all examples, as in result.json.

    ``below``: floors that were tested before. ``predictions`` is one of the trainer's callbacks. Every rank tests its
    share of the loader's batches, and rank 0 has the results; the others have {}.
    """
    metrics = scores(trainer, task, loader)
    if ranks.rank() > 0:
        return {}
    concluded = task.conclude(predictions.examples())
    predictions.concluded = concluded.pop("columns", {})
    metrics |= concluded["metrics"]
    notes, known = [*concluded.get("notes", []), *task.family.undefined(metrics)], concluded.get("floors", {}) | below
    return concluded | {"metrics": metrics, "notes": notes} | ({"floors": known} if known else {})


def scores(trainer: pl.Trainer, task: Task, loader: EvalLoader) -> Plain:
    """Test ``task``: the metrics that are sums over examples, of all ranks."""
    task.test_scores.reset()
    trainer.test(task, ranks.share(loader, trainer), verbose=False)
    return task.test_scores.compute()


def learn(trainer: pl.Trainer, task: Task, cfg: Plain, data: Data) -> None:
    """Tell ``task`` the answers on the training split, or on an even sample of it, if its family learns from them."""
    if not task.learns:
        return
    loader = eval_loader(cfg, data, "train")
    _, targets = loader.take(loader.batches[0])
    batches = max(1, task.learns // len(targets))
    if len(loader) > batches:
        loader = data.eval_loader("train", batches)
    found = answers(trainer, task, loader)
    if ranks.rank() == 0:
        task.learn(iter(found))
    task.learnt = ranks.told(task.learnt)


def adjust(trainer: pl.Trainer, task: Task, cfg: Plain, data: Data) -> list[str]:
    """Adjust ``task`` to the validation split, if its family does that; what a reader must know of it, in sentences."""
    if not task.adjusts:
        return []
    loader = eval_loader(cfg, data, "val")
    _, targets = loader.take(loader.batches[0])
    stride = math.ceil(len(loader) * targets.numel() * max(1, data.spec.num_classes) / ADJUSTED_ON)
    found = answers(trainer, task, EvalLoader(loader.take, loader.batches[::stride], loader.split))
    notes = task.adjust(iter(found)) if ranks.rank() == 0 else []  # the others have none of them
    task.adjusted, notes = ranks.told((task.adjusted, notes))
    same = cfg["trainer"]["overfit_batches"] or not data.own_test
    return [*notes, SAME_EXAMPLES] if same and task.adjusted is not None else notes


def answers(trainer: pl.Trainer, task: Task, loader: EvalLoader) -> list[Named]:
    """On rank 0 what ``task`` answers to each of the loader's batches, on the CPU; elsewhere []."""
    own: Any = trainer.predict(task, ranks.share(loader, trainer))
    return ranks.in_order([{name: value.cpu() for name, value in part.items()} for part in own])


def floors(trainer: pl.Trainer, fresh: Callable[[], Task], names: tuple[str, ...], cfg: Plain, data: Data) -> Plain:
    """Name -> metrics of each network that learnt nothing, taught and judged as the trained one is; rank 0 has them.

    ``fresh`` makes a task with the network's starting weights.
    """
    found = {}
    for name in names:
        task = fresh()
        task.model = task.floor(name)
        learn(trainer, task, cfg, data)
        adjust(trainer, task, cfg, data)
        tested = answers(trainer, task, eval_loader(cfg, data, "test"))
        if ranks.rank() == 0:
            found[name] = task.conclude(joined([task.examples(answer) for answer in tested]))["metrics"]
    return found


def beside(tested: Plain) -> Plain:
    """The entries of a test beside its metrics, as result.json has them."""
    return {key: {"test": value} if key == "intervals" else value for key, value in tested.items() if key != "metrics"}
