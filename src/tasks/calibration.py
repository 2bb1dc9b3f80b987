"""What all test examples of a classifier say together: how it ranks, how well its confidence is calibrated, and what
they would say of one that learnt nothing."""

import torch
from torch import Tensor

from ..data.base import Spec, generator
from ..metrics.calibration import CONFIDENCE, COUNT, RIGHT, adaptive_ece, bin_table, ece, ece_interval, smooth_ece
from ..metrics.decomposition import PARTS, split_scores
from ..metrics.floors import floors
from ..metrics.selective import aurc, auroc
from ..metrics.temperature import NotFittedError
from ..plain import Plain

Examples = dict[str, Tensor]


def concluded(examples: Examples, temperature: float | None, spec: Spec) -> Plain:
    """Metrics, intervals, bins, each class's accuracy and floors, as in result.json; of text by windows of tokens.

    "columns" are the parts of the proper scores of each example, where it has log-probabilities: of text it has none.
    """
    targets, text = examples["targets"], spec.kind == "text"
    right, block = examples["guess"] == targets, spec.input_shape[0] if text else 1
    by_class = class_accuracy(targets, right, spec.num_classes)
    present = [value for value in by_class if value is not None]
    before, after = examples.get("confidence"), examples.get("confidence_ts")
    metrics = {"class_mean_accuracy": sum(present) / len(present)} | ranking(before, right)
    columns, notes = parts(examples)
    split = {} if text else {name: columns[name].mean().item() if columns else None for name in PARTS}
    return {
        "metrics": metrics | split | scaling(examples, right, temperature),
        "columns": columns,
        "notes": notes,
        "intervals": {"ece": interval(before, right, block), "ece_ts": interval(after, right, block)},
        "bins": {"test": bins(before, right), "test_ts": bins(after, right)},
        "class_accuracy": dict(zip(spec.class_names, by_class, strict=True)),
        "floors": floors(spec.class_counts, targets, "character frequencies" if text else "class frequencies"),
    }


def parts(examples: Examples) -> tuple[Examples, list[str]]:
    """What calibration and refinement are of each example's scores, and what a reader must know where nothing is."""
    if "log_probs" not in examples:
        return {}, []
    try:
        return split_scores(*(examples[name] for name in ("log_probs", "targets", "nll", "brier"))), []
    except NotFittedError as error:
        return {}, [f"nll and brier are not split into calibration and refinement: {error}"]


def ranking(confidence: Tensor | None, right: Tensor) -> Plain:
    """The metrics that need every example's confidence at once."""
    if confidence is None:
        return dict.fromkeys(("smooth_ece", "adaptive_ece", "auroc", "aurc"))
    return {
        "smooth_ece": smooth_ece(confidence, right),
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
