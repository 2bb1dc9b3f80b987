"""A run's test, from its files: temperature, intervals, bins, and the same numbers on two ranks."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import evaluate
from src.data.base import EvalLoader
from src.metrics.calibration import smooth_ece
from src.metrics.decomposition import PARTS
from src.metrics.temperature import fit_temperature
from src.runs import testing
from tests.commands import TRAINER, laid_over, only_run, result_of, train
from tests.conftest import ROOT
from tests.metrics.definitions import adaptive_error, by_definition, roc_area
from tests.metrics.test_decomposition import left
from tests.runs.test_run import GPT, MLP, rebuilt

LONG = (*MLP, "trainer.max_steps=60", "trainer.val_every_n_steps=30", "model.widths=[32]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert train(*LONG, f"runs={runs}") == 0
    return only_run(runs)


def logits_of(run: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and targets of a split, from the run's folder."""
    data, loss, model = rebuilt(run)
    batches = [data.eval_batch(split, i) for i in range(data.eval_batches(split))]
    with torch.no_grad():
        return torch.cat([loss.log_probs(model(x).flatten(0, -2)) for x, _ in batches]), torch.cat(
            [y.flatten() for _, y in batches]
        )


def test_every_test_metric_from_its_definition(run: Path) -> None:
    log_probs, targets = logits_of(run, "test")
    test = result_of(run)["metrics"]["test"]
    expected = by_definition(torch.zeros(len(targets)), log_probs, targets) | {"loss": test["nll"]}
    confidence = log_probs.double().exp().max(1).values.tolist()
    right = (log_probs.argmax(1) == targets).tolist()
    per_class = [np.mean([r for r, y in zip(right, targets.tolist(), strict=True) if y == k]) for k in range(10)]
    expected |= {
        "class_mean_accuracy": float(np.mean(per_class)),
        "adaptive_ece": adaptive_error(confidence, right),
        "auroc": roc_area(confidence, right),
    }
    order = np.argsort(-np.array(confidence))  # no ties among these
    risks = np.cumsum(~np.array(right)[order]) / np.arange(1, len(order) + 1)
    expected["aurc"] = risks.mean()
    assert len(set(confidence)) == len(confidence)
    z = log_probs.double() / test["temperature"]
    scaled = by_definition(torch.zeros(len(targets)), z - z.logsumexp(1, keepdim=True), targets)
    expected |= {f"{name}_ts": scaled[name] for name in ("nll", "ece", "brier")} | {"temperature": test["temperature"]}
    with np.load(run / "predictions.npz") as kept:  # a map that increases takes the very order of the confidences
        columns = {name: torch.from_numpy(kept[name]).double() for name in (*PARTS, "log_probs")}
    for name, parts in zip(("nll", "brier"), left(columns["log_probs"], targets), strict=True):
        expected |= {f"{name}_refinement": parts.mean(), f"{name}_calibration": test[name] - parts.mean()}
    expected["smooth_ece"] = smooth_ece(torch.tensor(confidence), torch.tensor(right))
    assert test == pytest.approx(expected, rel=1e-6, abs=1e-7)
    for name in PARTS:  # what a report takes its intervals from
        assert columns[name].mean().item() == pytest.approx(test[name], rel=1e-5, abs=1e-7)


def test_floors_are_of_the_run_s_own_data(run: Path) -> None:
    """The frequencies of its training split, on the targets of its test."""
    _, targets = logits_of(run, "test")
    config, found = yaml.safe_load((run / "config.yaml").read_text()), result_of(run)["floors"]
    counts = np.array(config["facts"]["class_counts"])
    p = (counts + 1) / (counts.sum() + 10)
    assert found["chance"] == pytest.approx({"accuracy": 0.1, "nll": math.log(10), "brier": 0.9})
    rows = np.tile(np.log(p), (len(targets), 1))
    want = by_definition(torch.zeros(len(targets)), torch.from_numpy(rows), targets)
    for name, value in found["class frequencies"].items():
        assert value == pytest.approx(want[name], rel=1e-9), name


def test_the_temperature_is_that_of_the_validation_split(run: Path) -> None:
    temperature = result_of(run)["metrics"]["test"]["temperature"]
    assert temperature == pytest.approx(fit_temperature(*logits_of(run, "val"), "nll"), rel=1e-5)
    assert temperature != pytest.approx(fit_temperature(*logits_of(run, "test"), "nll"), rel=1e-3)


def test_bins_and_interval_tell_the_same_ece(run: Path) -> None:
    result = result_of(run)
    for bins, name in (("test", "ece"), ("test_ts", "ece_ts")):
        table = result["bins"][bins]
        cells = zip(table["count"], table["confidence"], table["accuracy"], strict=True)
        ece = math.fsum(n * abs(a - c) for n, c, a in cells if n) / sum(table["count"])
        assert ece == pytest.approx(result["metrics"]["test"][name], rel=1e-12 if TRAINER == "cpu" else 1e-9)
        low, high = result["intervals"]["test"][name]
        assert 0 <= low < high < 1
    assert [c is None for c in table["confidence"]] == [n == 0 for n in table["count"]]


def test_the_grid_criterion(tmp_path: Path, run: Path) -> None:
    assert train(*LONG, "task.criterion=ece_grid", f"runs={tmp_path}") == 0
    other = only_run(tmp_path)
    temperature = result_of(other)["metrics"]["test"]["temperature"]
    assert temperature == fit_temperature(*logits_of(other, "val"), "ece_grid")
    assert temperature * 10 == pytest.approx(round(temperature * 10))
    assert (other / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert other.parent.name[-8:] != run.parent.name[-8:], "another result, another identity"


def test_a_loss_without_probabilities_has_none(tmp_path: Path) -> None:
    assert train(*MLP, "loss=hinge", f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))
    known = {name for name, value in result["metrics"]["test"].items() if value is not None}
    assert known == {"loss", "accuracy", "class_mean_accuracy"}
    assert result["bins"] == {"test": None, "test_ts": None}
    assert result["intervals"] == {"test": {"ece": None, "ece_ts": None}}


def test_a_small_validation_split_determines_no_temperature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 images, most of them right: the run says so, draws one reliability diagram, and can be evaluated."""
    few = ("data.train_examples=500", "data.val_fraction=0.005", "logger=tensorboard", "figures=true")
    assert train(*laid_over((*LONG, *few)), f"runs={tmp_path}") == 0
    folder = only_run(tmp_path)
    result = result_of(folder)
    note = "no temperature was fitted: of 20 validation examples .* are right and .* wrong"
    assert re.match(note, result["notes"][0]) and re.search(f"note: {note}", capsys.readouterr().out)
    scaled = {name for name, value in result["metrics"]["test"].items() if value is None}
    assert scaled == {"temperature", "nll_ts", "ece_ts", "brier_ts"}
    assert result["bins"]["test"] and result["bins"]["test_ts"] is None
    assert result["intervals"]["test"]["ece"] and result["intervals"]["test"]["ece_ts"] is None
    assert (folder / "figures/reliability.png").is_file()
    for asked in ([], ["shift=noise", "severity=1"]):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(folder), *asked])
        assert evaluate.main() == 0
    said = capsys.readouterr().out
    assert "the same as in result.json, bit for bit" in said and re.search(note, said)


@pytest.mark.parametrize(("words", "same"), [((), False), (("data.test_fraction=0",), True)])
def test_a_temperature_fitted_to_the_test_split_is_said(words: tuple[str, ...], same: bool, tmp_path: Path) -> None:
    learnt = ("trainer.max_steps=60", "optimizer.lr=0.02")  # the space, at least
    assert train(*laid_over((*GPT, *learnt, *words)), f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))
    assert result["metrics"]["test"]["temperature"] is not None
    assert (testing.SAME_EXAMPLES in result["notes"]) == same


def test_a_large_validation_split_is_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten batches of 12 with 5 classes where 250 numbers may be held: every third batch."""
    monkeypatch.setattr(testing, "ADJUSTED_ON", 250)
    taken: list[int] = []

    class Predicts:
        def predict(self, task: Any, loader: EvalLoader) -> list[dict[str, torch.Tensor]]:
            taken.extend(loader.batches)
            return [{"logits": torch.full((1, 5), float(index))} for index in loader.batches]

    class Adjusts:
        adjusts, adjusted = True, None

        def adjust(self, answers: Iterator[dict[str, torch.Tensor]]) -> list[str]:
            assert [int(answer["logits"][0, 0]) for answer in answers] == taken
            self.adjusted = 2.0
            return ["told"]

    loader = EvalLoader(lambda i: (torch.zeros(12), torch.zeros(12)), range(10), "val")
    monkeypatch.setattr(testing, "eval_loader", lambda cfg, data, split: loader)
    data, task = SimpleNamespace(spec=SimpleNamespace(num_classes=5), own_test=True), Adjusts()
    cfg = {"trainer": {"overfit_batches": None}}
    assert testing.adjust(Predicts(), task, cfg, data) == ["told"]  # type: ignore[arg-type]
    assert task.adjusted == 2.0
    assert taken == [0, 3, 6, 9]


@pytest.mark.parametrize(("learns", "limit", "told"), [(0, None, []), (120, 10, [10]), (59, 10, [4]), (5, 10, [1])])
def test_a_task_learns_from_so_many_training_examples(learns: int, limit: int, told: list[int]) -> None:
    """Of ten batches of 12: all, or the even sample that the data draw for all runs."""
    asked: list[str] = []

    class Trained:
        def eval_loader(self, split: str, limit: int) -> EvalLoader:
            asked.append(split)
            return EvalLoader(lambda i: (torch.zeros(12, 2), torch.zeros(12)), range(limit), split)

    class Predicts:
        def predict(self, task: Any, loader: EvalLoader) -> list[dict[str, torch.Tensor]]:
            return [{"features": batch.inputs} for batch in loader]

    class Learns:
        def __init__(self) -> None:
            self.learns, self.learnt = learns, dict[str, torch.Tensor]()

        def learn(self, answers: Iterator[dict[str, torch.Tensor]]) -> None:
            self.learnt = {"features": torch.cat([answer["features"] for answer in answers])}

    task, cfg = Learns(), {"trainer": {"overfit_batches": None, "limit_eval_batches": limit}}
    testing.learn(Predicts(), task, cfg, Trained())  # type: ignore[arg-type]
    assert [len(kept) // 12 for kept in task.learnt.values()] == told and {*asked} <= {"train"}


RANK = """
import sys, json, yaml, torch, src.system.torchvision_cpu
from pathlib import Path
from src.metrics.scores import Scores
from src.runs import build
from src.runs.rebuild import rebuild
rank, world, store, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
torch.set_num_threads(1)
if world > 1:
    torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=world)
run, data = rebuild(folder), build.build_data(yaml.safe_load((folder / "config.yaml").read_text()))
data.load()
text = run.spec.kind == "text"
scores = Scores(text=text, num_classes=run.spec.num_classes)
loader = data.eval_loader("test", 5, rank, world)
for inputs, targets, _ in loader:
    with torch.no_grad():
        logits, targets = run.model(inputs).flatten(0, -2), targets.flatten()
        scores.update({"loss": run.loss(logits, targets)}, logits, run.loss.log_probs(logits), targets)
print(json.dumps({"batches": len(loader)} | scores.compute()), flush=True)
if world > 1:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def ranks(world: int, store: Path, folder: Path) -> list[dict[str, float]]:
    arguments = [[str(rank), str(world), str(store), str(folder)] for rank in range(world)]
    commands = [[sys.executable, "-c", RANK, *words] for words in arguments]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * world
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.mark.slow
@pytest.mark.parametrize("words", [(*LONG, "data.eval_batch_size=200"), (*GPT, "trainer.limit_eval_batches=5")])
def test_two_ranks_give_what_one_gives(words: tuple[str, ...], tmp_path: Path) -> None:
    """Of five whole batches one rank takes three, the other two; over gloo, on one checkpoint."""
    assert train(*words, f"runs={tmp_path}") == 0
    folder = only_run(tmp_path)
    (alone,) = ranks(1, tmp_path / "none", folder)
    pair = ranks(2, tmp_path / "store", folder)
    assert [alone.pop("batches"), *(one.pop("batches") for one in pair)] == [5, 3, 2]
    for one in pair:
        assert one == pytest.approx(alone, rel=1e-12, abs=1e-12)
    test = result_of(folder)["metrics"]["test"]
    assert alone == pytest.approx({name: test[name] for name in alone}, rel=1e-12, abs=1e-12), "and what the run says"
