"""``python -m tests.devices.whole NAME=WORDS ...``: the whole of a run on a device that is not the CPU, for each name.

Prints one JSON line: of each name "" or what went wrong.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import src.system.torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import torch
from lightning_fabric.plugins import Precision
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.data import DataLoader

from src.callbacks.average import EMAWeightAveraging
from src.callbacks.predictions import Predictions
from src.config.entry import resolve
from src.data.base import Batch, Data, generator
from src.data.shift import AMOUNTS, shifted
from src.runs import build, testing
from src.runs.rebuild import Rebuilt
from src.runs.teacher import build_task
from src.tasks import supervised
from src.tasks.generation import generate
from src.tasks.stepping import Player, Stepping
from src.tasks.supervised import SupervisedTask
from tests.commands import composed
from tests.devices.other import DEVICE, Other, number, other_device

STEPS = 2
iterate = DataLoader.__iter__


def iterate_on_host(loader: Any) -> Any:
    """It draws a number of its own when it starts, which is the host's affair."""
    with _disable_current_modes():
        return iterate(loader)


class Run:
    """A run as fit.py builds it, and what Lightning does with it."""

    def __init__(self, words: list[str], device: Other) -> None:
        self.taught = any(word.startswith("loss=distillation") for word in words)
        with _disable_current_modes():
            command = composed("trainer=cpu", "data.batch_size=8", "data.eval_batch_size=8", *words)
            self.cfg = resolve(command.cfg) | {"choices": command.choices}
            self.data: Data = build.build_data(self.cfg)
            self.spec = build.load(self.data)
        self.device = device

    def _teacher(self) -> Rebuilt | None:
        if not self.taught:
            return None
        cfg = self.cfg | {"loss": resolve(composed("loss=ce").cfg)["loss"], "teacher": "there"}
        self.cfg["teacher"] = "there"
        loss = build.build_loss(cfg, self.spec)
        return Rebuilt(build.build_model(cfg, self.spec, loss), loss, self.spec, "")

    def task(self) -> Any:
        with _disable_current_modes():
            loss = build.build_loss(self.cfg, self.spec)
            model = build.build_model(self.cfg, self.spec, loss)
            task = build_task(self.cfg, self.spec, self._teacher(), model=model, loss=loss)
        return task.to(DEVICE)

    def fit(self) -> None:
        """Some optimizer steps, with all that surrounds one, and a validation."""
        task, trainer = self.task(), self.cfg["trainer"]
        accumulate = trainer["accumulate_grad_batches"]
        players, clip = build.build_players(self.cfg, task.model, STEPS), trainer["gradient_clip_val"]
        task.stepping = Stepping(players, due=lambda step: step == STEPS, total=STEPS, accumulate=accumulate, clip=clip)
        task.automatic_optimization = False
        task.trainer = lightning(players)
        task.train()
        task.on_fit_start()
        batches: Iterator[Batch] = iter(self.data.train_loader(0, STEPS * accumulate, many=False))
        average = EMAWeightAveraging(decay=0.9)
        average.setup(task.trainer, task, "fit")
        self.device.busy = True
        task.training_step(batches, 0)
        self.update(average, task)
        task.eval()
        average.on_validation_epoch_start(task.trainer, task)
        for batch in self.some("val"):
            task.validation_step(batch, 0)
        average.on_validation_epoch_end(task.trainer, task)
        self.device.busy = False
        assert {p.device for p in [*task.parameters(), *task.buffers()]} == {DEVICE}
        assert all(loss.device == DEVICE for loss in task.recent_losses)
        for state in players[0].optimizer.state.values():
            assert all(value.device == DEVICE for key, value in state.items() if key != "step")

    def update(self, average: Any, task: Any) -> None:
        """The first update of an average and the second, which are told apart by a count on the host."""
        assert average._average_model.n_averaged.device.type == "cpu", "the count of averages is on the device"
        for count in (0, 1):
            average._average_model.n_averaged = number(count)
            task.trainer.global_step = count + 1
            average.on_train_batch_end(task.trainer, task, None, None, 0)

    def some(self, split: str) -> list[Batch]:
        """The first batch of a split and the last, which may be short."""
        loader = self.data.eval_loader(split)
        return [loader.batch(index) for index in dict.fromkeys((loader.batches[0], loader.batches[-1]))]

    @torch.no_grad()
    def test(self) -> None:
        """Of a model that was only just built, as evaluate.py has it."""
        task = self.task().eval()
        task.on_predict_start()
        self.device.busy = True
        predicted = [task.predict_step(batch, 0) for batch in self.some("val")]
        self.device.busy = False
        found = self.temperature(task, predicted)
        predictions = Predictions()
        task.adjusted = 1.5 if found else None
        task.on_test_start()
        for batch in self.some("test"):
            self.device.busy = True
            outputs = task.test_step(batch, 0)
            self.device.busy = False
            predictions.on_test_batch_end(None, task, outputs)  # type: ignore[arg-type]
        predictions.on_test_end(None, task)  # type: ignore[arg-type]
        assert all(column.device.type == "cpu" for column in predictions.examples().values())

    def temperature(self, task: Any, predicted: Any) -> bool:
        """Whether there are probabilities; then the temperature is fitted on the host."""
        trainer: Any = SimpleNamespace(predict=lambda *_: predicted)
        fitted, fit = [], supervised.fit_temperature
        supervised.fit_temperature = lambda p, y, how: fitted.append((p.device.type, y.device.type)) or 1.5  # type: ignore[func-returns-value, assignment]
        share = testing.ranks.share
        testing.ranks.share = lambda loader, trainer: loader  # type: ignore[assignment]
        try:
            testing.adjust(trainer, task, self.cfg, self.data)
        finally:
            supervised.fit_temperature, testing.ranks.share = fit, share
        assert fitted == ([("cpu", "cpu")] if task.adjusted else [])
        return task.adjusted is not None

    @torch.no_grad()
    def shift(self) -> None:
        task = self.task().eval()
        task.on_test_start()
        for kind in AMOUNTS:
            for severity in (1, 5):
                loader = shifted(self.data.eval_loader("test"), self.spec, kind, severity, 0)
                self.device.busy = True
                task.test_step(loader.batch(0), 0)
                self.device.busy = False

    def sample(self) -> None:
        task = self.task()
        ids = torch.zeros(1, 3, dtype=torch.long).to(task.device).expand(2, -1)
        how: Any = {"length": 3, "context": self.spec.input_shape[0], "temperature": 0.8, "top_k": 5}
        assert generate(task.model, task.loss, ids, g=generator("samples"), **how).device == DEVICE


def lightning(players: tuple[Player, ...]) -> Any:
    """Of a trainer what steps ask for."""
    progress = SimpleNamespace(increment_by=lambda steps: None)
    manual = SimpleNamespace(optim_step_progress=progress)
    return SimpleNamespace(
        global_step=0,
        optimizers=[player.optimizer for player in players],
        lr_scheduler_configs=[SimpleNamespace(scheduler=LambdaLR(one.optimizer, one.schedule)) for one in players],
        precision_plugin=Precision(),
        profiler=PassThroughProfiler(),
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(manual_optimization=manual)),
    )


PLANTED: dict[str, Callable[[Tensor], Any]] = {
    "planted=number": lambda loss: loss * loss.mean().item(),
    "planted=branch": lambda loss: loss if loss.sum() > 0 else -loss,
    "planted=copy": lambda loss: loss + loss.cpu().mean(),
    "planted=place": lambda loss: loss + torch.zeros(len(loss)),
    "planted=index": lambda loss: loss + loss[loss > 0].mean(),
}
objective = SupervisedTask.objective


def fault(words: list[str]) -> str:
    """What goes wrong in a run of these words; "" where nothing does. ``planted=`` puts a fault into the loss."""
    plant = PLANTED.get(words[0]) if words else None
    SupervisedTask.objective = objective  # type: ignore[method-assign]
    if plant:
        words = words[1:]
        SupervisedTask.objective = lambda *all: {"loss": plant(objective(*all)["loss"])}  # type: ignore[method-assign]
    try:
        with other_device() as device:
            run = Run(words, device)
            run.data.to(DEVICE)
            run.fit()
            run.test()
            if run.spec.kind == "text":
                run.sample()
            else:
                run.shift()
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/src/" in frame.filename]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "tests"
        return f"{place}: {type(error).__name__}: {str(error)[:300]}"
    return ""


if __name__ == "__main__":
    DataLoader.__iter__ = iterate_on_host  # type: ignore[method-assign]
    print(json.dumps({word: fault(word.split()) for word in sys.argv[1:]}))
