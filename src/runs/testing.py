"""The test of a trained model: temperature fitted on validation data, then everything measured on test data."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..callbacks.predictions import Predictions
from ..data.base import Data, EvalLoader, Spec, generator
from ..metrics.calibration import CONFIDENCE, COUNT, RIGHT, adaptive_ece, bin_table, ece, ece_interval
from ..metrics.selective import aurc, auroc
from ..metrics.temperature import NotFittedError, fit_temperature
from ..ranks import ranks

Plain = dict[str, Any]
Examples = dict[str, Tensor]
SAME_EXAMPLES = (
    "the temperature was fitted to the very examples of test/: nll_ts, ece_ts and brier_ts are better than on new ones"
)
FITTED_ON = 2**26  # log-probabilities that a temperature is fitted on at most (half a GB), in batches taken evenly


def eval_loader(cfg: Plain, data: Data, split: str) -> EvalLoader:
    """The split's batches that the configuration wants: all, a sample, or those that the run has by heart."""
    settings = cfg["trainer"]
    if settings["overfit_batches"]:
        by_heart = range(data.steps_per_epoch() * data.accumulate)
        return EvalLoader(lambda index: data.train_batch(cfg["seed"], index), by_heart)
    return data.eval_loader(split, settings["limit_eval_batches"])


def test(trainer: pl.Trainer, task: Any, loader: EvalLoader, predictions: Predictions, spec: Spec) -> Plain:
    """Test ``task``: metrics, intervals, bins and each class's accuracy, as in result.json.

    ``predictions`` is one of the trainer's callbacks; its temperature is that of the metrics after scaling. Every rank
    tests its share of the loader's batches, and rank 0 has the results; the others have {}.
    """
    metrics = scores(trainer, task, loader)
    if ranks.rank() > 0:
        return {}
    examples = predictions.examples()
    right = examples["guess"] == examples["targets"]
    by_class = class_accuracy(examples["targets"], right, spec.num_classes)
    present = [value for value in by_class if value is not None]
    before, after = examples.get("confidence"), examples.get("confidence_ts")
    block = spec.input_shape[0] if spec.kind == "text" else 1
    metrics |= {"class_mean_accuracy": sum(present) / len(present)} | ranking(before, right)
    return {
        "metrics": metrics | scaling(examples, right, predictions.temperature),
        "intervals": {"ece": interval(before, right, block), "ece_ts": interval(after, right, block)},
        "bins": {"test": bins(before, right), "test_ts": bins(after, right)},
        "class_accuracy": dict(zip(spec.class_names, by_class, strict=True)),
    }


def scores(trainer: pl.Trainer, task: Any, loader: EvalLoader) -> Plain:
    """Test ``task``: the metrics that are sums over examples, of all ranks."""
    task.test_scores.reset()
    trainer.test(task, ranks.share(loader, trainer), verbose=False)
    return task.test_scores.compute()


def fitted_temperature(trainer: pl.Trainer, task: Any, cfg: Plain, data: Data) -> tuple[float | None, list[str]]:
    """The temperature that suits the validation split, and what a reader must know of it, in sentences.

    None where the loss gives no probabilities, and where no temperature can be fitted.
    """
    loader = eval_loader(cfg, data, "val")
    _, targets = loader.take(loader.batches[0])
    stride = math.ceil(len(loader) * targets.numel() * data.spec.num_classes / FITTED_ON)
    own: Any = trainer.predict(task, ranks.share(EvalLoader(loader.take, loader.batches[::stride]), trainer))
    parts = ranks.in_order([{name: value.cpu() for name, value in part.items()} for part in own])
    if not parts or "log_probs" not in parts[0]:
        return ranks.told((None, []))  # rank 0 fits it; the others have no parts
    log_probs, truth = (torch.cat([part[name] for part in parts]) for name in ("log_probs", "targets"))
    try:
        temperature = fit_temperature(log_probs, truth, cfg["calibration"]["criterion"])
    except NotFittedError as error:
        return ranks.told((None, [f"no temperature was fitted: {error}; nll_ts, ece_ts and brier_ts are left out"]))
    same = cfg["trainer"]["overfit_batches"] or not data.own_test
    return ranks.told((temperature, [SAME_EXAMPLES] if same else []))


def ranking(confidence: Tensor | None, right: Tensor) -> Plain:
    """The metrics that need every example's confidence at once."""
    if confidence is None:
        return dict.fromkeys(("adaptive_ece", "auroc", "aurc"))
    return {
        "adaptive_ece": adaptive_ece(confidence, right),
        "auroc": auroc(confidence, right),
        "aurc": aurc(confidence, right),
    }


def scaling(examples: Examples, right: Tensor, temperature: float | None) -> Plain:
    """The metrics after temperature scaling, and the temperature; None where there is none."""
    if temperature is None:
        return dict.fromkeys(("temperature", "nll_ts", "ece_ts", "brier_ts"))
    return {
        "temperature": temperature,
        "nll_ts": examples["nll_ts"].mean().item(),
        "ece_ts": ece(bin_table(examples["confidence_ts"], right)).item(),
        "brier_ts": examples["brier_ts"].mean().item(),
    }


def interval(confidence: Tensor | None, right: Tensor, block: int) -> list[float] | None:
    if confidence is None:
        return None
    return list(ece_interval(confidence, right, block=block, g=generator("bootstrap")))


def bins(confidence: Tensor | None, right: Tensor) -> Plain | None:
    """The reliability diagram's table: count, and mean confidence and accuracy (None in an empty bin)."""
    if confidence is None:
        return None
    table = bin_table(confidence, right)
    count = table[COUNT].long().tolist()
    means = {"confidence": table[CONFIDENCE] / table[COUNT], "accuracy": table[RIGHT] / table[COUNT]}
    kept = {name: [m if n else None for m, n in zip(mean.tolist(), count, strict=True)] for name, mean in means.items()}
    return {"count": count} | kept


def class_accuracy(targets: Tensor, right: Tensor, num_classes: int) -> list[float | None]:
    """Share of each class's test examples that are right; None for a class without examples."""
    seen = torch.bincount(targets, minlength=num_classes).tolist()
    hits = torch.bincount(targets[right], minlength=num_classes).tolist()
    return [hit / n if n else None for hit, n in zip(hits, seen, strict=True)]
