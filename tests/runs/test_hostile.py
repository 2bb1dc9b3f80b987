"""Folders that would run code or write outside of themselves, through every command that takes a run's folder."""

import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import evaluate
import train
from src.config import trust
from src.config.guard import guarded
from src.folder.folder import RunFolder
from tests.commands import QUIET, only_run
from tests.commands import train as train_here

RUN = (*QUIET, "data.train_examples=60", "data.eval_batch_size=500", "model.widths=[8]", "trainer.max_steps=2")
GROUPS = ("data", "model", "loss", "optimizer", "scheduler")
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "train.py": lambda run: [f"resume={run}", "retry_failed=true"],
    "evaluate.py": lambda run: [str(run)],
    "teacher": lambda run: [*RUN, "loss=distillation", f"teacher={run}", f"runs={run.parent / 'runs'}"],
}


class Call:
    """Leaves the mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def popen(group: str) -> tuple[str, Callable[[dict[str, Any], Path], None]]:
    def change(cfg: dict[str, Any], mark: Path) -> None:
        cfg[group] = {"_target_": "subprocess.Popen", "args": ["touch", str(mark)]}

    return f"{group} starts a process", change


def opens(group: str, target: str) -> tuple[str, Callable[[dict[str, Any], Path], None]]:
    """torch's own class that opens a file, and so empties it."""

    def change(cfg: dict[str, Any], mark: Path) -> None:
        cfg[group] = {"_target_": target, "name": str(mark), "mode": "w"}

    return f"{group} is {target}", change


def named(group: str, target: str) -> tuple[str, Callable[[dict[str, Any], Path], None]]:
    return f"{group} is {target}", lambda cfg, mark: cfg[group].update(_target_=target)


def inside(place: str, value: Any) -> tuple[str, Callable[[dict[str, Any], Path], None]]:
    def change(cfg: dict[str, Any], mark: Path) -> None:
        *path, last = place.split(".")
        for key in path:
            cfg = cfg[key]
        cfg[last] = value(mark) if callable(value) else value

    return f"{place} {'' if callable(value) else value}".strip()[:60], change


def touching(mark: Path) -> dict[str, Any]:
    return {"_target_": "subprocess.Popen", "args": ["touch", str(mark)]}


CONFIGS = dict(
    [
        *map(popen, GROUPS),
        *(opens(group, "torch.serialization._open_file") for group in GROUPS),
        opens("optimizer", "torch.optim.adamw.torch.serialization._open_file"),
        opens("data", "src.data.cache.os.system"),
        opens("data", "src.data.mnist.Path"),
        *(named(group, f"own.{group}.Own") for group in GROUPS),
        named("optimizer", "torch.optim.lr_scheduler.LambdaLR"),
        named("loss", "src.models.mlp.MLP"),
        named("model", "src.losses.ce.CrossEntropyLoss"),
        named("scheduler", "src.optim.muon.Muon"),
        named("loss", "src.losses...own.Own"),
        named("loss", "src.losses/../../own.Own"),
        named("loss", "own"),
        inside("loss._target_", ["own.loss.Own"]),
        inside("loss", "own.loss.Own"),
        inside("model.widths", lambda mark: [touching(mark)]),
        inside("data.root", touching),
        inside("trainer", touching),
        inside("samples.prompt", touching),
        inside("choices.loss", touching),
        inside("_target_", "own.loss.Own"),
        inside("loss._partial_", True),
        inside("loss._args_", lambda mark: [touching(mark)]),
        inside("hydra", lambda mark: {"launcher": touching(mark)}),
        inside("facts", None),
        inside("facts", {"kind": "image"}),
        inside("facts.kind", "sound"),
        inside("facts.more", 1),
        inside("choices", ["loss"]),
        inside("callbacks", lambda mark: [touching(mark)]),
    ]
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("finished")
    assert train_here(*RUN, f"runs={runs}") == 0
    return only_run(runs)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What nothing may leave; a package of the user's, own, leaves it when any of it is imported."""
    mark = tmp_path / "mark"
    for module in ("__init__", *GROUPS):
        path = tmp_path / "path/own" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(mark)!r}, 'w').close()\nclass Own: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    return mark


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, in a folder of its own."""
    return Path(shutil.copytree(finished, tmp_path / "copies/run"))


def status(command: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    main = evaluate.main if command == "evaluate.py" else train.main
    monkeypatch.setattr(sys, "argv", [command, *words])
    for name in ("check", "check_config"):  # who made the folder made its checksums as well
        monkeypatch.setattr(RunFolder, name, lambda *_: None)
    trust.forget()
    return guarded(main)


@pytest.mark.parametrize(
    "command", [name if name == "train.py" else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
@pytest.mark.parametrize("case", CONFIGS)
def test_nothing_that_a_configuration_names_is_run(
    case: str,
    command: str,
    run: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    CONFIGS[case](config, mark)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    if command == "train.py":
        (run / "result.json").unlink()  # it is to be resumed
    ended = status(command, COMMANDS[command](run), monkeypatch)
    assert not mark.exists()
    errors = capfd.readouterr().err
    if ended == 0:  # what it does not load, it need not refuse
        unread = ("optimizer ", "scheduler ", *(("data ",) if command == "teacher" else ()))
        unread = ("facts",) if command == "train.py" else unread  # a run that is resumed asks its data again
        assert case.startswith(unread), errors
    else:
        assert ended == 2 and errors.count("\n") == 1 and "Traceback" not in errors, errors


def link(name: str) -> Callable[[Path, Path], None]:
    """A link in place of what the run writes, to a file or folder of somebody else's."""

    def change(run: Path, outside: Path) -> None:
        path = run / name
        target = outside / ("folder" if path.is_dir() or name == "evaluations" else "file")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)

    return change


LINKS = (
    *("metrics.csv", "timing.csv", "train.log", "checkpoints", "checkpoints/last.ckpt", "evaluations", "figures"),
    *("config.yaml", "result.json", "weights.safetensors", "predictions.npz", ".lock", ".result.json.partial"),
    *(".config.yaml.partial", "checkpoints/.last.ckpt.partial", ".weights.safetensors.partial"),
)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("overwrite=true",), ("evaluate",)], ids=["resumed", "anew", "evaluated"])
@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_written_through_a_link(
    name: str, words: tuple[str, ...], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    source = run / name
    (outside / "file").write_bytes(source.read_bytes() if source.is_file() else b"somebody else's")
    for file in run.glob("checkpoints/*"):
        shutil.copy(file, outside / "folder")
    if words != ("evaluate",) and name != "result.json":
        (run / "result.json").unlink()
    link(name)(run, outside)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.rglob("*") if path.is_file()}
    if words == ("evaluate",):
        status("evaluate.py", [str(run)], monkeypatch)
    else:
        status("train.py", [f"resume={run}", *words], monkeypatch)
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.rglob("*") if path.is_file()
    }


PICKLES = ("checkpoints/last.ckpt", "weights.safetensors", "predictions.npz", "hpc_ckpt_1.ckpt", "config.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", PICKLES)
def test_nothing_is_unpickled(
    name: str, command: str, run: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if name == "config.yaml":
        (run / name).write_text(f"!!python/object/apply:os.mkdir ['{mark}']\n")
    elif name == "predictions.npz":
        np.savez(run / name, targets=np.array([Call(mark)]), log_probs=np.array([Call(mark)]))
    else:
        (run / name).write_bytes(pickle.dumps(Call(mark)))
    if command == "train.py":
        (run / "result.json").unlink()
    status(command, COMMANDS[command](run), monkeypatch)
    assert not mark.exists()
    assert "Traceback" not in capfd.readouterr().err


def test_a_text_that_hydra_would_replace_stays_one(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The environment of who tests a run is none of its folder's business."""
    monkeypatch.setenv("SECRET", "of this user")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["resident"] = "${oc.env:SECRET}"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for words in ([], ["data.eval_batch_size=9"]):
        assert status("evaluate.py", [str(run), *words], monkeypatch) == 2
        assert "of this user" not in capfd.readouterr().err
