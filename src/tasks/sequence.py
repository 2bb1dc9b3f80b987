"""Sequences that are read out of frames, and nobody says which frame is what."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import Batch, EvalLoader
from ..figures.lines import line_pictures
from ..losses.alignment import BLANK, AlignmentLoss
from ..metrics.calibration import bin_table, ece
from ..metrics.decoding import beam_search, greedy
from ..metrics.edits import Edits, edits
from ..metrics.families import SEQUENCE
from ..plain import Plain
from .base import Task
from .calibration import bins
from .stepping import Named, Seen

BEAM = 10  # prefixes of the beam search that is compared with greedy decoding
AT_ONCE = 250  # lines that are decoded so at a time
WAYS = ("greedy", f"beam {BEAM}")  # of reading, in pictures


class SequenceTask(Task):
    """Feeds the logits of frames to a loss of sequences; judges what is read, greedily, and how probable it is.

    nll is CTC's -ln P(sequence) a line, whatever the loss minimises, and confidence CTC's probability of what is read:
    the sum over all its alignments, not the best one's. cer is the sum of all edits over that of all characters.
    Raises ValueError where the network has too few frames for the longest line: its probability would be 0.
    """

    model: Any  # a LineNetwork
    family = SEQUENCE
    minimises = AlignmentLoss
    takes = ("sequence", "alignment")
    columns = (
        *("nll", "edits", "substitutions", "deletions", "insertions", "characters"),
        *("sequence_accuracy", "confidence", "overconfidence", "blank_share", "infeasible"),
    )

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        needed, frames = self.spec.needed_frames, self.model.frames
        if len(needed) - 1 > frames:
            raise ValueError(
                f"{sum(needed[frames + 1 :]):,} of {sum(needed):,} lines need more than the network's {frames} frames,"
                f" up to {len(needed) - 1} (one for each character, and one between two equal ones): take wider images,"
                " a network with more frames, or leave these lines out"
            )

    def prepare(self, batch: Batch) -> Named:
        """Inputs, targets (N, U) and, if the place of each character is known, "path": what each frame is, (N, T)."""
        if self.spec.targets != "alignment":
            return {"inputs": batch.inputs, "targets": batch.targets}
        classes, first, stop = batch.targets.unbind(-1)  # (N, U) each
        path = true_path(classes, first, stop, self.model.frames, self.spec.input_shape[-1])
        return {"inputs": batch.inputs, "targets": classes, "path": path}

    def judge(self, given: Named) -> Seen:
        targets = given["targets"]  # none, where a rank only computes along with the others
        logits = self(given["inputs"])[: len(targets)]
        return {"loss": self.loss(logits, targets, given.get("path"))}, {"logits": logits, "targets": targets}

    def examples(self, answer: Named) -> Named:
        """A column for each metric that is a mean over lines, (N,); targets (N, U) and "decoded", what is read, (N, T),
        both -1 behind the end; and "log_probs" of the frames, (N, T, K + 1)."""
        log_probs, targets = self.loss.log_probs(answer["logits"].double()), answer["targets"]
        decoded = greedy(log_probs)
        wrong = edits(decoded, targets)
        nll, right = self.loss.nll(log_probs, targets), (wrong.total == 0).double()
        confidence = (-self.loss.nll(log_probs, decoded)).exp()
        columns = {"nll": nll, "edits": wrong.total, **wrong._asdict(), "characters": (targets >= 0).sum(1)}
        columns |= {
            "sequence_accuracy": right,
            "confidence": confidence,
            "overconfidence": confidence - right,
            "blank_share": (log_probs.argmax(-1) == BLANK).double().mean(1),
            "infeasible": nll.isinf(),
        }
        columns = {name: column.double() for name, column in columns.items()}
        return columns | {"targets": targets, "decoded": decoded, "log_probs": log_probs}

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        """nll is None where a line cannot be spelt in the frames, and its own is infinite; infeasible says how many."""
        return {name: None if value == math.inf else value for name, value in super().derived(means).items()}

    def conclude(self, examples: Named) -> Plain:
        """ece of the lines that are read, beam search against greedy decoding, and the floors."""
        targets, right = examples["targets"], examples["sequence_accuracy"] > 0
        characters, by_beam = examples["characters"].sum().item(), self._by_beam(examples)
        metrics = {
            "ece": ece(bin_table(examples["confidence"], right)).item(),
            "beam_cer": by_beam.total.sum().item() / characters if characters else None,
            "beam_accuracy": (by_beam.total == 0).double().mean().item(),
        }
        greedily = {kind: int(examples[kind].sum()) for kind in Edits._fields}
        return {
            "metrics": metrics,
            "bins": {"test": bins(examples["confidence"], right)},
            "edits": {WAYS[0]: greedily, WAYS[1]: {kind: int(n.sum()) for kind, n in by_beam._asdict().items()}},
            "floors": self._floors(targets, examples["log_probs"].shape[1]),
        }

    def _by_beam(self, examples: Named) -> Edits:
        """The edits of what beam search reads."""
        parts = [torch.split(examples[name], AT_ONCE) for name in ("log_probs", "targets")]
        found = [edits(beam_search(log_probs, BEAM)[0], targets) for log_probs, targets in zip(*parts, strict=True)]
        return Edits(*(torch.cat(kind) for kind in zip(*found, strict=True)))

    def _floors(self, targets: Tensor, frames: int) -> Plain:
        """What costs nothing: to read nothing; to read the commonest character as often as lines are long, on average;
        and frames that know nothing."""
        lengths = (targets >= 0).sum(1)
        common = int(torch.tensor(self.spec.class_counts).argmax())
        guess = torch.full((len(targets), max(1, round(lengths.double().mean().item()))), common)
        found = {"empty lines": guess[:, :0], f"{self.spec.class_names[common]!r} x {guess.shape[1]}": guess}
        total = lengths.sum().item()
        floors: Plain = {}
        for name, read in found.items():
            wrong = edits(read, targets).total
            accuracy = (wrong == 0).double().mean().item()
            floors[name] = {"sequence_accuracy": accuracy} | ({"cer": wrong.sum().item() / total} if total else {})
        nothing = torch.zeros(len(targets), frames, self.loss.outputs(self.spec.num_classes), dtype=torch.float64)
        floors["uniform frames"] = {"nll": self.loss.nll(nothing, targets).mean().item()}
        return floors

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        return line_pictures(title, result, examples, loader, self.spec)


def true_path(classes: Tensor, first: Tensor, stop: Tensor, frames: int, width: int) -> Tensor:
    """(N, U) each -> (N, T): the output that is right for each frame, by its middle: a class where one stands, else
    the blank. ``first`` and ``stop`` are columns of an image of this width."""
    middle = (torch.arange(frames, device=classes.device) + 0.5) * width / frames  # (T,)
    inside = (first[..., None] <= middle) & (middle < stop[..., None])  # (N, U, T)
    return ((classes + 1)[..., None] * inside).sum(1)
