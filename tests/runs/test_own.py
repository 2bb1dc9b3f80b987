"""Classes of the user's own: trained, resumed, tested again and used as a teacher, if each command names them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evaluate
import train
from src.config import trust
from src.config.errors import UserError
from src.config.guard import guarded
from src.losses.base import ClassificationLoss
from src.package import CONF
from src.runs.trained import load
from tests.commands import QUIET, laid_over, only_run, result_of

SETTINGS = (*QUIET, "data.train_examples=60", "data.eval_batch_size=500", "model.widths=[8]", "trainer.max_steps=2")
LOSS = """
from xent.losses.base import ClassificationLoss

class OwnLoss(ClassificationLoss):
    def __init__(self, *, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, logits, targets):
        return -self.power * logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]

class Mean(ClassificationLoss):
    def forward(self, logits, targets):
        return logits.mean()

class Raises(ClassificationLoss):
    def forward(self, logits, targets):
        return self.nothing

class NoLoss: ...

def made(): ...
"""
DATA = """
from xent.data.mnist import MNIST5k

class OwnData(MNIST5k): ...

class Broken(MNIST5k):
    def read(self):
        return {}["nothing"]
"""
MODEL = """
from torch import nn
from xent.models.base import Network

class Linear(Network):
    inputs = "image"
    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(784, classes)

    def forward(self, x):
        return self.layer(x.flatten(1))

class Raises(Network):
    inputs = "image"
    def __init__(self) -> None:
        self.layer = nn.Linear(784, 10)
"""
Run = Callable[..., int]

BRINGS = "defaults: [/task@_global_.task: classification, _self_]\n"  # a task of xent's


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package of its own name on the path, and options in conf/."""
    tmp_path = tmp_path_factory.mktemp("own")
    package = tmp_path / "path" / tmp_path.name
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "loss": LOSS, "data": DATA, "model": MODEL}.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "conf/loss").mkdir(parents=True)
    (tmp_path / "conf/loss/own.yaml").write_text(f"{BRINGS}_target_: {tmp_path.name}.loss.OwnLoss\npower: 2.0\n")
    (tmp_path / "conf/data").mkdir()
    mnist = (CONF / "data/mnist_5k.yaml").read_text()
    (tmp_path / "conf/data/own.yaml").write_text(
        mnist.replace("src.data.mnist.MNIST5k", f"{tmp_path.name}.data.OwnData")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A command as a process of its own would run it: it knows nothing of those before."""

    def run(script: str, *words: object) -> int:
        trust.forget()
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        return guarded(evaluate.main if script == "evaluate.py" else train.main)

    yield run
    trust.forget()


def trained(here: Path, command: Run, *words: str) -> Path:
    assert command("train.py", "--config-dir", here / "conf", *words, *SETTINGS, f"runs={here / 'runs'}") == 0
    return only_run(here / "runs")


def test_an_own_loss_in_every_command(here: Path, command: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run, conf = trained(here, command, "loss=own"), here / "conf"
    named = f"loss._target_={here.name}.loss.OwnLoss"
    for words, expected in (
        ((), 2),
        (("--config-dir", conf), 0),
        ((f"--config-dir={conf}", "loss=own"), 0),
        (("-cd", conf, "data.eval_batch_size=9"), 0),
        ((named,), 0),
        ((f"loss._target_={here.name}.loss.Other",), 2),
        (("loss=own",), 2),  # says no more than the folder itself
        (("--config-dir", here / "path"), 2),
        (("--config-dir", here / "nowhere"), 2),
    ):
        assert command("evaluate.py", run, *words) == expected, words
    assert "--config-dir" in capfd.readouterr().err
    student = (*SETTINGS, "loss=distillation", f"teacher={run}", f"runs={here / 'students'}")
    assert command("train.py", *student) == 2
    assert f"{here.name}.loss.OwnLoss is neither the project's own" in capfd.readouterr().err
    assert command("train.py", "--config-dir", conf, *student) == 0
    before = result_of(run)["metrics"]
    for words in (("--config-dir", conf), (named,), ("--config-dir", conf, "loss=own")):
        (run / "result.json").unlink(missing_ok=True)
        assert command("train.py", f"resume={run}") == 2
        assert command("train.py", *words, f"resume={run}") == 0, words
        assert result_of(run)["metrics"] == before
    assert command("train.py", "--config-dir", conf, f"resume={run}", "loss=ce") == 2


def test_an_own_loss_in_a_network_that_is_loaded(here: Path, command: Run) -> None:
    run, named = trained(here, command, "loss=own"), f"{here.name}.loss.OwnLoss"
    for own in ((), f"{here.name}.loss.Other", ["FocalLoss"]):
        trust.forget()
        with pytest.raises(UserError, match=f"{named} is neither the project's own for loss nor named"):
            load(run, own=own)
    for own in (named, [named], sys.modules[f"{here.name}.loss"].OwnLoss):
        trust.forget()
        assert isinstance(load(run, own=own).loss, ClassificationLoss)


def test_own_data_in_every_command(here: Path, command: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run, conf = trained(here, command, "data=own"), here / "conf"
    for words, expected in (
        ((), 2),
        (("data.eval_batch_size=9",), 2),
        (("--config-dir", conf), 0),
        (("--config-dir", conf, "data.eval_batch_size=9"), 0),
        (("--config-dir", conf, "data=own"), 0),
        (("data=mnist_5k",), 0),
        ((f"data._target_={here.name}.data.OwnData",), 0),
        ((f"data._target_={here.name}.data.Other",), 2),
    ):
        assert command("evaluate.py", run, *words) == expected, words
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("loss.NoLoss", "is no loss (a sub-class of src.losses.base.Loss)"),
        ("loss.made", "'made' in loss.py is a function, and a class is wanted"),
        ("loss", "'loss' is a module; name a class in it"),
        ("loss.Other", "no 'Other' in loss.py (there: OwnLoss, Mean, Raises, NoLoss)"),
        ("broken.OwnLoss", "cannot be imported: ZeroDivisionError: division by zero"),
        ("syntax.OwnLoss", "syntax.py cannot be read as Python"),
    ],
)
def test_a_class_that_does_not_fit(
    target: str, message: str, here: Path, command: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "path" / here.name / "broken.py").write_text("class OwnLoss: pass\n1 / 0\n")
    (here / "path" / here.name / "syntax.py").write_text("class OwnLoss(\n")
    (here / "conf/loss/odd.yaml").write_text(f"{BRINGS}_target_: {here.name}.{target}\n")
    words = ("--config-dir", here / "conf", "loss=odd", *SETTINGS, f"runs={here / 'runs'}")
    assert command("train.py", *words) == 2
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        (
            "loss",
            "Mean",
            "loss=odd must give one number for each example, (34,) here, got (): leave the mean to the task",
        ),
        ("loss", "Raises", "AttributeError: 'Raises' object has no attribute 'nothing' (XENT_DEBUG=1 shows where)"),
        (
            "model",
            "Linear",
            "could not be computed: RuntimeError: index 3 is out of bounds",
        ),
        ("model", "Raises", "model: AttributeError: cannot assign module before Module.__init__() call (XENT_DEBUG=1"),
        ("data", "Broken", "data: KeyError: 'nothing' (XENT_DEBUG=1 shows where)"),
    ],
)
def test_a_class_that_does_not_work(
    group: str, name: str, message: str, here: Path, command: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """What would fail in the first step, or before it, is told before anything is written."""
    (here / f"conf/{group}").mkdir(exist_ok=True)
    option = here / f"conf/{group}/odd.yaml"
    keys = (here / "conf/data/own.yaml").read_text().partition("_target_:")[0] if group == "data" else ""
    keys += "defaults: [/task@_global_.task: classification, _self_]\n\n" if group == "loss" else ""
    rest = {"Linear": "classes: 3\n", "Broken": "batch_size: 20\n"}.get(name, "")
    option.write_text(f"{keys}_target_: {here.name}.{group}.{name}\n{rest}")
    settings = SETTINGS[:-2] if group == "model" else SETTINGS
    words = ("--config-dir", here / "conf", f"{group}=odd", *settings, "trainer.max_steps=2", f"runs={here / 'runs'}")
    assert command("train.py", *laid_over(map(str, words))) == 2
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (here / "runs").exists()


def test_a_folder_that_holds_no_options(here: Path, command: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("train.py", "--config-dir", here / "conf/loss", "loss=own") == 2
    assert "holds no options: they are files GROUP/NAME.yaml in it" in capfd.readouterr().err
    (here / "conf/loss/typo.yaml").write_text(f"target: {here.name}.loss.OwnLoss\n")
    assert command("train.py", "--config-dir", here / "conf", "loss=typo") == 2
    assert "loss has no _target_, which names its class" in capfd.readouterr().err
