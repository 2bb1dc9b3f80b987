"""A network of two parts that train against each other, by the files that docs/players.md shows."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import softplus

from src.folder.folder import RunFolder
from src.optim.parameters import parameter_groups
from src.runs import build
from tests.commands import QUIET, laid_over, only_run, result_of
from tests.conftest import ROOT
from tests.processes import running, wait_for
from tests.runs.test_exactness import assert_same_run, killed_at_random, snapshots_in
from tests.test_own_family import give, unpacked

DUEL = ("--config-dir", "conf_duel", "model=duel", "data.eval_batch_size=500")
SHORT = (
    *QUIET,
    "data.train_examples=400",
    "data.batch_size=40",
    "task.discriminator_turns=2",
    "model.width=16",
    "optimizer.lr=0.002",
)
LEARNING = (
    *("optimizer.betas=[0.5,0.999]", "optimizer.lr=0.001", "task.discriminator_turns=1", "scheduler=constant"),
    *("model.width=64", "data.train_examples=3000"),
)
EXACT = ("trainer.max_steps=8", "trainer.val_every_n_steps=3", "trainer.log_every_n_steps=2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of the tree, with the family's files, where commands are given."""
    return unpacked("players", "duel", tmp_path, monkeypatch)


def trained(*words: str) -> int:
    return give("train.py", *laid_over((*DUEL, *SHORT, *words)))


def test_it_trains_and_is_tested_by_what_it_makes(here: Path) -> None:
    words = (*LEARNING, "loss=logistic")
    assert trained(*words, "trainer.max_steps=1", "runs=short") == 0
    assert trained(*words, "trainer.max_steps=60") == 0
    run = only_run(here / "runs")
    test = result_of(run)["metrics"]["test"]
    assert set(test) == {"loss", "discriminator", "generator", "distance"}
    assert test["loss"] == pytest.approx(test["discriminator"] + test["generator"])
    columns = np.load(run / "predictions.npz")
    assert columns["distance"].shape == columns["score"].shape == columns["targets"].shape
    assert test["distance"] == pytest.approx(columns["distance"].mean(dtype=float), rel=1e-6)
    untrained = result_of(only_run(here / "short"))["metrics"]["test"]["distance"]
    assert test["distance"] < 0.95 * untrained
    assert give("evaluate.py", run, "--config-dir", "conf_duel") == 0
    assert result_of(run)["metrics"]["test"] == test


RESUMED = [
    ("ema.decay=0.8", "checkpoint.best=true"),
    *(pytest.param(words, marks=pytest.mark.slow) for words in ((), ("optimizer=sgd", "task.discriminator_turns=1"))),
]


@pytest.mark.parametrize("words", RESUMED)
def test_it_resumes_from_every_checkpoint_bit_for_bit(
    words: tuple[str, ...], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*EXACT, "loss=hinge_duel", "checkpoint.every_n_steps=2", "scheduler.warmup_steps=3", *words)
    with snapshots_in(here, monkeypatch) as snapshots:
        assert trained(*words, "runs=whole") == 0
    whole = only_run(here / "whole")
    assert len(snapshots) >= 5
    for snapshot in snapshots:
        resumed = here / "resumed" / whole.relative_to(here / "whole")
        shutil.rmtree(here / "resumed", ignore_errors=True)
        shutil.copytree(snapshot, resumed)
        assert trained(*words, "runs=resumed") == 0
        assert_same_run(whole, resumed)


def by_hand(run: Path, clip: float) -> dict[str, torch.Tensor]:
    """The weights of a run of the logistic loss, by a loop of plain torch over the same batches, in float64."""
    cfg = RunFolder(run).read_config()
    data = build.build_data(cfg)
    spec = build.load(data)
    model: Any = build.build_model(cfg, spec, build.build_loss(cfg, spec)).double()
    settings, steps, turns = cfg["optimizer"], cfg["trainer"]["max_steps"], cfg["task"]["discriminator_turns"]
    schedule = build.build_schedule(cfg, steps)
    optimizers = {
        name: torch.optim.AdamW(
            parameter_groups(getattr(model, name), settings["weight_decay"]), betas=settings["betas"]
        )
        for name in ("discriminator", "generator")
    }

    def take(name: str, loss: torch.Tensor, step: int) -> None:
        model.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(getattr(model, name).parameters(), clip)
        for group in optimizers[name].param_groups:
            group["lr"] = settings["lr"] * schedule(step)
        optimizers[name].step()

    for step, (real, _, chance) in enumerate(data.train_loader(cfg["seed"], steps)):
        first, last = (chance.normal(name, model.latents).double() for name in optimizers)
        for x, z in zip(real.chunk(turns), first.chunk(turns), strict=True):
            made = model.generator(z).detach()
            take("discriminator", softplus(-model.discriminator(x)) + softplus(model.discriminator(made)), step)
        take("generator", softplus(-model.discriminator(model.generator(last))), step)
    return model.state_dict()


def test_a_step_is_one_round_of_turns(here: Path) -> None:
    """Weights, clipping, schedules and counts against a loop by hand; both optimizers are in the checkpoint."""
    words = ("trainer.max_steps=20", "trainer.gradient_clip_val=0.05", "trainer.precision=64-true")
    assert trained(*words, "loss=logistic", "scheduler.warmup_steps=5", "trainer.log_every_n_steps=1") == 0
    run = only_run(here / "runs")
    weights = load_file(run / "weights.safetensors")
    expected = by_hand(run, clip=0.05)
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-12)
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 20 and result_of(run)["steps"] == 20
    taken = [{int(one["step"]) for one in state["state"].values()} for state in last["optimizer_states"]]
    assert taken == [{40}, {20}]
    assert [schedule["last_epoch"] for schedule in last["lr_schedulers"]] == [20, 20]
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    logged = {(row[3], int(row[0])): float(row[4]) for row in rows}
    for player in ("discriminator", "generator"):
        norms = [logged[f"train/grad_norm_{player}", step] for step in range(1, 21)]
        assert max(norms) > 0.05  # before clipping
        assert logged[f"train/{player}", 1] > 0
    lrs = [logged["train/lr", step] for step in range(1, 21)]
    assert lrs[:6] == pytest.approx([0.002 * step / 6 for step in range(1, 7)]) and lrs[-1] < 0.001


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trainer=ddp",), "trainer.strategy=ddp is for one optimizer"),
        (("trainer=cpu", "trainer.precision=16-mixed"), "16-mixed"),
        (("trainer.accumulate_grad_batches=2",), "trainer.accumulate_grad_batches must be 1"),
        (("model=mlp",), "reads a duel, model=mlp gives logits"),
    ],
)
def test_what_several_players_do_not_do_is_refused(
    words: tuple[str, ...], message: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert give("train.py", *laid_over((*DUEL, *QUIET, "loss=logistic", *words))) == 2
    said = capfd.readouterr().err
    assert message in said and "Traceback" not in said
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.generator = ", "self.maker = ", "trains the parts discriminator, generator of a network"),
        (
            "self.latents, pixels",
            "self.odd = nn.Linear(3, 3)\n        self.latents, pixels",
            "odd.weight is a weight of none",
        ),
        (
            "nn.Flatten(0)\n        )",
            "nn.Flatten(0)\n        )\n        self.discriminator[1].bias = self.generator[0].bias",
            "is a weight of several players",
        ),
    ],
)
def test_each_weight_has_one_player(
    old: str, new: str, message: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (network,) = here.glob("own_*/network.py")
    text = network.read_text()
    assert old in text
    network.write_text(text.replace(old, new))
    assert trained("loss=logistic") == 2
    said = capfd.readouterr().err
    assert message in said and "Traceback" not in said


def test_it_is_reported(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for loss, seed in itertools.product(("logistic", "hinge_duel"), (0, 1, 2)):
        assert trained(f"loss={loss}", f"seed={seed}", "trainer.max_epochs=2") == 0
    assert give("report.py", "runs", "out=told") == 0
    page = (here / "told/report.md").read_text()
    assert "distance" in page and "accuracy" not in page
    assert "farther from the data than" in capfd.readouterr().out


@pytest.mark.slow
def test_killed_many_times_at_random_moments(here: Path) -> None:
    words = (*laid_over((*DUEL, *SHORT)), "loss=logistic", "trainer.max_steps=100", "trainer.val_every_n_steps=7")
    killed_at_random((*words, "checkpoint.every_n_steps=1"), here, kills=8, cwd=here)


@pytest.mark.slow
def test_compiled_it_gives_the_same_numbers(here: Path) -> None:
    for name, value in (("plain", "false"), ("compiled", "true")):
        assert trained(*EXACT, "loss=logistic", f"compile={value}", f"runs={name}") == 0
    plain, compiled = (load_file(only_run(here / name) / "weights.safetensors") for name in ("plain", "compiled"))
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_given_again(here: Path) -> None:
    words = (*DUEL[:2], "-m", *DUEL[2:], *SHORT, "trainer.max_epochs=40", "loss=logistic,hinge_duel", "seed=0,1")
    command = [sys.executable, ROOT / "train.py", *laid_over(words)]
    whole = subprocess.run([*command, "runs=whole"], capture_output=True, text=True)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    env = os.environ | {"TMPDIR": str(here)}
    sweep = subprocess.Popen([*command, "runs=killed"], stdout=subprocess.DEVNULL, env=env)
    wait_for(lambda: list(here.glob("killed/**/last.ckpt")))
    sweep.kill()
    sweep.wait()
    wait_for(lambda: not running(here))
    again = subprocess.run([*command, "runs=killed"], capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    for one in here.glob("whole/*/*/seed*"):
        other = here / "killed" / one.relative_to(here / "whole")
        for name in ("weights.safetensors", "metrics.csv", "predictions.npz"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), (name, one)
