"""Training and testing of one run, by Lightning."""

import logging
import sys
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from safetensors.torch import save

from src.callbacks.checkpoint import AtomicCheckpointIO, ExactCheckpoint, RandomState
from src.callbacks.early_stopping import EarlyStopping
from src.callbacks.guard import FiniteGuard
from src.callbacks.plan import Plan
from src.callbacks.predictions import Predictions
from src.callbacks.progress import ProgressBar, ProgressLines
from src.callbacks.recorder import Recorder
from src.callbacks.samples import TextSamples
from src.config.errors import UserError
from src.data.base import Data, EvalLoader, generator
from src.runs import build
from src.runs.files import written_whole
from src.runs.folder import RunFolder
from src.runs.rebuild import Rebuilt
from src.runs.teacher import fitted
from src.tasks.distillation import DistillationTask
from src.tasks.supervised import SupervisedTask

Plain = dict[str, Any]
log = logging.getLogger("xent")


class EventFiles(TensorBoardLogger):
    """TensorBoard's event files in the run's folder, and nothing else there."""

    def save(self) -> None:
        """Flush; the configuration is in config.yaml, so no hparams.yaml."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Flush, and stay open for the test: a second file would purge what the first drew after a resume."""
        self.save()


class Fit:
    """A run, built and checked; nothing is written before ``run``. Raises UserError for what does not fit together."""

    def __init__(self, cfg: Plain, data: Data, teacher: Rebuilt | None, folder: RunFolder, device: str) -> None:
        self.cfg, self.data, self.folder, self.device = cfg, data, folder, device
        spec = build.load(data)
        loss = build.build_loss(cfg, spec)
        model = build.build_model(cfg, spec, loss)
        self.plan = Plan.of(cfg["trainer"], data.steps_per_epoch())
        parts: Plain = {
            "model": model,
            "loss": loss,
            "optimizer": build.build_optimizer(cfg, model),
            "schedule": build.build_schedule(cfg, self.plan.steps),
            "text": spec.kind == "text",
        }
        self.task = (
            DistillationTask(teacher=fitted(teacher, spec, cfg["teacher"]), **parts)
            if teacher
            else SupervisedTask(**parts)
        )
        self.samples = self._samples()
        self.checkpoint = None if cfg["overwrite"] else self._read_checkpoint()

    def _samples(self) -> TextSamples | None:
        if self.data.spec.kind != "text" or self.cfg["samples"]["count"] == 0:
            return None
        try:
            return TextSamples(self.folder.path, self.data.spec, self.cfg["seed"], self.cfg["samples"])
        except ValueError as error:
            raise UserError(f"samples.prompt: {error}") from None

    def _read_checkpoint(self) -> Plain | None:
        """last.ckpt if there is one. Raises UserError if it is not of this configuration."""
        path = self.folder.last
        if not path.exists():
            return None
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            stored = {key: tuple(value.shape) for key, value in checkpoint["state_dict"].items()}
        except Exception as error:
            reason = str(error).splitlines()[0][:100]
            raise UserError(f"{path} is no checkpoint of xent ({reason}); train anew with overwrite=true") from error
        own = {key: tuple(value.shape) for key, value in self.task.state_dict().items()}
        for key in sorted(own.keys() | stored.keys()):
            if own.get(key) != stored.get(key):
                raise UserError(
                    f"{path} is a checkpoint of another model: {key} is {stored.get(key, 'missing')} there and"
                    f" {own.get(key, 'missing')} here; train anew with overwrite=true"
                )
        return checkpoint

    def run(self) -> Plain:
        """Train to the end and test. Raises Interrupted on a signal."""
        cfg, checkpoint = self.cfg, self.checkpoint
        self.recorder = Recorder(self.folder.path, self.plan, self.data.batch_size, cfg["trainer"]["log_every_n_steps"])
        self.predictions = Predictions(self.folder.path, self.data.spec.kind == "text")
        keeper = ExactCheckpoint(
            self.folder.checkpoints, self.plan, cfg["checkpoint"]["every_n_steps"], cfg["checkpoint"]["best"]
        )
        trainer = self._trainer(keeper)
        self.data.to(trainer.strategy.root_device)
        if cfg["compile"]:
            self.task.model.compile()
        self._introduce()
        pl.seed_everything(generator("training", cfg["seed"]).initial_seed() % 2**32, verbose=False)
        with keeper.signals():
            if checkpoint is None or not checkpoint["callbacks"]["ExactCheckpoint"]["finished"]:
                repeat = cfg["trainer"]["overfit_batches"]
                trainer.fit(
                    self.task,
                    self.data.train_loader(cfg["seed"], self.plan.batches, repeat),
                    self._eval_loader("val"),
                    ckpt_path=None if checkpoint is None else str(self.folder.last),
                    weights_only=True,
                )
            else:
                self.recorder.load_state_dict(checkpoint["callbacks"]["Recorder"])
                self.recorder.restore(self.task)
            return self._test(trainer)

    def _trainer(self, keeper: ExactCheckpoint) -> pl.Trainer:
        settings = self.cfg["trainer"]
        return pl.Trainer(
            accelerator=self.device,
            devices=settings["devices"],
            precision=settings["precision"],
            max_epochs=1,
            max_steps=-1,
            val_check_interval=self.plan.val_steps * self.plan.accumulate,
            check_val_every_n_epoch=None,
            gradient_clip_val=settings["gradient_clip_val"],
            accumulate_grad_batches=self.plan.accumulate,
            num_sanity_val_steps=0,
            logger=self._loggers(),
            callbacks=self._callbacks(keeper),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=self.folder.path,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    def _loggers(self) -> list[Logger]:
        step = None if self.checkpoint is None else self.checkpoint["global_step"]
        if self.cfg["logger"] == "tensorboard":
            purge = None if step is None else step + 1  # hides what was drawn after the checkpoint
            return [EventFiles(self.folder.path, name="", version="", purge_step=purge)]
        if self.cfg["logger"] == "wandb":
            from pytorch_lightning.loggers import WandbLogger

            family, name, seed = self.folder.path.parts[-3:]
            return [WandbLogger(save_dir=self.folder.path, project="xent", group=family, name=f"{name}/{seed}")]
        return []

    def _callbacks(self, keeper: ExactCheckpoint) -> list[Callback]:
        """In the order in which Lightning calls them; the checkpoint last."""
        cfg = self.cfg
        name = f"loss={cfg['choices']['loss']}"
        callbacks: list[Callback] = [
            *([EMAWeightAveraging(decay=cfg["ema"]["decay"])] if cfg["ema"]["decay"] is not None else []),
            FiniteGuard(self.plan, name, cfg["trainer"]["log_every_n_steps"]),
            self.recorder,
            *([self.samples] if self.samples else []),
            *([EarlyStopping(cfg["early_stopping"]["patience"])] if cfg["early_stopping"]["patience"] else []),
            StopAtEnd(self.plan),
            ProgressBar(self.plan, self.recorder) if sys.stdout.isatty() else ProgressLines(self.plan, self.recorder),
            self.predictions,
            RandomState(),
            keeper,
        ]
        return callbacks

    def _eval_loader(self, split: str) -> Any:
        settings = self.cfg["trainer"]
        if settings["overfit_batches"]:
            repeat = settings["overfit_batches"]
            return EvalLoader(lambda index: self.data.train_batch(self.cfg["seed"], index), range(repeat))
        return self.data.eval_loader(split, settings["limit_eval_batches"])

    def _introduce(self) -> None:
        spec, plan, choices = self.data.spec, self.plan, self.cfg["choices"]
        parameters = sum(p.numel() for p in self.task.model.parameters())
        log.info("run folder: %s", self.folder.path)
        log.info(
            "%s (%s classes, %s training examples)  model %s (%s parameters)  loss %s  on %s",
            *(choices["data"], spec.num_classes, f"{sum(spec.class_counts):,}", choices["model"], f"{parameters:,}"),
            *(choices["loss"], self.device),
        )
        log.info("%d steps of %d examples, validation every %d steps", plan.steps, self.data.batch_size, plan.val_steps)
        if self.checkpoint is not None:
            log.info("going on after step %d", self.checkpoint["global_step"])

    def _test(self, trainer: pl.Trainer) -> Plain:
        """Test the last weights (the average where there is one; the best where asked), and write them."""
        best = self.cfg["checkpoint"]["best"]
        chosen = torch.load(self.folder.best if best else self.folder.last, map_location="cpu", weights_only=True)
        self.task.load_state_dict(chosen["state_dict"])
        with written_whole(self.folder.weights) as file:
            file.write(save({name: value.contiguous() for name, value in self._weights().items()}))
        trainer.test(self.task, self._eval_loader("test"), verbose=False)
        by_class = self.predictions.class_accuracy(self.data.spec.num_classes)
        present = [value for value in by_class if value is not None]
        test = self.task.test_scores.compute() | {"class_mean_accuracy": sum(present) / len(present)}
        steps = torch.load(self.folder.last, map_location="cpu", weights_only=True)["global_step"]
        self.recorder.record(trainer, steps, {f"test/{name}": value for name, value in test.items()})
        self.recorder.metrics.length()
        if self.samples:
            self.samples.write(self.task, steps)
        latest = self.recorder.latest
        stopped = [f"stopped early, at step {steps} of {self.plan.steps}"] if steps < self.plan.steps else []
        return {
            "metrics": {
                split: {tag.partition("/")[2]: value for tag, value in latest.items() if tag.startswith(f"{split}/")}
                for split in ("test", "val", "train")
            },
            "class_accuracy": dict(zip(self.data.spec.class_names, by_class, strict=True)),
            "steps": steps,
            "epochs": self.plan.epoch(steps) + 1,
            "tested_at_step": chosen["global_step"],
            "parameters": sum(p.numel() for p in self.task.model.parameters()),
            "notes": [*self.data.notes, *stopped],
        }

    def _weights(self) -> dict[str, torch.Tensor]:
        """The model's own state, tied tensors once."""
        state = self.task.model.state_dict()
        first: dict[int, str] = {}
        return {name: t for name, t in state.items() if first.setdefault(t.data_ptr(), name) == name or t.numel() == 0}


class StopAtEnd(Callback):
    """Asks Lightning for a last validation after the last batch, wherever that falls."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == self.plan.batches:
            trainer.should_stop = True
