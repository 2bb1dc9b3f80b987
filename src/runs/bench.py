"""A finished run set up to be tested: rebuilt, on its kind of device, with data that are in its terms."""

from ..plain import Plain
from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
from typing import Any

import pytorch_lightning as pl

from ..callbacks.predictions import Predictions
from ..config.errors import UserError
from ..data.base import Data, DataError
from ..folder.folder import RunFolder
from ..folder.identity import same_data
from ..models.base import Network
from ..tasks.base import Task
from . import build, machine
from .rebuild import Rebuilt
from .teacher import build_task, find_teacher


def settle(cfg: Plain, result: Plain) -> tuple[str, Plain]:
    """Take the run's device, where there is one, and its number of threads; the device and what is said of it."""
    trainer = cfg["trainer"]
    cfg["compile"] = result["run"].get("compiled", cfg["compile"])
    if "auto" in (trainer["precision"], cfg["compile"]):
        raise UserError("config.yaml says auto, where a run stores what that came to: it was changed")
    trainer |= {"accelerator": "cpu" if result["run"]["device"].startswith("cpu") else "auto", "devices": 1}
    device = machine.resolve_device(trainer)
    machine.check_extras(cfg | {"logger": "csv"}, device)
    machine.repeat_exactly(device)
    return device, machine.describe(device, machine.set_threads(trainer))


class Bench:
    """A rebuilt run and data to test it on; the test split alone where the data are not the run's own."""

    def __init__(self, folder: RunFolder, cfg: Plain, run: Rebuilt, other: bool, device: str) -> None:
        self.cfg, self.run, self.teacher = cfg, run, find_teacher(cfg)
        if self.teacher and cfg["identity_facts"].get("judge", self.teacher.weights_hash) != self.teacher.weights_hash:
            raise UserError(
                f"judge={cfg['judge']} is not the network that judged this run: its weights have changed. Numbers by"
                " two judges do not compare, so train this run anew to have it judged by that one"
            )
        self.data = read_other(cfg, run) if other else read_own(cfg, run)
        self.task = self._task(run.model)
        self.predictions = Predictions()
        self.trainer = pl.Trainer(
            accelerator=device,
            devices=1,
            precision=cfg["trainer"]["precision"],
            logger=False,
            callbacks=[self.predictions],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,  # as in the run
        )
        self.data.to(self.trainer.strategy.root_device)
        self.task.compile(cfg["compile"])

    def _task(self, model: Network) -> Task:
        model.requires_grad_(True)  # as in the run: without, a linear layer may take another way, to other last digits
        return build_task(self.cfg, self.run.spec, self.teacher, model=model, loss=self.run.loss)

    def fresh(self) -> Task:
        """The task with the weights with which the run started."""
        return self._task(build.build_model(self.cfg, self.run.spec, self.run.loss))


def read_own(cfg: Plain, run: Rebuilt) -> Data:
    """The data that the run was trained on. Raises UserError where they have changed."""
    data = build.build_data(cfg)
    now = cfg | {"identity_facts": cfg["identity_facts"] | {"fingerprint": build.fingerprint(data)}}
    spec = build.load(data)
    if spec == run.spec and same_data(now) != same_data(cfg):
        raise UserError(f"data={cfg['choices']['data']} is not what this run was trained on: its content differs")
    if spec != run.spec:
        raise UserError(
            f"data={cfg['choices']['data']} is not what this run was trained on: {differing(spec, run.spec)} differ"
        )
    return data


def read_other(cfg: Plain, run: Rebuilt) -> Data:
    """The test split of other data, in the run's terms. Raises UserError where it has none."""
    data, option = build.build_data(cfg), cfg["choices"]["data"]
    if data.kind != run.spec.kind:
        raise UserError(f"data={option} gives {data.kind}, this run reads {run.spec.kind}")
    try:
        data.check_sizes(run.spec)  # before a download
        build.load(data)
        data.adopt(run.spec)
    except DataError as error:
        raise UserError(str(error)) from error
    cfg["trainer"]["overfit_batches"] = None  # those are of the training split
    return data


def differing(one: Any, other: Any) -> str:
    return ", ".join(key for key, value in vars(one).items() if value != vars(other)[key])
