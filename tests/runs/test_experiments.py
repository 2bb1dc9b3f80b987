"""Every experiment: composed, checked, and run for two steps on its data or on a small stand-in of the same form."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from src.config.check import PROVIDED
from src.data.cifar import CIFAR10
from src.data.mnist import TorchvisionDigits
from src.data.official import Official
from src.data.text import TinyShakespeare
from src.package import CONF
from tests.commands import TRAINER, composed, only_run, train
from tests.sweep.composing import jobs

EXPERIMENTS = sorted(CONF.glob("experiment/*.yaml"), key=lambda path: path.stem)
# Small enough for one core; the warm-up must fit into two steps.
SMALL = (
    *(f"trainer={TRAINER}", "trainer.threads=1", "trainer.max_steps=2", "trainer.limit_eval_batches=1"),
    *("data.batch_size=4", "data.eval_batch_size=4", "scheduler.warmup_steps=0", "samples.count=1", "samples.length=2"),
)


def images(shape: tuple[int, ...]) -> Official:
    g = torch.Generator().manual_seed(0)
    train, test = (
        (torch.randint(256, (n, *shape), dtype=torch.uint8, generator=g), torch.arange(n) % 10) for n in (200, 50)
    )
    return Official(train, test, tuple(map(str, range(10))))


def text(self: TinyShakespeare) -> str:
    return "\n" + "".join(map(chr, torch.randint(32, 96, (20_000,), generator=torch.Generator().manual_seed(0))))


LARGE = {"shakespeare_char"}  # the model of its _cpu sibling, larger


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in LARGE else []) for path in EXPERIMENTS],
    ids=lambda path: path.stem,
)
def test_two_steps(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "read", lambda self: images((3, 32, 32)))
    monkeypatch.setattr(TorchvisionDigits, "read", lambda self: images((1, 28, 28)))
    monkeypatch.setattr(TinyShakespeare, "read", text)
    two_steps(path.stem, (), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_two_steps_on_real_data(path: Path, real_data: Path, tmp_path: Path) -> None:
    """CIFAR-10 as its own files, or, where these are not there, as files of images."""
    command = composed(f"experiment={path.stem}")
    data = command.choices["data"]
    words: tuple[str, ...] = (f"data.root={real_data}",) if "root" in command.cfg.data else ()  # 5,000 digits have none
    if data in ("cifar10", "cifar10_fast") and not (real_data / "cifar-10-batches-py").exists():
        words = ("data=image_folder", f"data.root={real_data / 'cifar10_jpeg'}")
    two_steps(path.stem, words, tmp_path)


def two_steps(name: str, words: tuple[str, ...], runs: Path) -> None:
    choices = composed(f"experiment={name}").choices
    if (choices["loss"] or "").startswith("distillation"):  # from any teacher of the same data
        small = (f"data={choices['data']}", "model=mlp", "model.widths=[8]", *SMALL, *words, "logger=csv")
        assert train(*small, f"runs={runs / 'teacher'}") == 0
        words = (*words, f"teacher={only_run(runs / 'teacher')}")
        runs = runs / "student"
    assert train(f"experiment={name}", *SMALL, *words, "logger=csv", f"runs={runs}") == 0
    run = only_run(runs)
    assert run.parents[1].name == name
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("finished", 2)


@pytest.mark.slow
def test_two_steps_of_the_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of ablation=mnist_students, with any run on the same data as the teacher.

    The other tables for a GPU are ablations of the experiments above.
    """
    monkeypatch.setattr(TorchvisionDigits, "read", lambda self: images((1, 28, 28)))
    small = ("data=mnist", "model=mlp", "model.widths=[8]", *SMALL, "logger=csv")
    assert train(*small, f"runs={tmp_path / 'teacher'}") == 0
    teacher = f"teacher={only_run(tmp_path / 'teacher')}"
    for i, job in enumerate(jobs("ablation=mnist_students", "seed=0")):
        words = [teacher if word.startswith("teacher=") else word for word in job if word != "trainer.threads=1"]
        assert train(*words, *SMALL, "hydra.mode=RUN", "logger=csv", f"runs={tmp_path / str(i)}") == 0
        result = json.loads((only_run(tmp_path / str(i)) / "result.json").read_text())
        assert (result["status"], result["steps"]) == ("finished", 2)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_sets_no_key_inside_a_group(path: Path) -> None:
    """It would win over what the user picks on the command line; an option file holds such values."""
    assert path.read_text().startswith("# @package _global_\n#"), "a line that says what is expected of it"
    keys = yaml.safe_load(path.read_text())
    assert keys["experiment"] == path.stem
    assert not keys.keys() & PROVIDED.keys()
    groups = [group for option in keys["defaults"] for group in option]
    assert all(group.startswith("override /") for group in groups)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_command_line_wins(path: Path) -> None:
    words = ("loss=focal", "loss.gamma=5", "optimizer=sgd", "optimizer.lr=0.3", "trainer.max_steps=7", "seed=3")
    cfg = composed(f"experiment={path.stem}", *words).cfg
    assert (cfg.loss.gamma, cfg.optimizer.lr, cfg.trainer.max_steps, cfg.seed) == (5, 0.3, 7, 3)
    assert cfg.optimizer["_target_"] == "torch.optim.SGD"
