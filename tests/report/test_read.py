"""Runs' folders in every state, and which of them are compared with which."""

import contextlib
import json
from pathlib import Path

import pytest
import yaml

from src.config.errors import UserError
from src.folder.lock import held
from src.report.groups import sections_of
from src.report.read import find_runs, read_curves
from tests.report.fabricated import BRIER, CE, COMMIT, FOCAL, HINGE, Kind, ablation_of, ended, finished, started


def statuses(folder: Path) -> dict[str, tuple[str, str]]:
    return {str(run.folder.relative_to(folder)): (run.status, run.note) for run in find_runs([folder])}


def test_every_state_is_told(tmp_path: Path) -> None:
    finished(tmp_path, CE, 0)
    ended(tmp_path, CE, 1, "failed", error="FloatingPointError: nll is not finite at step 80")
    ended(tmp_path, CE, 2, "interrupted")
    ended(tmp_path, CE, 3, "running")
    started(tmp_path, CE, 4)
    trained = [ended(tmp_path, CE, 9, "running"), started(tmp_path, CE, 10)]
    (started(tmp_path, CE, 5) / "result.json").write_text('{"status": "fini')
    (started(tmp_path, CE, 6) / "config.yaml").write_text("data: [")
    (finished(tmp_path, CE, 7) / "config.yaml").unlink()
    (started(tmp_path, CE, 8) / "result.json").write_text('{"status": "finished", "metrics": {}}')
    with contextlib.ExitStack() as stack:
        for path in trained:
            stack.enter_context(held(path, "busy"))
        found = {path.rpartition("seed")[2]: state for path, state in statuses(tmp_path).items()}
        with pytest.raises(UserError, match="busy"), held(trained[0], "busy"):
            pass
    assert {seed: status for seed, (status, _) in found.items()} == {
        **{"0": "finished", "1": "failed", "2": "interrupted", "3": "killed", "4": "killed"},
        **{"5": "damaged", "6": "damaged", "7": "damaged", "8": "damaged"},
        **{"9": "running", "10": "running"},
    }
    assert found["1"][1] == "FloatingPointError: nll is not finite at step 80"
    assert found["10"][1] == "no result.json yet"
    assert "result.json" in found["5"][1]
    assert "config.yaml" in found["6"][1]
    (section,) = sections_of(find_runs([tmp_path]))
    assert [list(group.finished) for group in section.groups] == [[0]]


def test_no_folder_and_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no runs in"):
        find_runs([tmp_path])


def test_a_folder_given_twice_counts_once(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], [0, 1])
    assert len(find_runs([tmp_path, tmp_path / ".", *tmp_path.glob("ce-*/seed0")])) == 2


def test_a_copy_is_told_and_left_out(tmp_path: Path) -> None:
    finished(tmp_path / "a", CE, 0)
    finished(tmp_path / "b", CE, 0)
    assert sorted(run.status for run in find_runs([tmp_path])) == ["duplicate", "finished"]
    (section,) = sections_of(find_runs([tmp_path]))
    assert [len(group.runs) for group in section.groups] == [1]


def test_seeds_form_a_group_and_labels_say_what_differs(tmp_path: Path) -> None:
    sharper = Kind("focal", settings={"loss.gamma": 3.0})
    longer = Kind("ce", settings={"trainer.max_epochs": 40})
    ablation_of(tmp_path, [CE, BRIER, FOCAL, sharper, longer], range(2))
    (section,) = sections_of(find_runs([tmp_path]))
    assert section.title == "mnist_5k · mlp"
    assert [group.label for group in section.groups] == [
        "brier",
        "ce",
        "ce max_epochs=40",
        "focal gamma=2",
        "focal gamma=3",
    ]
    assert all(list(group.finished) == [0, 1] for group in section.groups)
    assert section.warnings == []


def test_other_data_is_another_question(tmp_path: Path) -> None:
    noisy = [Kind(kind.loss, settings={"data.label_noise": 0.4}) for kind in (CE, BRIER)]
    ablation_of(tmp_path, [CE, BRIER, *noisy], [0])
    sections = sections_of(find_runs([tmp_path]))
    assert {section.title for section in sections} == {
        "mnist_5k · mlp · label_noise=0",
        "mnist_5k · mlp · label_noise=0.4",
    }
    assert [[group.label for group in section.groups] for section in sections] == [["brier", "ce"]] * 2


def test_an_ablation_is_one_question(tmp_path: Path) -> None:
    noisy = Kind("ce", settings={"data.label_noise": 0.4})
    ablation_of(tmp_path, [CE, BRIER, noisy], [0], ablation="noise")
    (section,) = sections_of(find_runs([tmp_path]))
    assert section.title == "noise · mnist_5k · mlp"
    assert [group.label for group in section.groups] == ["brier", "ce", "ce label_noise=0.4"]


def rewrite(run: Path, split: str, **values: float | None) -> None:
    result = json.loads((run / "result.json").read_text())
    result["metrics"][split] |= values
    if split == "test":
        (run / "predictions.npz").unlink(missing_ok=True)  # they tell of other values
    (run / "result.json").write_text(json.dumps(result))


def test_the_learning_rate_is_chosen_on_validation(tmp_path: Path) -> None:
    """Test nll would choose the other one; so would the first seed alone."""
    low, high = (Kind("ce", settings={"optimizer.lr": lr}) for lr in (0.01, 0.1))
    for kind, val, test in ((low, [0.5, 0.2], 0.9), (high, [0.4, 0.4], 0.1)):
        for seed in range(2):
            rewrite(finished(tmp_path, kind, seed), "val", nll=val[seed])
            rewrite(next(tmp_path.glob(f"ce-*/seed{seed}")), "test", nll=test)
    (section,) = sections_of(find_runs([tmp_path]))
    assert [(group.label, group.lr) for group in section.groups] == [("ce", 0.01)]
    assert [group.lr for group in section.passed_over] == [0.1]


def test_a_rate_that_diverged_or_did_not_finish_is_not_chosen(tmp_path: Path) -> None:
    good, diverged, failed = (Kind("ce", settings={"optimizer.lr": lr}) for lr in (0.01, 0.1, 1.0))
    finished(tmp_path, good, 0)
    rewrite(finished(tmp_path, diverged, 0), "val", nll=float("nan"), accuracy=float("nan"))
    ended(tmp_path, failed, 0, "failed", error="it diverged")
    (section,) = sections_of(find_runs([tmp_path]))
    assert [group.lr for group in section.groups] == [0.01]
    assert sorted(group.lr or 0 for group in section.passed_over) == [0.1, 1.0]


def test_a_loss_without_probabilities_chooses_by_accuracy(tmp_path: Path) -> None:
    for lr, accuracy in ((0.01, 0.8), (0.1, 0.9)):
        run = finished(tmp_path, Kind("hinge", probabilities=False, settings={"optimizer.lr": lr}), 0)
        rewrite(run, "val", accuracy=accuracy)
    (section,) = sections_of(find_runs([tmp_path]))
    assert [group.lr for group in section.groups] == [0.1]


def test_differences_of_origin_are_warned_of(tmp_path: Path) -> None:
    finished(tmp_path, CE, 0)
    run = finished(tmp_path, HINGE, 0)
    result = json.loads((run / "result.json").read_text())
    result["run"] |= {"commit": "f" * 40, "versions": result["run"]["versions"] | {"torch": "2.11.0"}}
    (run / "result.json").write_text(json.dumps(result))
    (section,) = sections_of(find_runs([tmp_path]))
    assert section.warnings == [
        f"the runs differ in commit: {COMMIT[:12]} (1), ffffffffffff (1) runs",
        "the runs differ in the version of torch: 2.13.0 (1), 2.11.0 (1) runs",
    ]


def test_unequal_seeds_are_warned_of(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], range(3))
    finished(tmp_path, FOCAL, 1)
    (section,) = sections_of(find_runs([tmp_path]))
    assert section.warnings == ["focal: no finished run of seed 0, 2"]


def sweep(home: Path, jobs: list[tuple[str, int, Path | None]], baseline: str) -> None:
    rows = [
        {
            "label": label,
            "lr": 0.002,
            "seed": seed,
            "folder": str(run.relative_to(home)) if run else None,
            "overrides": [f"loss={label}", f"seed={seed}"],
        }
        for label, seed, run in jobs
    ]
    sweep = {"baseline": baseline, "command": "python train.py ablation=a", "jobs": rows}
    (home / "sweep.yaml").write_text(yaml.safe_dump(sweep))


def test_a_sweep_gives_labels_and_baseline_and_what_is_missing(tmp_path: Path) -> None:
    runs = [finished(tmp_path, CE, 0, ablation="a"), finished(tmp_path, FOCAL, 0, ablation="a")]
    sweep(tmp_path, [("plain", 0, runs[0]), ("focussed", 0, runs[1]), ("focussed", 1, None)], "plain")
    found = find_runs([tmp_path])
    (section,) = sections_of(found)
    assert [group.label for group in section.groups] == ["focussed", "plain"]
    assert {run.baseline for run in found} == {"plain"}
    (missing,) = [run for run in found if run.status == "missing"]
    assert missing.note == "focussed, seed 1: loss=focussed seed=1"


def test_a_damaged_sweep_is_told(tmp_path: Path) -> None:
    finished(tmp_path, CE, 0, ablation="a")
    (tmp_path / "sweep.yaml").write_text("jobs: [")
    assert [run.status for run in find_runs([tmp_path])] == ["finished", "damaged"]


def test_curves_of_a_running_process_end_with_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "step,epoch,samples_seen,tag,value\n1,0,64,val/nll,0.5\n1,0,64,train/nll,9\n2,0,128,val/nll,0.25\n3,0,19"
    )
    assert read_curves(path, "val/") == {"val/nll": ([1, 2], [0.5, 0.25])}
    assert read_curves(tmp_path / "none.csv", "val/") == {}
