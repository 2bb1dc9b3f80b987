"""What ranks are refused, and who is taken to have started them."""

from pathlib import Path

import pytest

from src.config.errors import UserError
from src.config.schema import TrainerConf
from src.ranks.started import Started
from src.ranks.team import Team
from tests.commands import QUIET, train
from tests.runs.teams import TWO, torchrun

SRUN = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("modle=3",), "unknown key 'modle'"),
        (("data.root=/nowhere", "data=image_folder"), "/nowhere"),
        (("trainer.devices=5", "data.batch_size=20"), "torchrun started 2 processes"),
        (("trainer.strategy=null", "trainer.devices=1"), "torchrun started 2 processes, this run is of one"),
    ],
)
def test_a_mistake_under_torchrun_is_told_once(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    child = torchrun(*TWO, *words, f"runs={tmp_path}")
    output = child.communicate()[0]
    assert child.returncode == 1  # torchrun's own
    assert sum(line.startswith("xent:") and message in line for line in output.splitlines()) == 1, output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trainer=ddp", "data.batch_size=15"), "must be a multiple of the 2"),
        (("trainer=ddp", "data.train_examples=15"), "data.batch_size is 15, all that there is"),
        (("trainer=cpu", "trainer.devices=2"), "several devices need trainer=ddp"),
        (("trainer=cpu", "trainer.num_nodes=2"), "several devices need trainer=ddp"),
        (("trainer=ddp", "trainer.num_nodes=2"), "torchrun or srun"),
        (("trainer=ddp", "trainer.num_nodes=0"), "trainer.num_nodes must be an integer >= 1"),
        (("trainer=ddp", "loss=mmce"), "trainer.devices=2 cuts it"),
        (("trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2", "loss=mmce"), "torchrun or srun"),
        (("trainer=fsdp",), "trainer=fsdp needs GPUs"),
        (("trainer=fsdp", "ema.decay=0.9"), "trainer=fsdp cannot do ema.decay=0.9"),
        (("trainer=fsdp", "trainer.precision=64-true"), "trainer=fsdp cannot do trainer.precision=64-true"),
        (("trainer=fsdp", "optimizer=muon"), "trainer=fsdp cannot do optimizer=muon; take trainer=ddp"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(*QUIET, *words, "trainer.accelerator=cpu", f"runs={tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        (TORCHRUN, Started(3, 4, 1, "torchrun")),
        (SRUN, Started(5, 8, 1, "srun")),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),  # a batch script's own process
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, None),
    ],
)
def test_who_started_a_rank(env: dict[str, str], expected: Started | None) -> None:
    assert Started.find(env) == expected


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({**TORCHRUN, "RANK": "first"}, "RANK='first' in the environment is no number"),
        ({**TORCHRUN, "LOCAL_RANK": "-1"}, "LOCAL_RANK='-1' in the environment is no number"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "8(x2)"}, "is no number"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR is not: take torchrun"),
        ({key: value for key, value in TORCHRUN.items() if key != "MASTER_PORT"}, "MASTER_PORT is not"),
    ],
)
def test_what_no_starter_sets_is_refused(env: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Started.find(env)


def test_ranks_that_do_not_fit_the_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = vars(TrainerConf()) | {"strategy": "ddp", "devices": 4, "num_nodes": 2}
    for key, value in SRUN.items():
        monkeypatch.setenv(key, value)
    team = Team(settings, "cpu")
    assert (team.rank, team.world, team.outside) == (5, 8, True)
    for wrong in ({"num_nodes": 1}, {"devices": 8, "num_nodes": 1}):
        with pytest.raises(UserError, match="srun started 8 processes"):
            Team(settings | wrong, "cpu")
    alone = Team(settings | {"strategy": None, "devices": 1, "num_nodes": 1}, "cpu")
    assert (alone.rank, alone.outside) == (0, False), "srun may start many runs of one process each"
