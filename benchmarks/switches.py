"""What each switch of speed gives, and from how many steps on compilation earns its time back.

python benchmarks/switches.py [--rounds 5] [--steps 10] -- experiment=shakespeare_char_cpu data.root=FOLDER

In turn, in one process: ``--steps`` training steps (batch, forward, loss, backward, optimizer) of the run that
train.py's WORDS name under each variant. Prints one JSON line: of each variant the seconds of its first step, which
compiles, and of a later one, by rounds. On a GPU (trainer=gpu) there are variants with CUDA
graphs, and with kernels that need not give the same bits again.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from benchmarks.evaluation import configured, take_step, task_of, timed
from src.data.base import Data
from src.models.resnet import ResNet
from src.runs import machine

VARIANTS: dict[str, dict[str, Any]] = {
    "speed=plain": {},
    "optimizer.fused=false": {"fused": False},
    "channels first": {"contiguous": True},  # of residual networks alone
    "bf16-mixed": {"half": True},
    "compile": {"compile": True},
    "bf16-mixed, compile": {"half": True, "compile": True},
}
GPU_VARIANTS: dict[str, dict[str, Any]] = {
    "bf16-mixed, compile=reduce-overhead": {"half": True, "compile": "reduce-overhead"},
    "speed=plain, kernels that need not repeat": {"repeats": False},
    "bf16-mixed, kernels that need not repeat": {"half": True, "repeats": False},
}


def channels_first(model: nn.Module) -> None:
    """Undo channels-last."""
    assert isinstance(model, ResNet)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.stem.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))


def stepper(
    cfg: dict[str, Any],
    data: Data,
    *,
    fused: bool = True,
    half: bool = False,
    compile: bool | str = False,
    contiguous: bool = False,
    repeats: bool = True,
) -> Callable[[], None]:
    """What takes one optimizer step."""
    device = torch.device("cuda" if machine.resolve_device(cfg["trainer"]) == "gpu" else "cpu")
    task = task_of(cfg | {"optimizer": cfg["optimizer"] | {"fused": fused}}, data).to(device)
    if contiguous:
        channels_first(task.model)
    task.compile(compile)
    batches = iter(data.train_loader(0, sys.maxsize))

    def step() -> None:
        torch.use_deterministic_algorithms(repeats and device.type == "cuda")  # as in a run, which says it once
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            take_step(task, next(batches))

    return step


def seconds(step: Callable[[], None], steps: int) -> float:
    """Of one step, on average."""

    def work() -> None:
        for _ in range(steps):
            step()

    return timed(work) / steps


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments)
    torch.compiler.config.force_disable_caches = True  # or an earlier run has compiled it already
    cfg, data = configured(given.words)
    machine.repeat_exactly(machine.resolve_device(cfg["trainer"]))
    residual = isinstance(task_of(cfg, data).model, ResNet)
    every = VARIANTS | (GPU_VARIANTS if machine.resolve_device(cfg["trainer"]) == "gpu" else {})
    variants = {name: how for name, how in every.items() if residual or "contiguous" not in how}
    steppers = {name: stepper(cfg, data, **how) for name, how in variants.items()}
    first = {name: seconds(step, 1) for name, step in steppers.items()}
    for step in steppers.values():
        seconds(step, 3)
    rounds = [{name: seconds(step, given.steps) for name, step in steppers.items()} for _ in range(given.rounds)]
    print(json.dumps({"first": first, "rounds": rounds}))


if __name__ == "__main__":
    main()
