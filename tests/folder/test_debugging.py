"""Runs for debugging: what makes a run one, and where it lies."""

from pathlib import Path

import pytest

from src.config.errors import UserError
from src.folder.debugging import debugging
from src.folder.folder import home_of
from src.tune.study import read, tune
from tests.commands import QUIET, composed, only_run, result_of, train

SMALL = (*QUIET, "data.train_examples=100", "model.widths=[8]")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", ""),
        ("trainer=cpu", ""),
        ("trainer.max_steps=1", ""),
        ("data.train_examples=100", ""),
        *((f"debug={name}", f"debug={name}") for name in ("fast", "limit", "overfit", "profiler")),
        ("trainer=smoke", "trainer=smoke"),
        ("trainer=smoke trainer.limit_eval_batches=null", "trainer=smoke"),
        ("trainer.overfit_batches=2", "trainer.overfit_batches=2"),
        ("trainer.limit_train_batches=2", "trainer.limit_train_batches=2"),
        ("trainer.limit_eval_batches=2", "trainer.limit_eval_batches=2"),
        ("profiler=true", "profiler=true"),
    ],
)
def test_what_makes_a_run_one_for_debugging(words: str, reason: str) -> None:
    command = composed(*words.split(), "runs=somewhere")
    cfg = {"runs": "somewhere", "name": None, "trainer": dict(command.cfg.trainer), "profiler": command.cfg.profiler}
    assert debugging(cfg, command.choices) == reason
    home = Path("somewhere/debug") if reason else Path("somewhere")
    assert home_of(cfg, command.choices) == home / "mnist_5k-mlp"


@pytest.mark.parametrize("trainer", [None, [], "smoke", {}, {"overfit_batches": [1]}])
def test_any_content_of_a_folder_gives_an_answer(trainer: object) -> None:
    assert isinstance(debugging({"trainer": trainer}, {"trainer": ["smoke"], "debug": 7}), str)


def test_the_same_command_finishes_the_run_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder is not among the others, and holds the run that the command always named."""
    words = (*SMALL, "debug=fast", f"runs={tmp_path}")
    assert train(*words) == 0
    run = only_run(tmp_path)
    assert run.relative_to(tmp_path).parts[:2] == ("debug", "mnist_5k-mlp")
    capsys.readouterr()
    for again in (words, (f"resume={run}",)):
        assert train(*again) == 0
        assert "this run is finished" in capsys.readouterr().out
    assert result_of(run)["status"] == "finished"


def test_it_is_nothing_to_search(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trainer=smoke: such runs are for debugging"):
        tune(read(["trainer=smoke", "optimizer.lr=log(1e-4,1e-1)", f"runs={tmp_path}"]))
    assert list(tmp_path.iterdir()) == []
