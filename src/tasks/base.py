"""What every task does: it trains, validates and tests a network by a loss. A family says what is judged, and how."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ..data.base import Batch, EvalLoader, Spec
from ..metrics.columns import Family
from ..metrics.sums import Measure, Sums
from ..models.base import Network
from ..plain import Plain
from .stepping import Named, Seen, Stepping, SteppingTask

log = logging.getLogger("xent")


class Task(SteppingTask):
    """Minimises the mean over examples of its loss's terms, and measures both splits by the columns of its family.

    A family must write ``judge`` and ``examples``, and says what it minimises, which kinds of target it takes and its
    columns. The rest has a meaning for most families as it stands. To be tested alone, a task needs no ``stepping``.
    Raises ValueError for a loss of another family, and for targets of another kind.
    """

    family: Family  # of runs that are compared
    minimises: ClassVar[type[nn.Module]]  # what its losses are
    takes: ClassVar[tuple[str, ...]] = ("class",)  # kinds of ``Spec.targets``
    columns: ClassVar[tuple[str, ...]] = ()  # names of what ``examples`` gives that is a mean over examples
    adjusts: ClassVar[bool] = False  # whether ``adjust`` does anything
    learns: int = 0  # training examples, at most, of which ``learn`` is told; 0: it does nothing
    floors: tuple[str, ...] = ()  # names of networks that learnt nothing, tested for comparison
    watched: ClassVar[tuple[str, ...]] = ()  # names in the answer: TensorBoard shows how they are spread in validation
    gathers: ClassVar[bool] = False  # whether its losses see one batch of all ranks (src/ranks/gather.py)

    def __init__(self, *, model: nn.Module, loss: nn.Module, spec: Spec, stepping: Stepping | None = None) -> None:
        super().__init__(stepping)
        if not isinstance(loss, self.minimises):
            raise ValueError(f"{type(loss).__name__} is no {self.minimises.__name__}, which this task minimises")
        if spec.targets not in self.takes:
            raise ValueError(f"the targets of the data are of the kind {spec.targets}, not {' or '.join(self.takes)}")
        self.model, self.spec = model, spec
        self.loss: Any = loss
        self.adjusted: Any = None  # what the validation split taught it for the test, as plain values: a temperature
        self.learnt: Named = {}  # what it keeps of the training split for the test, on the CPU
        self.train_scores = self.measure(whole=False)
        self.val_scores, self.test_scores = (self.measure(whole=True) for _ in range(2))

    @classmethod
    def completed(cls, network: Network, settings: Plain) -> Network:
        """The network as this task trains it, such as one with a projector; ``settings`` are the task's own."""
        return network

    def forward(self, inputs: Tensor) -> Any:
        """What the network answers."""
        return self.model(inputs)

    def reached(self, share: float) -> None:
        self.loss.reached(share)

    def prepare(self, batch: Batch) -> Named:
        """The tensors that ``judge`` reads, a row an example: what chance decides is drawn here, outside of graphs."""
        return {"inputs": batch.inputs, "targets": batch.targets}

    def judge(self, given: Named) -> Seen:
        """What the network says of what ``prepare`` gave: the terms of the loss by name, (N,) each, whose mean sum is
        minimised, and "loss", that sum; and the answer, tensors by name with a row an example, to be measured."""
        raise NotImplementedError

    def examine(self, given: Named) -> Seen:
        """What ``judge`` says, in validation and test; for a family that measures more there than it minimises."""
        return self.judge(given)

    def look(self, batch: Batch) -> Seen:
        """What ``examine`` says of a batch of validation or test; for a family that looks at it several times."""
        return self.examine(self.prepare(batch))

    def examples(self, answer: Named) -> Named:
        """What predictions.npz keeps of each example by name, a row an example: its number in every one of ``columns``,
        (N,) float64, its target, and whatever else the family wants to have there."""
        raise NotImplementedError

    def measure(self, *, whole: bool) -> Measure:
        """What adds up the terms and columns of batches: ``whole`` splits, or intervals of training."""
        return Sums(("loss", *self.loss.parts, *self.columns), self.derived)

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        """The metrics by name, in order, from the means over examples of terms and columns: these, and their ratios."""
        return {**means, **self.family.ratios(means)}

    def score(self, measure: Any, terms: Named, answer: Named, batches: int = 1) -> None:
        """Add batches of one size, one behind the other, to a measure."""
        measure.update(terms | self.examples(answer), batches)

    def learn(self, answers: Iterator[Named]) -> None:
        """Keep in ``learnt`` what ``adjust`` and the test need of the answers on training examples, in batches: of all,
        or of ``learns`` drawn evenly, the same for all runs, unaugmented. Rank 0 alone does; then all ranks have it."""

    def floor(self, name: str) -> nn.Module:
        """The network of this name, of ``floors``, for a task of its own, whose model still has its starting weights.

        It learns, is adjusted and answers on the test split by ``predict_step`` as the trained one does.
        """
        raise NotImplementedError

    def adjust(self, answers: Iterator[Named]) -> list[str]:
        """Learn from the answers on the validation split, in batches, what the test needs, into ``adjusted``; what a
        reader must know of it, in sentences. Rank 0 alone does."""
        return []

    def adjustment(self) -> str:
        """What ``adjusted`` is, in a few words for a reader; "" if it is nothing."""
        return ""

    def combined(self, examples: Named) -> Named:
        """What ``examples`` gave of all batches of a test, and what needs all of them at once: columns, a row an
        example, for predictions.npz and ``conclude``."""
        return examples

    def conclude(self, examples: Named) -> Plain:
        """What needs all test examples at once: entries of result.json, "metrics" among them, and "floors" if what
        costs nothing can be told: name -> metrics, which a report shows below the losses. "columns", if there are any:
        name -> (N,) float64, what it makes of each example, for predictions.npz; their means are metrics."""
        return {"metrics": {}}

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        """Names and figures of a finished run, each under ``title``, of up to two lines."""
        yield from ()

    def compile(self, how: bool | str) -> None:
        """Compile two graphs: network, loss and their backward pass for training, network and loss for evaluation.

        Where Lightning takes the steps, and where the loss has no graph, the backward pass is a graph of its own.
        ``how`` is false, true or "reduce-overhead", torch.compile's mode for CUDA graphs. Those write each batch's
        results where the last one's were, so these are copied: a turn's batches wait to be scored together.
        """
        if not how:
            return
        torch._dynamo.config.trace_autograd_ops = True  # or a graph ends before backward()
        if not self.loss.compiles:
            log.info("compile: the network is compiled, its loss is not: %s has no graph", type(self.loss).__name__)
        apart = self.automatic_optimization or not self.loss.compiles
        step = "batch_loss" if apart else "forward_backward"
        # In two parts, a pass that holds backward() would give no gradient, and say nothing: then it is refused.
        setattr(self, step, graph(getattr(self, step), how, whole=not apart))
        evaluate = graph(self.examine, how)

        def any_size(given: Named) -> Seen:
            for tensor in given.values():  # the same graph, whichever batch a process sees first
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return evaluate(given)

        self.examine = any_size  # type: ignore[method-assign]

    def batch_loss(self, given: Named, player: str = "") -> tuple[Tensor, Seen]:
        terms, answer = self.judge(given)
        return terms["loss"].mean(), (detached(terms), detached(answer))

    @torch.no_grad()
    def tally(self, seen: list[Seen]) -> None:
        terms, answers = (joined(named) for named in zip(*seen, strict=True))
        self.score(self.train_scores, terms, answers, len(seen))

    def validation_step(self, batch: Batch, batch_idx: int) -> Named:
        """The batch's answer, scored."""
        terms, answer = self.look(batch)
        self.score(self.val_scores, terms, answer)
        return answer

    def test_step(self, batch: Batch, batch_idx: int) -> Named:
        """The batch's answer, scored."""
        terms, answer = self.look(batch)
        self.score(self.test_scores, terms, answer)
        return answer

    def predict_step(self, batch: Batch, batch_idx: int) -> Named:
        """The batch's answer, unscored."""
        return self.look(batch)[1]


def detached(named: Named) -> Named:
    return {name: value.detach() for name, value in named.items()}


def joined(named: Sequence[Named]) -> Named:
    """The rows of batches, one behind the other."""
    return {name: torch.cat([one[name] for one in named]) for name in named[0]}


def graph(function: Callable[..., Any], how: bool | str, *, whole: bool = False) -> Callable[..., Any]:
    """The function, compiled; with CUDA graphs what it gives is copied out of their memory.

    It raises RuntimeError if ``whole`` and no single graph holds it.
    """
    compiled = torch.compile(function, mode=None if how is True else str(how), fullgraph=whole)

    def call(*given: Any) -> Any:
        try:
            if how is True:
                return compiled(*given)
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return tree_map_only(Tensor, Tensor.clone, compiled(*given))
        except torch._dynamo.exc.Unsupported as error:
            raise RuntimeError(
                f"torch.compile has no single graph of network and loss ({str(error).splitlines()[0]}): take"
                " compile=false, or, if it is the loss that breaks the graph, say compiles = False in its class"
            ) from error

    return call
