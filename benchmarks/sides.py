"""What the hand-written sides of a case share: their options, the clock, the network, the held-out examples."""

import argparse
import contextlib
import importlib
import inspect
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

import src.system.torchvision_cpu  # noqa: F401  before anything that imports torchvision
from src.data.base import generator, quotas, stratified
from src.data.images import ImageData

ROOT = Path(__file__).resolve().parents[1]
Batches = Iterable[tuple[Tensor, Tensor]]


def options(description: str, steps: int, measured_from: int, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line of a case's file."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("side", choices=("bare", "usual"))
    parser.add_argument("--data-root", type=Path, default=ROOT / "datasets")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, default=steps, help="optimizer steps")
    parser.add_argument("--val-every", type=int, help="steps from one validation to the next (default: all)")
    parser.add_argument("--decay-steps", type=int, help="steps over which the learning rate falls (default: all)")
    parser.add_argument("--measured-from", type=int, default=measured_from, help="step from which time counts")
    parser.add_argument("--val-batches", type=int, help="batches of a validation, at most")
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader; usual alone")
    parser.add_argument("--compile", action="store_true", help="this and the next three: bare alone")
    parser.add_argument("--graphs", action="store_true", help="CUDA graphs: compile in mode reduce-overhead")
    parser.add_argument("--bf16", action="store_true", help="autocast; attention stays in float32 on a CPU")
    parser.add_argument("--channels-last", action="store_true")
    given = parser.parse_args(arguments)
    given.val_every = given.val_every or given.steps
    given.decay_steps = given.decay_steps or given.steps
    torch.manual_seed(0)
    return given


class Clock:
    """Wall time of a training, from its first step and from the end of step ``measured_from``, to its end."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.began = self.now()
        self.measured: float | None = None

    def now(self) -> float:
        if self.given.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step(self, done: int) -> None:
        """Call after each optimizer step, with how many were taken."""
        if done == self.given.measured_from:
            self.measured = self.now()

    def stop(self) -> dict[str, Any]:
        """The figures of this side: ``seconds`` of the measured part, of ``steps`` steps, and of the ``whole``."""
        assert self.measured is not None, "--measured-from must be below --steps"
        end = self.now()
        figures = {"seconds": end - self.measured, "steps": self.given.steps - self.given.measured_from}
        peak = torch.cuda.max_memory_allocated() if self.given.device == "cuda" else None
        return figures | {"whole": end - self.began, "gpu_bytes": peak}


def report(figures: dict[str, Any], val_nll: float) -> None:
    """The one line that benchmarks/bench.py reads."""
    print(json.dumps(figures | {"val_nll": val_nll}))


def network(name: str, **values: Any) -> nn.Module:
    """The network of conf/model/NAME.yaml, with ``values`` for its keys and the data's sizes."""
    settings = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text()) | values
    module, _, cls = settings["_target_"].rpartition(".")
    constructor = getattr(importlib.import_module(module), cls)
    taken = inspect.signature(constructor).parameters
    return constructor(**{key: value for key, value in settings.items() if key in taken})


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters in two groups: matrices and convolutions decay, vectors do not."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def held_out(labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Indices of training and validation examples: the split that xent makes."""
    counts = torch.bincount(labels)
    quota = quotas(counts, round(share * len(labels)))
    val = stratified(labels, quota, generator("validation split", ImageData.split_seed))
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[val] = False
    return rest.nonzero().flatten(), val


def switched(model: nn.Module, given: argparse.Namespace) -> Callable[[Tensor, Tensor], Tensor]:
    """(inputs, targets) -> mean cross-entropy, with the switches of the command line."""
    if given.channels_last:
        model.to(memory_format=torch.channels_last)
    attention = attention_in_float32 if given.bf16 and given.device == "cpu" else contextlib.nullcontext

    def loss(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(given.device, torch.bfloat16, enabled=given.bf16):
            logits = model(inputs)
        return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())

    mode = "reduce-overhead" if given.graphs else None
    chosen = torch.compile(loss, mode=mode) if given.compile or given.graphs else loss

    def call(inputs: Tensor, targets: Tensor) -> Tensor:
        with attention():
            return chosen(inputs, targets)

    return call


PLAIN_ATTENTION = F.scaled_dot_product_attention


def float32_attention(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> Tensor:
    return PLAIN_ATTENTION(q.float(), k.float(), v.float(), **how)


@contextlib.contextmanager
def attention_in_float32() -> Any:
    """Its backward in bfloat16 takes several times as long as in float32 on a CPU."""
    F.scaled_dot_product_attention = float32_attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = PLAIN_ATTENTION


@torch.no_grad()
def validate(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> float:
    """Mean nll over the batches."""
    model.eval()
    total, count = torch.zeros((), dtype=torch.float64), 0
    for inputs, targets in batches:
        total += loss(inputs, targets).double().cpu() * targets.numel()
        count += targets.numel()
    model.train()
    return total.item() / count
