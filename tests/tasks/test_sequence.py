"""The task of sequences: each line judged by other means, the true path, lines that do not fit, and the floors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.text import char_error_rate

from src.data.base import Batch, Chance, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.ce_aligned import AlignedCrossEntropyLoss
from src.losses.ctc import CTCLoss
from src.losses.ctc_smoothed import SmoothedCTCLoss
from src.models.base import LineNetwork
from src.tasks.sequence import SequenceTask, true_path
from tests.losses.alignment_rows import PATHS, SEQUENCES, log_softmax, recursion, uniform_ctc

T, K = 9, 4
NAMES = ("a", "b", "c", "d")
CTC = CTCLoss(reduction="line")


class Said(LineNetwork):
    """Answers with the frames that it is given as an image of one row."""

    inputs, frames = "image", T

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, 0].unflatten(1, (T, K + 1))


def spec_of(**changes: Any) -> Spec:
    settings: dict[str, Any] = {"targets": "sequence", "needed_frames": (1, 2, 3), "mean": (0.0,), "std": (1.0,)}
    return Spec("image", (1, 1, 90), NAMES, (5, 5, 9, 5), **{**settings, **changes})


def task_of(loss: nn.Module = CTC, **changes: Any) -> SequenceTask:
    return SequenceTask(model=Said(), loss=loss, spec=spec_of(**changes)).eval()


def drawn(scale: float = 2.0) -> Tensor:
    return scale * torch.randn(6, T, K + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def measured(task: SequenceTask, logits: Tensor, targets: Tensor = SEQUENCES) -> dict[str, Tensor]:
    return task.examples({"logits": logits, "targets": targets})


def text(line: list[int]) -> str:
    return "".join(NAMES[k] for k in line if k >= 0)


def test_each_line_by_other_means() -> None:
    """Whatever the loss: nll and confidence by the recursion, edits by torchmetrics, in any batch."""
    logits = drawn()
    log_p = log_softmax(logits.numpy())
    for loss in (CTC, SmoothedCTCLoss(alpha=1.0), AlignedCrossEntropyLoss()):
        task = task_of(loss)
        found = measured(task, logits)
        read = [[k - 1 for k, _ in itertools.groupby(path) if k] for path in log_p.argmax(-1).tolist()]
        assert [text(line) for line in found["decoded"].tolist()] == [text(line) for line in read]
        truth = [[k for k in line if k >= 0] for line in SEQUENCES.tolist()]
        for n in range(6):
            assert found["nll"][n].item() == pytest.approx(recursion(log_p[n], truth[n]), rel=1e-10)
            assert found["confidence"][n].item() == pytest.approx(math.exp(-recursion(log_p[n], read[n])), rel=1e-10)
            assert (found["sequence_accuracy"][n] == 1) == (read[n] == truth[n])
            assert found["blank_share"][n].item() == (log_p[n].argmax(-1) == 0).mean()
        kinds = found["substitutions"] + found["deletions"] + found["insertions"]
        assert torch.equal(kinds, found["edits"]) and found["infeasible"].sum() == 0
        sums = task.measure(whole=True)
        for part in ([0, 1], [2, 3, 4, 5]):
            rows = measured(task, logits[part], SEQUENCES[part])
            sums.update({"loss": torch.zeros(len(part))} | rows)
        expected = char_error_rate([text(line) for line in read], [text(line) for line in truth])
        assert sums.compute()["cer"] == pytest.approx(expected.item(), rel=1e-6)
        assert sums.compute()["nll_per_character"] == pytest.approx(found["nll"].sum().item() / 16, rel=1e-10)


def test_cer_is_no_mean_of_rates() -> None:
    """A short line that is wrong weighs as much as its characters, not as a line."""
    sure = 20 * nn.functional.one_hot(PATHS, K + 1).double()
    targets = SEQUENCES.clone()
    targets[2, 0] = 1  # "d" is read, "b" was there
    targets[3] = torch.tensor([0, 1, -1, -1])  # nothing is read
    sums = task_of().measure(whole=True)
    sums.update({"loss": torch.zeros(6)} | measured(task_of(), sure, targets))
    assert sums.compute()["cer"] == pytest.approx(3 / 18)
    assert (sums.compute()["substitution_rate"], sums.compute()["deletion_rate"]) == pytest.approx((1 / 18, 2 / 18))


def test_true_path_of_frames() -> None:
    """By the middle of each frame, of 10 columns here: 5, 15, ...; a place ends before its last edge."""
    classes, first, stop = torch.tensor([[2, 2, -1]]), torch.tensor([[4, 35, -1]]), torch.tensor([[25, 56, -1]])
    assert true_path(classes, first, stop, 9, 90).tolist() == [[3, 3, 0, 3, 3, 3, 0, 0, 0]]


def test_places_reach_the_loss_and_nothing_else() -> None:
    targets = torch.stack([SEQUENCES, torch.full_like(SEQUENCES, -1), torch.full_like(SEQUENCES, -1)], -1)
    targets[0, :, 1], targets[0, :, 2] = torch.tensor([0, 20, 40, 60]), torch.tensor([10, 30, 50, 90])
    batch = Batch(drawn().flatten(1)[:, None], targets, Chance("test", 0, size=6))
    task = task_of(AlignedCrossEntropyLoss(), targets="alignment")
    given = task.prepare(batch)
    assert given["path"][0].tolist() == [1, 0, 2, 0, 3, 0, 4, 4, 4] and given["path"][1:].sum() == 0
    terms, answer = task.judge(given)
    log_p = log_softmax(drawn().numpy())
    expected = [-sum(log_p[n, t, k] for t, k in enumerate(given["path"][n].tolist())) for n in range(6)]
    np.testing.assert_allclose(terms["loss"].numpy(), expected, rtol=1e-12)
    assert torch.equal(answer["targets"], SEQUENCES)
    plain = task_of(targets="sequence")
    assert plain.prepare(batch._replace(targets=SEQUENCES)).keys() == {"inputs", "targets"}


def test_lines_that_need_more_frames_are_counted_and_refused() -> None:
    needed = (*[0] * 8, 20, 70, 7, 0, 3)
    with pytest.raises(ValueError, match=r"10 of 100 lines need more than the network's 9 frames, up to 12 \(one for"):
        task_of(needed_frames=needed)
    task_of(needed_frames=needed[:10])


def test_a_line_that_does_not_fit_is_told_and_never_free() -> None:
    """It may come from other data, after training."""
    logits, targets = drawn()[:2, :4], torch.tensor([[1, 1, 1], [1, 2, 1]])
    task = task_of()
    sums = task.measure(whole=True)
    sums.update({"loss": torch.zeros(2)} | measured(task, logits, targets))
    found = sums.compute()
    assert found["nll"] is None and found["nll_per_character"] is None and found["infeasible"] == 0.5
    assert found["cer"] is not None


def test_conclusion() -> None:
    """ece of the lines read, beam search, and what costs nothing, each by its definition."""
    task, logits = task_of(), drawn(1.0)
    found = measured(task, logits)
    concluded = task.conclude(found)
    gaps = torch.zeros(15, dtype=torch.float64)
    for confidence, right in zip(found["confidence"], found["sequence_accuracy"], strict=True):
        gaps[min(14, math.ceil(confidence.item() * 15) - 1)] += confidence - right
    assert concluded["metrics"]["ece"] == pytest.approx(gaps.abs().sum().item() / 6, rel=1e-9)
    assert concluded["metrics"]["beam_cer"] >= 0
    assert concluded["edits"]["greedy"]["deletions"] == found["deletions"].sum()
    floors = concluded["floors"]
    assert floors["empty lines"] == {"cer": 1.0, "sequence_accuracy": pytest.approx(1 / 6)}
    # of 16 characters in 6 lines "ccc" has those 4 right that are "c" and has 14 edits, as can be counted by hand
    assert floors["'c' x 3"]["cer"] == char_error_rate(["ccc"] * 6, [text(line) for line in SEQUENCES.tolist()]).item()
    lengths = [(4, 0), (3, 2), (1, 0), (0, 0), (4, 2), (4, 1)]
    expected = np.mean([uniform_ctc(T, K, length, repeats) for length, repeats in lengths])
    assert floors["uniform frames"]["nll"] == pytest.approx(expected, rel=1e-12)


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="CrossEntropyLoss is no AlignmentLoss"):
        task_of(CrossEntropyLoss(class_weights=None, effective_number_beta=None))
    with pytest.raises(ValueError, match="the targets of the data are of the kind class, not sequence or alignment"):
        task_of(targets="class")
