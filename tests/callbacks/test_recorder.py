"""What a run records, against training again by a plain loop with NumPy's float64 for the numbers."""

import csv
import itertools
import json
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.data.mnist import MNIST5k
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, composed, only_run, train
from tests.metrics.definitions import by_definition

Rows = dict[str, dict[int, float]]  # tag -> step -> value
SCORES = {"loss", "accuracy", "nll", "perplexity", "bits", "brier", "confidence", "overconfidence", "ece", "mce"}
AT_TEST = {
    *("class_mean_accuracy", "adaptive_ece", "auroc", "aurc", "temperature", "nll_ts", "ece_ts", "brier_ts"),
    *("nll_calibration", "nll_refinement", "brier_calibration", "brier_refinement", "smooth_ece"),
}
CLOCK = {"train/examples_per_second", "train/flops_per_second", "train/mfu"}
RUN = (
    *("trainer=cpu", "trainer.threads=1", "data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=150"),
    *("model.widths=[8]", "model.dropout=0", "optimizer=sgd", "optimizer.lr=0.5", "scheduler=cosine_warm"),
    *("scheduler.warmup_steps=3", "trainer.max_steps=10", "trainer.accumulate_grad_batches=2"),
    *("trainer.gradient_clip_val=0.7", "trainer.log_every_n_steps=3", "trainer.val_every_n_steps=4"),
)


def rows(path: Path) -> Rows:
    values: Rows = defaultdict(dict)
    with path.open() as file:
        for row in csv.DictReader(file):
            assert int(row["step"]) not in values[row["tag"]], row
            values[row["tag"]][int(row["step"])] = float(row["value"])
    return values


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = events(folder)
    return {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def by_hand(batches: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The scores of cross-entropy over the union of (logits, targets), from their definitions."""
    log_probs = torch.from_numpy(np.concatenate([z for z, _ in batches]).astype(np.float64)).log_softmax(-1)
    targets = torch.from_numpy(np.concatenate([y for _, y in batches]))
    losses = -log_probs[torch.arange(len(targets)), targets]
    return by_definition(losses, log_probs, targets)


def replay(words: tuple[str, ...], initial: dict[str, torch.Tensor]) -> Rows:
    """Train the two-layer network again by plain torch; what metrics.csv should hold but for test/."""
    data = MNIST5k(**{k: v for k, v in composed(*words).cfg.data.items() if k != "_target_"})
    data.load()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    model.load_state_dict({key.replace("layers.", ""): value for key, value in initial.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)  # the run's weight decay is 0
    expected: Rows = defaultdict(dict)
    interval: list[tuple[np.ndarray, np.ndarray]] = []
    for step in range(1, 11):
        lr = 0.5 * (step / 4 if step <= 3 else 0.5 * (1 + math.cos(math.pi * (step - 4) / 7)))
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        for batch in (2 * step - 2, 2 * step - 1):
            x, y = data.train_batch(0, batch)
            logits = model(x)
            (torch.nn.functional.cross_entropy(logits, y) / 2).backward()
            interval.append((logits.detach().numpy(), y.numpy()))
        norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in model.parameters() if p.grad is not None))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.7)
        optimizer.step()
        if step in (3, 6, 9, 10):
            values = by_hand(interval) | {"lr": lr, "grad_norm": norm}
            del values["classwise_ece"]  # of evaluation alone
            interval = []
            for name, value in values.items():
                expected[f"train/{name}"][step] = value
        if step in (4, 8, 10):
            with torch.no_grad():
                split = [data.eval_batch("val", i) for i in range(data.eval_batches("val"))]
                for name, value in by_hand([(model(x).numpy(), y.numpy()) for x, y in split]).items():
                    expected[f"val/{name}"][step] = value
    return expected


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows]:
    """A run with TensorBoard, and what a plain loop gives from the same initial weights."""
    runs = tmp_path_factory.mktemp("recorded")
    words = (*RUN, "optimizer.weight_decay=0")
    initial: dict[str, torch.Tensor] = {}

    def keep(self: SupervisedTask) -> None:
        initial.update({key: value.clone() for key, value in self.model.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTask, "on_fit_start", keep, raising=False)
        assert train(*words, f"runs={runs}") == 0
    return only_run(runs), replay(words, initial)


def test_metrics_are_those_of_a_plain_loop(recorded: tuple[Path, Rows]) -> None:
    run, expected = recorded
    measured = {tag: values for tag, values in rows(run / "metrics.csv").items() if not tag.startswith("test/")}
    assert measured.keys() == expected.keys()
    for tag, values in expected.items():
        assert measured[tag] == pytest.approx(values, rel=1e-5, abs=1e-6), tag
    norms = expected["train/grad_norm"].values()
    assert max(norms) > 0.7, "no gradient was clipped, so the test cannot tell before from after"


def test_table_is_tidy_and_free_of_the_clock(recorded: tuple[Path, Rows]) -> None:
    run, _ = recorded
    for name, tags in (("metrics.csv", None), ("timing.csv", CLOCK)):
        with (run / name).open() as file:
            table = list(csv.DictReader(file))
        assert list(table[0]) == ["step", "epoch", "samples_seen", "tag", "value"]
        steps = [int(row["step"]) for row in table]
        assert steps == sorted(steps)
        for row in table:
            step = int(row["step"])
            assert int(row["samples_seen"]) == 40 * step
            assert int(row["epoch"]) == (step - 1) // 5  # 200 examples, 2 batches of 20 a step
        assert tags is None or {row["tag"] for row in table} == tags
    assert "second" not in (run / "metrics.csv").read_text()
    assert all(rate > 0 for rate in rows(run / "timing.csv")["train/examples_per_second"].values())


def test_result_repeats_the_last_rows(recorded: tuple[Path, Rows]) -> None:
    run, _ = recorded
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    for tag, values in rows(run / "metrics.csv").items():
        split, name = tag.split("/")
        assert metrics[split][name] == values[max(values)]


def test_tensorboard_shows_what_the_tables_hold(recorded: tuple[Path, Rows]) -> None:
    run, _ = recorded
    drawn = scalars(run)
    tables = rows(run / "metrics.csv") | rows(run / "timing.csv")
    undrawn = {f"{split}/{name}" for split in ("train", "val") for name in ("bits", "mce")}
    assert set(drawn) == {tag for tag in tables if not tag.startswith("test/")} - undrawn
    assert set(tables) == {f"{split}/{name}" for split in ("train", "val", "test") for name in SCORES} | {
        *("train/lr", "train/grad_norm", "val/classwise_ece", "test/classwise_ece", *CLOCK),
        *(f"test/{name}" for name in AT_TEST),
    }
    for tag, values in drawn.items():
        assert dict(values) == pytest.approx(tables[tag], rel=1e-6), tag  # event files hold float32


def fail_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """A fault of the machine in the first of the two batches of optimizer step number ``step``."""
    right, calls = SupervisedTask.batch_loss, itertools.count()

    def batch_loss(self: SupervisedTask, *given: Any) -> Any:
        if next(calls) == 2 * (step - 1):
            raise RuntimeError("out of memory")
        return right(self, *given)

    patch.setattr(SupervisedTask, "batch_loss", batch_loss)


def next_second() -> None:
    """Event files are read in the order of their names, which begin with the second they were made in."""
    time.sleep(1.0 - time.time() % 1.0)


def test_no_step_is_drawn_twice_after_a_fault(recorded: tuple[Path, Rows], tmp_path: Path) -> None:
    """The last checkpoint is of step 4, its file has steps 5 and 6 after it."""
    words = (*RUN, "optimizer.weight_decay=0", f"runs={tmp_path}")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(8, patch)
        assert train(*words) == 1
    assert [step for step, _ in scalars(only_run(tmp_path))["train/nll"]] == [3, 6]
    next_second()
    assert train(*words, "retry_failed=true") == 0
    whole, resumed = scalars(recorded[0]), scalars(only_run(tmp_path))
    assert resumed.keys() == whole.keys()
    for tag in set(rows(recorded[0] / "metrics.csv")) & whole.keys():
        assert resumed[tag] == whole[tag], tag
    rates = [step for step, _ in resumed["train/examples_per_second"]]
    assert rates == sorted(set(rates))


def test_samples_of_a_language_run_are_drawn_at_each_validation(tmp_path: Path) -> None:
    words = (
        *("trainer=cpu", "trainer.threads=1", "data=python_docs", "data.block_size=8", "model=gpt", "model.n_layer=1"),
        *("model.n_head=1", "model.n_embd=8", "trainer.max_steps=4", "trainer.val_every_n_steps=2"),
        *("trainer.limit_eval_batches=1", "samples.length=12", "samples.count=3", "samples.prompt=The"),
    )
    assert train(*words, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    texts = {e.step: e.tensor_proto.string_val[0].decode() for e in events(run).Tensors("samples/text_summary")}
    assert texts.keys() == {2, 4}
    for text in texts.values():
        drawn = [part.strip().removeprefix("```\n").removesuffix("\n```") for part in text.split("\n\n---\n\n")]
        assert len(drawn) == 3
        assert all(sample.startswith("The") and len(sample) == 15 for sample in drawn)
    final = (run / "samples.txt").read_text().removesuffix("\n").split("\n\n--------\n\n")
    assert all(sample in texts[4] for sample in final), "samples.txt holds those of the final weights"


@pytest.mark.parametrize("loss", ["hinge", "squared_scores"])
def test_a_loss_without_probabilities_records_none(loss: str, tmp_path: Path) -> None:
    assert train(*QUIET, f"loss={loss}", "debug=fast", "data.train_examples=100", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    names = {tag.split("/")[1] for tag in rows(run / "metrics.csv")}
    assert names == {"loss", "accuracy", "class_mean_accuracy", "lr", "grad_norm"}
    test = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert all(test[name] is None for name in SCORES if name not in ("loss", "accuracy"))
