"""Callbacks of the user's own, and Lightning's, in a run."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from src.callbacks.checkpoint import check_state
from src.callbacks.recorder import record
from src.config import trust
from src.config.guard import guarded
from tests.commands import QUIET, laid_over, only_run, result_of
from tests.commands import train as trained
from train import main

SETTINGS = (
    *(*QUIET, "data.train_examples=60", "data.batch_size=20", "data.eval_batch_size=500", "model.widths=[8]"),
    *("trainer.max_epochs=3", "trainer.val_every_n_steps=2"),
)
MODULE = """
import os
import signal

from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm

from xent.callbacks.recorder import record

class Norm(Callback):
    def __init__(self, *, scale: float) -> None:
        self.scale, self.count = scale, 0

    def on_validation_end(self, trainer, pl_module):
        self.count += 1
        norm = get_total_norm(list(pl_module.model.parameters()))
        record(trainer, {"val/weight_norm": self.scale * norm, "val/count": self.count})
        if self.count == 2 and os.environ.pop("OWN_STOP", ""):
            os.kill(os.getpid(), signal.SIGTERM)

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]

class Recorder(Norm): ...

class Seen(Callback):
    def __init__(self) -> None:
        self.seen = set()

    def state_dict(self):
        return {"seen": self.seen}

class LaterSeen(Seen):
    def on_validation_end(self, trainer, pl_module):
        self.full = True

    def state_dict(self):
        return {"steps": {3} if hasattr(self, "full") else []}

class Raises(Callback):
    def __init__(self) -> None:
        raise KeyError("nothing")

class Fails(Callback):
    def on_validation_end(self, trainer, pl_module):
        record(trainer, {"weight norm": 1.0})

class NoCallback: ...

def made(): ...
"""
Train = Callable[..., int]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of its own name on the path, and options in conf/."""
    (tmp_path / "path").mkdir()
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"path/{name}.py").write_text(MODULE)
    (tmp_path / "conf/callbacks").mkdir(parents=True)
    (tmp_path / "conf/callbacks/norm.yaml").write_text(f"norm:\n  _target_: {name}.Norm\n  scale: 1.0\n")
    (tmp_path / "name").write_text(name)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """A command as a process of its own would run it: it knows nothing of those before."""

    def run(*words: object) -> int:
        trust.forget()
        monkeypatch.setattr("sys.argv", ["train.py", *map(str, words)])
        return guarded(main)

    return run


def rows(run: Path, tag: str) -> list[str]:
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return [f"{step} {value}" for step, _, _, name, value in lines if name == tag]


def test_it_records_and_resumes_bit_for_bit(here: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("--config-dir", "conf", "callbacks=norm", *SETTINGS)
    assert train(*command, "runs=whole") == 0
    whole = only_run(here / "whole")
    assert rows(whole, "val/count") == ["2 1.0", "4 2.0", "6 3.0", "8 4.0", "9 5.0"]
    assert result_of(whole)["metrics"]["val"]["weight_norm"] > 0
    monkeypatch.setenv("OWN_STOP", "1")
    assert train(*command, "runs=stopped") == 128 + signal.SIGTERM
    stopped = here / "stopped" / whole.relative_to(here / "whole")
    assert len(rows(stopped, "val/count")) == 2 and "OWN_STOP" not in os.environ
    assert train(f"resume={stopped}") == 2  # a folder is data, never code
    assert train("--config-dir", "conf", f"resume={stopped}", "callbacks=norm") == 0
    assert (stopped / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert (stopped / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_it_is_part_of_the_run_s_identity(here: Path, train: Train) -> None:
    """It may change what is learnt."""
    words = laid_over((*SETTINGS, "trainer.max_epochs=1"))
    for more in ((), ("callbacks=norm",), ("callbacks=norm", "callbacks.norm.scale=2")):
        assert train("--config-dir", "conf", *more, *words, "label=one") == 0
    assert len({path.parent.name.rpartition("-")[2] for path in (here / "runs").glob("**/seed0")}) == 3


def test_lightning_s_timer_stops_a_run_that_is_then_tested(tmp_path: Path) -> None:
    words = laid_over((*SETTINGS, "callbacks=timer", "trainer.max_epochs=5000", f"runs={tmp_path}"))
    assert trained(*words, "callbacks.timer.duration=00:00:00:01") == 0
    result = result_of(only_run(tmp_path))
    assert result["status"] == "finished" and 0 < result["steps"] < 15_000
    assert result["notes"] == [f"stopped early, at step {result['steps']} of 15000"]
    assert 0 <= result["metrics"]["test"]["accuracy"] <= 1


def test_a_run_that_is_stopped_before_it_begins_fails(tmp_path: Path) -> None:
    words = ("callbacks=timer", "callbacks.timer.duration=00:00:00:00")
    assert trained(*SETTINGS, *words, f"runs={tmp_path}") == 1
    assert "a callback stopped the training before its first step" in result_of(only_run(tmp_path))["error"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{}.NoCallback", "is no callback (a sub-class of pytorch_lightning.callbacks.callback.Callback)"),
        ("{}.made", "is a function, and a class is wanted"),
        ("{}.Nothing", "no 'Nothing' in"),
        ("{}.Raises", "callbacks.odd: KeyError: 'nothing' (XENT_DEBUG=1 shows where)"),
        ("{}.Seen", "the state of callbacks.odd cannot be kept in a checkpoint: it.seen is of the type set; a"),
        ("{}.Norm", "callbacks.odd (%s.Norm) needs callbacks.odd.scale=..."),
        ("torch.nn.Linear", "callbacks.odd (torch.nn.Linear) needs callbacks.odd.in_features=..."),
    ],
)
def test_what_does_not_fit_is_refused(
    target: str, message: str, here: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    name = (here / "name").read_text()
    (here / "conf/callbacks/odd.yaml").write_text(f"odd:\n  _target_: {target.format(name)}\n")
    assert train("--config-dir", "conf", "callbacks=odd", *SETTINGS) == 2
    errors = capfd.readouterr().err
    assert (message % name if "%" in message else message) in errors and "Traceback" not in errors
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("_target_: NAME.Norm\nscale: 1.0", "callbacks must be null, or a mapping from a name to a callback"),
        ("[NAME.Norm]", "must be"),
        ("a: 3", "callbacks.a must be a mapping with a _target_, its class, got 3"),
        ("a: {_target_: NAME.Norm, scale: big}", "callbacks.a.scale must be a number, got 'big'"),
        ("a: {_target_: NAME.Norm, scale: 1.0, b: 2}", "unknown key 'b' in callbacks.a"),
        (
            "a: {_target_: NAME.Norm, scale: 1.0}\nb: {_target_: NAME.Norm, scale: 2.0}",
            "callbacks.b and callbacks.a would be kept in a checkpoint by the same name, 'Norm'",
        ),
        ("a: {_target_: NAME.Recorder, scale: 1.0}", "callbacks.a and a callback of xent's own would be kept"),
    ],
)
def test_an_option_file_that_is_wrong(
    option: str, message: str, here: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "conf/callbacks/odd.yaml").write_text(option.replace("NAME", (here / "name").read_text()))
    assert train("--config-dir", "conf", "callbacks=odd", *SETTINGS) == 2
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LaterSeen", "TypeError: the state of the callback LaterSeen.steps is of the type set; a checkpoint takes"),
        ("Fails", "ValueError: a value is recorded as train/NAME or val/NAME, got 'weight norm'"),
    ],
)
def test_a_fault_while_running_fails_the_run(name: str, message: str, here: Path, train: Train) -> None:
    (here / "conf/callbacks/odd.yaml").write_text(f"odd:\n  _target_: {(here / 'name').read_text()}.{name}\n")
    assert train("--config-dir", "conf", "callbacks=odd", *SETTINGS) == 1
    result = result_of(only_run(here / "runs"))
    assert result["status"] == "failed" and message in result["error"]


def test_states_that_a_checkpoint_takes() -> None:
    check_state("it", {"a": [1, 2.0, None, True, "x", b"y"], 3: (torch.zeros(2), {"b": {}})})
    for value in ({1}, object(), [object()], {"a": {"b": range(3)}}, torch.zeros(1).numpy(), 1j):
        with pytest.raises(TypeError, match="a checkpoint takes numbers"):
            check_state("it", value)


def test_the_name_of_what_is_recorded() -> None:
    for tag in ("nll", "test/nll", "val/", "val/a b"):
        with pytest.raises(ValueError, match="is recorded as"):
            record(None, {tag: 1.0})  # type: ignore[arg-type]
