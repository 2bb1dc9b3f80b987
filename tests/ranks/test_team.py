"""Ranks that end or never come while they start: rank 0 says which, and does not wait for them."""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from src.config.errors import UserError
from src.ranks import team as module
from src.ranks.team import LostRankError, Team
from tests.commands import only_run, process, result_of
from tests.runs.teams import MLP, TWO

SETTINGS = {"devices": 2, "num_nodes": 1, "strategy": "ddp"}
SOON = 10.0  # seconds


def stand_in(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rank 0 start processes that run ``code`` for ranks."""
    monkeypatch.setattr(module, "running", lambda *words: [sys.executable, "-c", f"import os, signal, time; {code}"])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os._exit(3)", "rank 1 ended with status 3 before it had met the others"),
        ("os._exit(0)", "rank 1 ended with status 0 before it had met the others"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "rank 1 was killed by SIGKILL before it had met the others"),
    ],
)
def test_a_rank_that_dies_before_it_came(code: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(code, monkeypatch)
    start = time.monotonic()
    with Team(SETTINGS, "cpu") as team:
        with pytest.raises(LostRankError) as lost:
            team.start("order", pytest.fail)
        assert team.give_up(lost.value) == reason
    assert time.monotonic() - start < SOON
    assert not dist.is_initialized()


def test_a_rank_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, in pieces in which a signal is heard, and ended with the run."""
    stand_in("time.sleep(1000)", monkeypatch)
    monkeypatch.setattr(module, "MEETING", timedelta(seconds=1))
    monkeypatch.setattr(module, "GRACE", 0.1)
    with Team(SETTINGS | {"devices": 3}, "cpu") as team:
        with pytest.raises(LostRankError, match="of the ranks, 1, 2 did not come within"):
            team.start("order", pytest.fail)
        team.broken = team.order_given = True
    assert [child.returncode for child in team.children] == [-signal.SIGKILL] * 2


def test_ctrl_c_is_heard_while_ranks_start(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in("time.sleep(0.5); os.kill(os.getppid(), signal.SIGINT); time.sleep(1000)", monkeypatch)
    monkeypatch.setattr(module, "GRACE", 0.1)
    with Team(SETTINGS, "cpu") as team:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            team.start("order", pytest.fail)
        assert time.monotonic() - start < SOON
        team.broken = team.order_given = True


def test_under_srun_a_rank_that_never_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEETING", timedelta(seconds=1))
    variables = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    for key, value in (variables | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UserError, match="of the ranks, 1 did not come"), Team(SETTINGS, "cpu"):
        pass


# in the second rank: end when a function is called, which is replaced before its module's importer sees it
DIE = """
import importlib.machinery, os, signal, sys

NAME, OWNER, ATTRIBUTE = os.environ["DIES_IN"].split(" ")

def end(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Finder:
    def find_spec(name, path, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            place = getattr(module, OWNER) if ATTRIBUTE else module
            setattr(place, ATTRIBUTE or OWNER, end)
        spec.loader.exec_module = exec_module
        return spec

if os.environ.get("RANK") == "1":
    sys.meta_path.insert(0, Finder)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "src.ranks.team Team join",  # before it meets the others
        "torch.distributed TCPStore set",  # as it says that it is there
        "torch.distributed init_process_group ",  # after
        "src.ranks.ranks told ",  # before it hears what to do
        "torch.optim AdamW step",  # in the first step
    ],
)
def test_a_rank_that_dies_ends_the_run_soon(moment: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIE)
    words = (*TWO, *MLP, "trainer.max_steps=100000", f"runs={tmp_path / 'runs'}")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    child = process(*words, env={"PYTHONPATH": path, "DIES_IN": moment})
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 1, output + errors
    result = result_of(only_run(tmp_path / "runs"))
    assert result["status"] == "failed"
    assert result["error"].startswith("rank 1 was killed by SIGKILL"), result["error"]
    assert result["run"]["seconds"] < 60, "most of it imports; torch alone waits half an hour"
    assert "Traceback" not in output + errors
