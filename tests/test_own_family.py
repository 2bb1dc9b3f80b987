"""A family of tasks that is added from outside, by its own files only: those that docs/family.md shows."""

import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import ndcg_score

import evaluate
import report
import train
from src.config import trust
from src.config.guard import guarded
from tests.commands import QUIET, laid_over, only_run, result_of
from tests.conftest import ROOT
from tests.docs.commands import write_files
from tests.processes import running, wait_for

FAMILY = ("data=queries", "model=scorer", "data.train_examples=200", "optimizer.lr=0.02")
SHORT = (*QUIET, "trainer.max_epochs=8", "trainer.log_every_n_steps=3")
MAINS = {"train.py": train.main, "evaluate.py": evaluate.main, "report.py": report.main}
# a callback that stops the run by a signal, once
STOP = """
import os
import signal

from pytorch_lightning.callbacks import Callback


class Stop(Callback):
    def on_validation_end(self, trainer, pl_module):
        if os.environ.pop("RANK_STOP", ""):
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of the tree, with the family's files, where commands are given."""
    return unpacked("family", "rank", tmp_path, monkeypatch)


def unpacked(page: str, package: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The folder, which the files that a page shows are written to, and which becomes the working directory."""
    write_files(ROOT / f"docs/{page}.md", folder)
    (folder / package).rename(folder / package_of(folder))
    for option in (folder / f"conf_{package}").rglob("*.yaml"):
        option.write_text(option.read_text().replace(f"_target_: {package}.", f"_target_: {package_of(folder)}."))
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", str(folder))
    patch.chdir(folder)
    return folder


def package_of(folder: Path) -> str:
    """A name of its own for a test's package: modules stay imported."""
    return f"own_{folder.name}".replace("-", "_")


def give(script: str, *words: object) -> int:
    """``python SCRIPT WORDS``, as a process of its own would run it: it knows nothing of those before."""
    trust.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *map(str, words)])
        return guarded(MAINS[script])


def trained(*words: str) -> int:
    return give("train.py", "--config-dir", "conf_rank", *FAMILY, *SHORT, *words)


def test_it_trains_and_is_tested_by_its_own_metrics(here: Path) -> None:
    assert trained("loss=listwise", "loss.temperature=0.5") == 0
    run = only_run(here / "runs")
    result = result_of(run)
    assert result["status"] == "finished" and result["family"]["name"] == "ranking"
    assert set(result["metrics"]["test"]) == {"loss", "ndcg", "tau"}
    columns = np.load(run / "predictions.npz")
    assert columns["ndcg"].shape == columns["tau"].shape == (300,)
    for name in ("ndcg", "tau"):
        assert result["metrics"]["test"][name] == pytest.approx(columns[name].mean(dtype=float), abs=1e-6)
    assert result["metrics"]["test"]["tau"] > 0.2  # 0 by chance: it learns
    before = {name: result["metrics"]["test"][name] for name in ("ndcg", "tau")}
    assert give("evaluate.py", run) == 2  # a folder is data, never code
    assert give("evaluate.py", run, "--config-dir", "conf_rank") == 0
    assert {name: result_of(run)["metrics"]["test"][name] for name in before} == before


def test_it_resumes_bit_for_bit(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "conf_rank/callbacks").mkdir()
    module = f"stop_{here.name}".replace("-", "_")
    (here / f"{module}.py").write_text(STOP)
    (here / "conf_rank/callbacks/stop.yaml").write_text(f"stop:\n  _target_: {module}.Stop\n")
    command = ("loss=pairwise", "callbacks=stop", "trainer.accumulate_grad_batches=2")
    assert trained(*command, "runs=whole") == 0
    monkeypatch.setenv("RANK_STOP", "1")
    assert trained(*command, "runs=stopped") == 128 + signal.SIGTERM
    whole, stopped = only_run(here / "whole"), only_run(here / "stopped")
    assert result_of(stopped)["status"] == "interrupted"
    assert trained(*command, "runs=stopped") == 0
    for name in ("weights.safetensors", "metrics.csv", "predictions.npz"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name


def test_it_is_reported_by_its_own_metrics(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Both losses, three seeds; the report judges ndcg and tau, and names nothing that the family does not have."""
    for loss, seed in itertools.product(("pairwise", "listwise"), (0, 1, 2)):
        assert trained(f"loss={loss}", f"seed={seed}") == 0
    assert give("report.py", "runs", "out=told") == 0
    page = (here / "told/report.md").read_text()
    assert "ndcg" in page and "tau" in page
    for other in ("accuracy", "nll", "ece", "perplexity", "brier"):
        assert other not in page, other
    assert "listwise ranks better than pairwise (ndcg +" in capfd.readouterr().out


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_given_again(here: Path) -> None:
    """As a user gives it: two losses, two seeds, each run a process of its own. Every bit is as without the kill."""
    words = ("--config-dir", "conf_rank", "-m", *FAMILY, *SHORT, "trainer.max_epochs=150")
    command = [sys.executable, ROOT / "train.py", *laid_over(words), "loss=pairwise,listwise", "seed=0,1"]
    whole = subprocess.run([*command, "runs=whole"], capture_output=True, text=True)
    assert whole.returncode == 0 and "ndcg" in whole.stdout, whole.stdout + whole.stderr
    sweep = subprocess.Popen(
        [*command, "runs=killed"], stdout=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(here)}
    )
    wait_for(lambda: list(here.glob("killed/**/last.ckpt")))
    sweep.kill()
    sweep.wait()
    wait_for(lambda: not running(here))  # its jobs end with it
    left = [json.loads(path.read_text())["status"] for path in here.glob("killed/**/result.json")]
    assert "running" in left
    again = subprocess.run([*command, "runs=killed"], capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    for loss, seed in itertools.product(("pairwise", "listwise"), (0, 1)):
        (one,) = here.glob(f"whole/*/{loss}-*/seed{seed}")
        other = here / "killed" / one.relative_to(here / "whole")
        assert result_of(other)["status"] == "finished"
        for name in ("weights.safetensors", "metrics.csv", "predictions.npz"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), (name, one)
    told = subprocess.run([sys.executable, ROOT / "report.py", "killed"], capture_output=True, text=True)
    assert told.returncode == 0 and "queries · scorer" in told.stdout, told.stdout + told.stderr


def test_its_metrics_are_those_of_other_libraries(here: Path) -> None:
    """A run's own numbers, made again of the network's scores by scikit-learn and SciPy."""
    tasks = importlib.import_module(f"{package_of(here)}.tasks")
    rng = np.random.default_rng(0)
    scores, relevance = rng.normal(size=(20, 8)), rng.integers(0, 3, size=(20, 8)).astype(float)
    relevance[:, 0] = 1  # a query without anything relevant has no ndcg
    answer = {"scores": torch.from_numpy(scores), "relevance": torch.from_numpy(relevance)}
    found = tasks.RankingTask.examples(None, answer)
    for i in range(20):
        assert found["ndcg"][i].item() == pytest.approx(ndcg_score(relevance[i : i + 1], scores[i : i + 1]))
        ties = sum(relevance[i, a] == relevance[i, b] for a in range(8) for b in range(a))
        b = kendalltau(scores[i], relevance[i]).statistic  # tau-b: tied pairs do not count
        assert found["tau"][i].item() == pytest.approx(b * np.sqrt((28 - ties) / 28))
