"""How a task takes optimizer steps: many each time Lightning calls, so that Lightning's own work costs little."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ..data.base import Batch
from ..models.base import RepeatedBlock
from ..optim.schedules import Schedule

Named = dict[str, Tensor]  # a row an example
Seen = tuple[Named, Named]  # of a batch: the terms of its loss, (N,) each, and the answer of the network
TURN = 0.1  # seconds after which Lightning has its turn though nothing is due: a signal or a bar waits no longer
HELD = 2**18  # numbers that may wait to be scored: 1 MB, which a processor still has in its cache
STEP = "optimizer_step"  # its name in a profile


@dataclass(frozen=True)
class Player:
    """A part of the network with its own optimizer and schedule; the name "" is that of the whole network."""

    name: str
    optimizer: Optimizer
    schedule: Schedule

    @property
    def weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]


@dataclass(frozen=True)
class Stepping:
    """What training needs besides batches. With several players, a step is a round in which each has its turns."""

    players: tuple[Player, ...]
    due: Callable[[int], bool]  # after which steps something else is to happen
    total: int  # optimizer steps of the run
    accumulate: int = 1
    clip: float | None = None  # largest global norm of the gradient
    many: bool = True  # steps at a time; false: Lightning has its turn after each step

    @property
    def automatic(self) -> bool:
        """Whether Lightning takes the steps. It would count those of several players one by one."""
        return not self.many and len(self.players) == 1


class SteppingTask(pl.LightningModule):
    """Minimises ``batch_loss``; a batch of Lightning's is the iterator over all that are left, or one batch.

    Either way gives the same bits, unless compiled. The several ranks of a run, a moving average of the weights, and a
    loss scaler need what Lightning does around each step: they take its automatic optimisation.
    """

    players: ClassVar[tuple[str, ...]] = ()  # the parts of the network that have turns; none: the whole learns at once

    def __init__(self, stepping: Stepping | None) -> None:
        super().__init__()
        self.stepping = stepping
        self.automatic_optimization = stepping is None or stepping.automatic
        self.recent_losses: list[Tensor] = []  # of each batch since the guard last looked
        self.grad_norms: dict[str, Tensor] = {}  # of each player, before clipping, of the latest step that was due

    def prepare(self, batch: Batch) -> Named:
        """The tensors that ``batch_loss`` reads."""
        raise NotImplementedError

    def turns(self, given: Named) -> Iterable[tuple[str, Named]]:
        """Whose turn it is in a step, by name, and what it reads."""
        return (("", given),)

    def together(self, seen: list[tuple[str, Seen]]) -> Seen:
        """What is to be scored of a step, from what is to be scored of its turns."""
        ((_, only),) = seen
        return only

    def batch_loss(self, given: Named, player: str = "") -> tuple[Tensor, Seen]:
        """The mean over a batch that a player minimises, and what is to be scored of it."""
        raise NotImplementedError

    def forward_backward(self, given: Named, player: str = "") -> tuple[Tensor, Seen]:
        """What ``batch_loss`` gives, detached; its gradients, over the batches of an optimizer step, are added."""
        assert self.stepping is not None
        loss, seen = self.batch_loss(given, player)
        with torch.autocast(self.device.type, enabled=False):  # it is for the forward pass alone
            scaled = loss / self.stepping.accumulate if self.stepping.accumulate > 1 else loss
            scaled.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), seen

    def tally(self, seen: list[Seen]) -> None:
        """Score batches of one size: the same bits however they come in lists."""
        raise NotImplementedError

    def reached(self, share: float) -> None:
        """Called before each batch with the share of the training's optimizer steps that are done, in [0, 1)."""

    def stepped(self) -> None:
        """Change the weights in place after an optimizer step, such as to keep a scale below a limit.

        It is called without gradients, on every rank, before the moving average, the guard, validations and checkpoints
        look at the weights. Under FSDP each rank sees its part of a weight only. If the loss scaler of 16-mixed skips a
        step, it is called as well.
        """

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        if not self.automatic_optimization:
            self._steps(batch)
            return None
        if self.stepping is not None:
            self.reached(self.trainer.global_step / self.stepping.total)
        loss, seen = self.batch_loss(self.prepare(batch))
        self.tally([seen])
        self.recent_losses.append(loss.detach())
        return loss

    def _steps(self, batches: Iterator[Batch]) -> None:
        """Optimizer steps until something is due."""
        assert self.stepping is not None
        accumulate, due, many = self.stepping.accumulate, self.stepping.due, self.stepping.many
        trainer: Any = self.trainer
        precision, progress = trainer.precision_plugin, self._progress()
        step, ends, seen = self.trainer.global_step, time.monotonic() + TURN, []
        # Lightning holds autocast around all of this, which is for the forward pass alone
        with torch.autocast(self.device.type, enabled=False):
            for number, batch in enumerate(batches, 1):
                whole = number % accumulate == 0
                self.reached(step / self.stepping.total)
                step += whole
                one = self._round(precision.convert_input(self.prepare(batch)), whole, due(step))
                seen.append(one)
                if len(seen) * sum(value.numel() for value in one[1].values()) >= HELD:
                    self.tally(seen)
                    seen = []
                if not whole:
                    continue
                for config in trainer.lr_scheduler_configs:
                    config.scheduler.step()
                with torch.no_grad():
                    self.stepped()
                progress.increment_by(1)
                if due(step) or not many or time.monotonic() > ends:
                    break
            if seen:
                self.tally(seen)

    def _round(self, given: Named, whole: bool, due: bool) -> Seen:
        """The turns of all players on a batch; each takes its optimizer step if the batch makes the step ``whole``."""
        trainer: Any = self.trainer
        losses, seen = [], []
        for name, read in self.turns(given):
            with self._turn_of(name):
                with trainer.precision_plugin.forward_context(), self._repeating():
                    loss, one = self.forward_backward(read, name)
                if whole:
                    with trainer.profiler.profile(STEP):
                        self._take(name, due)
            losses.append(loss)
            seen.append((name, one))
        self.recent_losses.append(losses[0] if len(losses) == 1 else torch.stack(losses).sum())
        return self.together(seen)

    @functools.cached_property
    def _attends(self) -> bool:
        return any(isinstance(module, RepeatedBlock) for module in self.modules())

    @contextlib.contextmanager
    def _repeating(self) -> Iterator[None]:
        """Meanwhile a network with attention fails rather than give other bits the next time, on a GPU.

        Torch's backward pass of attention repeats only if nothing is allowed that does not. Other networks may have
        parts for which there is nothing else (src/runs/machine.py).
        """
        strict = torch.is_deterministic_algorithms_warn_only_enabled() and self._attends
        if strict:
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            if strict:
                torch.use_deterministic_algorithms(True, warn_only=True)

    @contextlib.contextmanager
    def _turn_of(self, name: str) -> Iterator[None]:
        """Meanwhile no gradient reaches the weights of the other players."""
        assert self.stepping is not None
        others = [weight for player in self.stepping.players if player.name != name for weight in player.weights]
        for weight in others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in others:
                weight.requires_grad_(True)

    def _take(self, name: str, due: bool) -> None:
        assert self.stepping is not None
        place = [player.name for player in self.stepping.players].index(name)
        optimizer: Any = self.trainer.optimizers[place]
        if due:
            self._measure(name)
        self.configure_gradient_clipping(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        torch.clear_autocast_cache()  # of weights before this step: it lasts as long as the outermost autocast

    def _progress(self) -> Any:
        """Lightning's count of steps, where no wrapped optimizer counts them."""
        return self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Called by Lightning if it takes the steps."""
        with self._repeating():
            super().backward(loss, *args, **kwargs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Called by Lightning if it takes the steps."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.stepped()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        assert self.stepping is not None
        if self.stepping.due(self.trainer.global_step + 1):
            self._measure("")

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Lightning's own refuses fused optimizers, which matters to none but a loss scaler."""
        if self.stepping is not None and self.stepping.clip is not None:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self.stepping.clip)

    def _measure(self, name: str) -> None:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        self.grad_norms[name] = torch.nn.utils.get_total_norm(gradients).to(self.device)

    def configure_optimizers(self) -> Any:
        assert self.stepping is not None
        return [
            {
                "optimizer": player.optimizer,
                "lr_scheduler": {"scheduler": LambdaLR(player.optimizer, player.schedule), "interval": "step"},
            }
            for player in self.stepping.players
        ]
