"""What the validation metrics cost: an evaluation with all of them, against a loop that computes logits, and an epoch.

python benchmarks/evaluation.py [--rounds 5] [--steps 10] -- experiment=shakespeare_char_cpu data.root=FOLDER

In turn, in one process, over the same batches, drawn anew by both: logits alone; ``Trainer.validate`` of the run's
task, its own start and end included, and the metrics' values; and ``--steps`` training steps, of which an epoch's time
is worked out. Prints one JSON line with the seconds of each.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from hydra import compose, initialize_config_dir

import src.system.torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import pytorch_lightning as pl

from src.config import schema
from src.config.entry import resolve
from src.data.base import Batch, Data
from src.package import CONF
from src.runs import build, machine, speed
from src.tasks.stepping import Stepping
from src.tasks.supervised import SupervisedTask


def configured(words: Sequence[str]) -> tuple[dict[str, Any], Data]:
    """The configuration that train.py's words compose, its threads set, and its data on the device."""
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = resolve(compose("config", list(words))) | {"choices": dict.fromkeys(("data", "model", "loss"), "")}
    machine.set_threads(cfg["trainer"])
    data = build.build_data(cfg)
    build.load(data)
    device = machine.resolve_device(cfg["trainer"])
    cfg, _ = speed.settle(cfg, data, None, device)
    data.to(torch.device("cuda" if device == "gpu" else "cpu"))
    return cfg, data


def task_of(cfg: dict[str, Any], data: Data) -> SupervisedTask:
    loss = build.build_loss(cfg, data.spec)
    model = build.build_model(cfg, data.spec, loss)
    # no schedule is followed, so any length does that the warmup fits in
    players = build.build_players(cfg, model, cfg["scheduler"].get("warmup_steps", 0) + 1)
    stepping = Stepping(players, due=bool, total=sys.maxsize)
    return SupervisedTask(model=model, loss=loss, spec=data.spec, stepping=stepping)


def take_step(task: SupervisedTask, batch: Batch) -> None:
    """An optimizer step, without schedule, clipping and scores."""
    assert task.stepping is not None
    task.forward_backward(task.prepare(batch))
    (player,) = task.stepping.players
    player.optimizer.step()
    player.optimizer.zero_grad()


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments)
    cfg, data = configured(given.words)
    task, limit = task_of(cfg, data), cfg["trainer"]["limit_eval_batches"]
    task.compile(cfg["compile"])
    forward = torch.compile(task.forward) if cfg["compile"] else task.forward
    batches = iter(data.train_loader(0, sys.maxsize))
    trainer = pl.Trainer(
        accelerator=machine.resolve_device(cfg["trainer"]),
        devices=1,
        precision=cfg["trainer"]["precision"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )

    @torch.inference_mode()
    def logits() -> None:
        task.eval()
        with trainer.precision_plugin.forward_context():
            for inputs, *_ in data.eval_loader("val", limit):
                forward(inputs)

    def metrics() -> None:
        task.val_scores.reset()
        trainer.validate(task, data.eval_loader("val", limit), verbose=False)
        task.val_scores.compute()

    def steps() -> None:
        task.train()
        for _ in range(given.steps):
            with trainer.precision_plugin.forward_context():
                take_step(task, next(batches))

    for warm in (metrics, logits, steps):  # the first moves the task to the device
        warm()
        task.to(trainer.strategy.root_device)
    epoch = data.steps_per_epoch() / given.steps
    rounds = [
        {"logits": timed(logits), "metrics": timed(metrics), "epoch": epoch * timed(steps)} for _ in range(given.rounds)
    ]
    print(json.dumps({"rounds": rounds}))


if __name__ == "__main__":
    main()
