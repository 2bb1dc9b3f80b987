"""A run on a folder of lines: the same bits resumed, and tested again from its folder alone."""

import json
import sys
from pathlib import Path

import pytest

from src.commands.evaluate import main as evaluate
from tests.commands import QUIET, only_run, result_of, train
from tests.data.test_line_folder import TEXTS, write_lines
from tests.runs.test_exactness import resume_from_every_checkpoint

WORDS = ("data=line_folder", "model=line_cnn", "loss=ctc", "model.widths=[4,6,8,10]", "trainer.max_epochs=3")


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_lines(tmp_path / "lines", TEXTS * 20)
    return tmp_path / "lines"


@pytest.mark.slow
def test_resume_from_checkpoints(lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUIET, *WORDS, f"data.root={lines}", "trainer.val_every_n_steps=5", "checkpoint.every_n_steps=5")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, True)


@pytest.mark.slow
def test_its_test_is_repeated_from_the_folder(lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a copy of the lines elsewhere."""

    def evaluated(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
        return evaluate()

    assert train(*QUIET, *WORDS, f"data.root={lines}", f"runs={tmp_path / 'runs'}") == 0
    run = only_run(tmp_path / "runs")
    assert evaluated(str(run)) == 0
    assert json.loads((run / "evaluations/test.json").read_text())["same_as_result"]
    copy = tmp_path / "copy"
    write_lines(copy, TEXTS * 20)
    assert evaluated(str(run), "data=line_folder", f"data.root={copy}") == 0
    (other,) = set((run / "evaluations").glob("*.json")) - {run / "evaluations/test.json"}
    assert json.loads(other.read_text())["metrics"]["test"] == result_of(run)["metrics"]["test"]
