"""Training and testing of one run, by Lightning."""

import contextlib
import logging
import sys
import time

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from ..callbacks.average import EMAWeightAveraging
from ..callbacks.checkpoint import ExactCheckpoint, RandomState, load
from ..callbacks.early_stopping import EarlyStopping
from ..callbacks.events import EventFiles
from ..callbacks.guard import FiniteGuard
from ..callbacks.histograms import Histograms
from ..callbacks.plan import Plan, Validations
from ..callbacks.predictions import Predictions
from ..callbacks.profiler import RunProfiler
from ..callbacks.progress import ProgressBar, ProgressLines
from ..callbacks.recorder import Recorder
from ..callbacks.samples import ImageSamples, Samples, TextSamples
from ..callbacks.utilisation import Utilisation
from ..config.errors import UserError, printable
from ..data.base import Data, TrainLoader, generator
from ..figures.style import save as save_figure
from ..folder.folder import RunFolder
from ..plain import Plain
from ..ranks import ranks
from ..system.files import write_bytes
from ..tasks.base import Task
from ..tasks.generating import GeneratingTask
from ..tasks.stepping import STEP, Stepping
from . import build, testing
from .callbacks import build_callbacks
from .loggers import loggers
from .own import try_out
from .rebuild import Rebuilt, weights_of
from .resume import about, read_checkpoint
from .strategy import SharedBuffers, spread
from .summary import summary
from .teacher import build_task

log = logging.getLogger("xent")
MANY_BATCHES = 10_000  # of a validation, which is then told before it is waited for


class Fit:
    """A run, built and checked; nothing is written before ``run``. Raises UserError for what does not fit together."""

    def __init__(self, cfg: Plain, data: Data, teacher: Rebuilt | None, folder: RunFolder, device: str) -> None:
        self.cfg, self.data, self.teacher, self.folder, self.device = cfg, data, teacher, folder, device
        self.measured: Plain = {}  # training_seconds: with validations and checkpoints; peak_gpu_bytes: rank 0's
        build.load(data)
        build.check_batches(cfg, data)
        self.plan = Plan.of(cfg["trainer"], data.steps_per_epoch(), cfg["checkpoint"]["every_n_steps"])
        self.task = self._task()
        self.samples = self._samples()
        self.profiler = self._profiler()
        self.own_callbacks = build_callbacks(cfg)
        try_out(cfg, self.task, data)
        self.predictions = Predictions()
        self.checkpoint: Plain | None = None

    def resume(self) -> None:
        """Read the checkpoint, if there is one to resume from. The folder must be held."""
        self.checkpoint = None if self.cfg["overwrite"] else read_checkpoint(self.folder, self.cfg, self.task)

    def _task(self) -> Task:
        cfg, spec = self.cfg, self.data.spec
        loss = build.build_loss(cfg, spec)
        model = build.build_model(cfg, spec, loss)
        trainer = cfg["trainer"]
        stepping = Stepping(
            build.build_players(cfg, model, self.plan.steps),
            due=self.plan.due,
            total=self.plan.steps,
            accumulate=self.plan.accumulate,
            clip=trainer["gradient_clip_val"],
            many=not (trainer["strategy"] or cfg["ema"]["decay"] is not None or trainer["precision"] == "16-mixed"),
        )
        return build_task(cfg, spec, self.teacher, model=model, loss=loss, stepping=stepping)

    def _samples(self) -> Samples | None:
        cfg, text = self.cfg, self.data.spec.kind == "text"
        if not (cfg["samples"]["count"] if text else cfg["figures"] and isinstance(self.task, GeneratingTask)):
            return None
        if cfg["trainer"]["strategy"] == "fsdp":  # rank 0 alone draws, and has a piece of the model alone
            what = "samples.* is ignored: trainer=fsdp writes no text" if text else "trainer=fsdp draws no made images"
            log.warning(what)
            return None
        if not text:
            return ImageSamples(self.folder, cfg["seed"])
        try:
            return TextSamples(self.folder.path, self.data.spec, cfg["seed"], cfg["samples"])
        except ValueError as error:
            raise UserError(f"samples.prompt: {error}") from None

    def run(self) -> Plain:
        """Train to the end and test. Raises Interrupted on a signal."""
        cfg, checkpoint = self.cfg, self.checkpoint
        counted = None if self.task.players else self.task.model  # each turn computes another part of it
        used = Utilisation(counted, self.data.spec, cfg["trainer"]["precision"])
        recorder = Recorder(self.folder, self.plan, self.data.batch_size, used)
        keeper = ExactCheckpoint(self.folder, about(cfg), self.plan, cfg["checkpoint"]["best"])
        trainer = self._trainer(recorder, keeper)
        self.data.to(trainer.strategy.root_device)
        self.task.compile(cfg["compile"])
        self._introduce()
        own = ("rank", ranks.rank()) if ranks.rank() else ()  # or all ranks would drop the same units
        pl.seed_everything(generator("training", cfg["seed"], *own).initial_seed() % 2**32, verbose=False)
        with keeper.signals(), contextlib.closing(recorder):
            if checkpoint is None or not checkpoint["callbacks"]["ExactCheckpoint"]["finished"]:
                start = time.perf_counter()
                trainer.fit(
                    self.task,
                    self._train_loader(),
                    ranks.share(testing.eval_loader(cfg, self.data, "val"), trainer),
                    ckpt_path=None if checkpoint is None else str(self.folder.last),
                    weights_only=True,
                )
                if not keeper.finished:
                    raise RuntimeError("a callback stopped the training before its first step")
                self.measured["training_seconds"] = time.perf_counter() - start
                if trainer.strategy.root_device.type == "cuda":
                    self.measured["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
            else:
                recorder.load_state_dict(checkpoint["callbacks"]["Recorder"])
                recorder.restore(self.task)
            result = self._test(trainer, recorder)
            if ranks.rank() > 0:
                return {}
            boards = [logger for logger in trainer.loggers if isinstance(logger, EventFiles)]
            for board in boards:
                board.hyperparameters(cfg, result["metrics"]["test"], result["steps"])
            if cfg["figures"]:
                try:
                    self._draw(boards, result)
                except Exception as error:  # the run itself is done
                    log.debug("", exc_info=True)
                    result["notes"].append(f"not all figures were drawn: {type(error).__name__}: {error}")
            for board in boards:
                board.save()  # or the last picture waits in the writer's queue
        return result

    def _train_loader(self) -> TrainLoader:
        plan, many = self.plan, not self.task.automatic_optimization
        repeat = plan.epoch_steps * plan.accumulate if self.cfg["trainer"]["overfit_batches"] else None
        shared = {"rank": ranks.rank(), "world": ranks.world()}
        return self.data.train_loader(self.cfg["seed"], plan.batches, repeat=repeat, many=many, **shared)

    def _trainer(self, recorder: Recorder, keeper: ExactCheckpoint) -> pl.Trainer:
        settings, automatic = self.cfg["trainer"], self.task.automatic_optimization
        return pl.Trainer(
            **spread(settings, self.device),
            precision=settings["precision"],
            max_epochs=1,
            max_steps=-1,
            val_check_interval=sys.maxsize,  # Validations knows better
            check_val_every_n_epoch=None,
            accumulate_grad_batches=self.plan.accumulate if automatic else 1,
            num_sanity_val_steps=0,
            logger=self._loggers(),
            callbacks=self._callbacks(recorder, keeper),
            default_root_dir=self.folder.path,
            profiler=self.profiler,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,  # as in fit's validations, which it does not reach: one compiled graph for all
        )

    def _loggers(self) -> list[Logger]:
        if ranks.rank() > 0:
            return []
        step = None if self.checkpoint is None else self.checkpoint["global_step"]
        return loggers(self.cfg, self.folder, self.task.family, step, self.data.step_size)

    def _callbacks(self, recorder: Recorder, keeper: ExactCheckpoint) -> list[Callback]:
        """In the order in which Lightning calls them; the checkpoint last."""
        cfg = self.cfg
        name = f"loss={cfg['choices']['loss']}"
        callbacks: list[Callback] = [
            *([EMAWeightAveraging(decay=cfg["ema"]["decay"])] if cfg["ema"]["decay"] is not None else []),
            FiniteGuard(self.plan, name),
            recorder,
            *([self.samples] if self.samples else []),
            *([Histograms(self.task.watched)] if self.task.watched else []),
            *([EarlyStopping(cfg["early_stopping"]["patience"])] if cfg["early_stopping"]["patience"] else []),
            *self.own_callbacks,
            Validations(self.plan),
            SharedBuffers(),
            self._progress(recorder),
            self.predictions,
            RandomState(),
            keeper,
        ]
        return callbacks

    def _progress(self, recorder: Recorder) -> Callback:
        bar = sys.stdout.isatty() and ranks.rank() == 0
        return ProgressBar(self.plan, recorder) if bar else ProgressLines(self.plan, recorder)

    def _profiler(self) -> RunProfiler | None:
        if not self.cfg["profiler"] or ranks.rank() > 0:
            return None
        unit = "run_training_batch" if self.task.automatic_optimization else STEP
        return RunProfiler(self.folder.profile, self.plan.steps, unit)

    def _introduce(self) -> None:
        spec, plan, choices = self.data.spec, self.plan, self.cfg["choices"]
        parameters = sum(p.numel() for p in self.task.model.parameters())
        log.info("run folder: %s", printable(str(self.folder.path)))
        classes = f"{spec.num_classes} classes, " if spec.class_names else ""
        counted = "symbols" if spec.needed_frames else "examples"
        log.info("%s: %s%s training %s", choices["data"], classes, f"{sum(spec.class_counts):,}", counted)
        log.info(
            "model %s (%s parameters), loss %s, on %s in %s",
            *(choices["model"], f"{parameters:,}", choices["loss"], self.device, self.cfg["trainer"]["precision"]),
        )
        log.debug("layers: name, type, parameters, shapes\n%s", summary(self.task, self.data))
        log.info("%d steps of %d examples, validation every %d steps", plan.steps, self.data.step_size, plan.val_steps)
        batches = len(testing.eval_loader(self.cfg, self.data, "val"))
        if batches > MANY_BATCHES:
            log.warning(
                "each validation takes %s batches, and the test the like: trainer.limit_eval_batches=200 draws"
                " 200 evenly, for a first look (reports leave such a run out); a smaller data.val_fraction leaves more"
                " to train on",
                f"{batches:,}",
            )
        if self.checkpoint is not None:
            log.info("going on after step %d", self.checkpoint["global_step"])

    def _test(self, trainer: pl.Trainer, recorder: Recorder) -> Plain:
        """Test the last weights (the average where there is one; the best where asked), and write them.

        Every rank tests; rank 0 writes and has the result.
        """
        below = testing.floors(trainer, self._task, self.task.floors, self.cfg, self.data)
        last = load(self.folder.last)
        best = self.cfg["checkpoint"]["best"]
        chosen = load(self.folder.best) if best else last
        self._set_weights(chosen)
        parameters, steps = sum(p.numel() for p in self.task.model.parameters()), last["global_step"]
        if ranks.rank() == 0:
            write_bytes(self.folder.weights, weights_of(self.task.model))
        testing.learn(trainer, self.task, self.cfg, self.data)
        self._set_weights(chosen)
        notes = testing.adjust(trainer, self.task, self.cfg, self.data)
        self._set_weights(chosen)
        loader = testing.eval_loader(self.cfg, self.data, "test")
        tested = testing.test(trainer, self.task, loader, self.predictions, below)
        if ranks.rank() > 0:
            return {}
        self.predictions.write(self.folder.predictions)
        recorder.record(trainer, steps, {f"test/{name}": value for name, value in tested["metrics"].items()})
        recorder.sync()
        if self.samples:
            self.samples.write(self.task, steps)
        stopped = [f"stopped early, at step {steps} of {self.plan.steps}"] if steps < self.plan.steps else []
        # train and val values of the weights that were tested: a learning rate is chosen by them
        latest = recorder.latest | (recorder.latest_in(chosen) if best else {})
        return {
            "metrics": {
                split: {tag.partition("/")[2]: value for tag, value in latest.items() if tag.startswith(f"{split}/")}
                for split in ("test", "val", "train")
            },
            **testing.beside(tested),
            "adjusted": self.task.adjusted,
            "steps": steps,
            "epochs": self.plan.epoch(steps) + 1,
            "tested_at_step": chosen["global_step"],
            "parameters": parameters,
            "notes": [*self.data.notes, *notes, *tested.get("notes", []), *stopped],
        }

    def _set_weights(self, checkpoint: Plain) -> None:
        """Of a model as it was built: FSDP leaves each rank with a piece of one that it has cut up."""
        taught = self.task.learnt, self.task.adjusted
        if self.cfg["trainer"]["strategy"] == "fsdp":
            self.task = self._task()
        self.task.learnt, self.task.adjusted = taught
        self.task.load_state_dict(checkpoint["state_dict"])

    def _draw(self, boards: list[EventFiles], result: Plain) -> None:
        self.folder.figures.mkdir(exist_ok=True)
        name = self.folder.path.parent.name.rpartition("-")[0]  # without its hash
        title = f"{name}\non {self.cfg['choices']['data']}, seed {self.cfg['seed']}, {result['steps']:,} steps"
        examples, loader = self.predictions.examples(), testing.eval_loader(self.cfg, self.data, "test")
        for name, figure in self.task.pictures(title, result, examples, loader):
            picture = save_figure(figure, self.folder.figures / f"{name}.png")
            for board in boards:
                board.image(name, picture, result["steps"])
