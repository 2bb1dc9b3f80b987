"""Runs' folders as training leaves them, made up in milliseconds: the same files, consistent among each other."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from src.figures.diagrams import ece
from src.metrics.families import CLASSIFICATION

Plain = dict[str, Any]
CLASSES = 5
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Kind:
    """A loss as these runs know it: how good (``skill``) and how much too sure (``sharpness``) its networks become."""

    loss: str
    skill: float = 1.0
    sharpness: float = 1.5
    probabilities: bool = True
    settings: Plain = field(default_factory=dict)  # flat: {"loss.gamma": 3}


CE = Kind("ce")
FOCAL = Kind("focal", skill=1.0, sharpness=0.8, settings={"loss.gamma": 2.0})
BRIER = Kind("brier", skill=1.15, sharpness=1.2)
HINGE = Kind("hinge", skill=0.9, probabilities=False, settings={"loss.margin": 1.0})


def config_of(kind: Kind, seed: int, ablation: str | None = None) -> Plain:
    """config.yaml's content."""
    config: Plain = {
        "data": {"batch_size": 64, "label_noise": 0.0, "_target_": "src.data.mnist.MNIST5k"},
        "model": {"_target_": "src.models.mlp.MLP", "widths": [256, 256], "dropout": 0.2},
        "loss": {"_target_": f"src.losses.{kind.loss}.Loss"},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.002, "weight_decay": 0.01},
        "scheduler": {"_target_": "src.optim.schedules.Cosine", "warmup_steps": 0},
        "trainer": {"accelerator": "auto", "threads": 1, "max_epochs": 20, "log_every_n_steps": 50},
        "experiment": None,
        "seed": 0,
        "ema": {"decay": None},
        "runs": "runs",
    }
    for key, value in kind.settings.items():
        group, _, name = key.partition(".")
        config[group][name] = value
    choices = {"data": "mnist_5k", "model": "mlp", "loss": kind.loss, "optimizer": "adamw", "scheduler": "cosine"}
    choices |= {"trainer": "auto", "experiment": None, "debug": None, "ablation": ablation}  # type: ignore[dict-item]
    identity = hashlib.sha256(json.dumps(config).encode()).hexdigest()[:8]
    facts = {"kind": "image", "input_shape": [1, 28, 28], "class_names": [str(k) for k in range(CLASSES)]}
    return config | {
        "seed": seed,
        "choices": choices,
        "identity": identity,
        "identity_facts": {"fingerprint": "0" * 64},
        "facts": facts,
    }


def bins_of(log_probs: NDArray[np.floating], targets: NDArray[np.int64]) -> Plain:
    confidence, right = np.exp(log_probs).max(1), log_probs.argmax(1) == targets
    inside = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    count = np.bincount(inside, minlength=15)
    sums = {"confidence": np.bincount(inside, confidence, 15), "accuracy": np.bincount(inside, right, 15)}
    means = {k: [float(s / n) if n else None for s, n in zip(v, count, strict=True)] for k, v in sums.items()}
    return {"count": count.tolist()} | means


def normalized(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    return scores - np.logaddexp.reduce(scores, 1, keepdims=True)


def columns_of(log_probs: NDArray[np.floating], targets: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Of each example what its metrics are the means of."""
    rows, p, guess = np.arange(len(targets)), np.exp(log_probs), log_probs.argmax(1)
    right, confidence = (guess == targets).astype(float), p.max(1)
    return {
        "accuracy": right,
        "nll": -log_probs[rows, targets],
        "brier": ((p - np.eye(log_probs.shape[1])[targets]) ** 2).sum(1),
        "confidence": confidence,
        "overconfidence": confidence - right,
    }


def measured(log_probs: NDArray[np.floating], targets: NDArray[np.int64]) -> Plain:
    means = {name: float(column.mean()) for name, column in columns_of(log_probs, targets).items()}
    return means | {
        "perplexity": float(np.exp(means["nll"])),
        "bits": means["nll"] / float(np.log(2)),
        "ece": ece(bins_of(log_probs, targets)),
    }


def arrays_of(kind: Kind, scores: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """predictions.npz's content."""
    columns = columns_of(normalized(scores), targets)
    arrays: dict[str, NDArray[Any]] = {"targets": targets, "guess": scores.argmax(1)}
    if not kind.probabilities:
        return arrays | {"scores": scores.astype(np.float32), "accuracy": columns["accuracy"].astype(np.float32)}
    cooled = columns_of(normalized(scores / kind.sharpness), targets)
    columns |= {f"{name}_ts": cooled[name] for name in ("nll", "brier", "confidence")}
    columns["log_probs"] = normalized(scores)
    return arrays | {name: column.astype(np.float32) for name, column in columns.items()}


def predict(kind: Kind, seed: int, n: int, of: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores (n, CLASSES) and classes: difficulty and class are the test set's, luck is the seed's and the loss's."""
    shared = np.random.default_rng([len(of), n])
    targets = shared.integers(0, CLASSES, n)
    signal = 3.0 + 2.0 * shared.standard_normal(n)
    noise = shared.standard_normal((n, CLASSES))
    own = np.random.default_rng([seed, *kind.loss.encode(), *of.encode()])
    skill = kind.skill * (1 + 0.02 * own.standard_normal())
    scores = noise + 0.5 * own.standard_normal((n, CLASSES))
    scores[np.arange(n), targets] += skill * signal
    return kind.sharpness * (1 + 0.03 * own.standard_normal()) * scores, targets


def finished(folder: Path, kind: Kind, seed: int, *, n: int = 400, ablation: str | None = None) -> Path:
    """Write a finished run to ``folder/<loss>-<id>/seed<k>``; its path."""
    path = started(folder, kind, seed, ablation)
    scores, targets = predict(kind, seed, n, "test")
    val_scores, val_targets = predict(kind, seed, n, "val")
    test, val, bins, intervals = outcome(kind, scores, targets, val_scores, val_targets)
    np.savez_compressed(path / "predictions.npz", **arrays_of(kind, scores, targets))
    write_curves(path, kind, val)
    result = {
        "status": "finished",
        "family": CLASSIFICATION.plain(),
        "metrics": {"test": test, "val": val, "train": {"loss": 0.1}},
        "intervals": {"test": intervals},
        "bins": bins,
        "notes": [],
        "steps": 1120,
        "run": run_of(4 + 0.1 * seed),
    }
    (path / "result.json").write_text(json.dumps(result))
    return path


def outcome(kind: Kind, *tables: NDArray[Any]) -> tuple[Plain, Plain, Plain | None, Plain]:
    scores, targets, val_scores, val_targets = tables
    test = {"loss": 0.2} | measured(normalized(scores), targets)
    val = {"loss": 0.2} | measured(normalized(val_scores), val_targets)
    cooled = measured(normalized(scores / kind.sharpness), targets)
    test |= {"temperature": kind.sharpness} | {f"{name}_ts": cooled[name] for name in ("nll", "ece", "brier")}
    bins = {
        "test": bins_of(normalized(scores), targets),
        "test_ts": bins_of(normalized(scores / kind.sharpness), targets),
    }
    if kind.probabilities:
        return test, val, bins, {name: [0.9 * test[name], 1.1 * test[name]] for name in ("ece", "ece_ts")}
    silent = [dict.fromkeys(table) | {k: table[k] for k in ("loss", "accuracy")} for table in (test, val)]
    return silent[0], silent[1], None, {"ece": None, "ece_ts": None}


def run_of(seconds: float) -> Plain:
    versions = {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"}
    return {"seconds": seconds, "device": "cpu: AMD EPYC", "threads": 1, "versions": versions, "commit": COMMIT}


def started(folder: Path, kind: Kind, seed: int, ablation: str | None = None) -> Path:
    """The folder of a run that has only its config.yaml."""
    config = config_of(kind, seed, ablation)
    path = folder / f"{kind.loss}-{config['identity']}" / f"seed{seed}"
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False))
    return path


def ended(folder: Path, kind: Kind, seed: int, status: str, **more: Any) -> Path:
    """A run that did not finish."""
    path = started(folder, kind, seed)
    (path / "result.json").write_text(
        json.dumps({"status": status, "family": CLASSIFICATION.plain(), **more, "run": run_of(1.0)})
    )
    return path


def write_curves(path: Path, kind: Kind, val: Plain) -> None:
    rows, rates = ["step,epoch,samples_seen,tag,value"], ["step,epoch,samples_seen,tag,value"]
    for epoch in range(20):
        step = 56 * (epoch + 1)
        far = 0.75 ** (epoch + 1)
        for name in ("nll", "accuracy", "ece"):
            if val[name] is not None:
                value = val[name] * (1 - far if name == "accuracy" else 1 + 3 * far)
                rows.append(f"{step},{epoch},{64 * step},val/{name},{value!r}")
        rates.append(f"{step},{epoch},{64 * step},train/examples_per_second,{15000.0 + 10 * epoch!r}")
    (path / "metrics.csv").write_text("\n".join(rows) + "\n")
    (path / "timing.csv").write_text("\n".join(rates) + "\n")


def ablation_of(folder: Path, kinds: Iterable[Kind], seeds: Iterable[int], **more: Any) -> Path:
    """Finished runs of each kind with each seed; ``folder``."""
    for kind in kinds:
        for seed in seeds:
            finished(folder, kind, seed, **more)
    return folder
