"""A run's folder: its name, its lock, and files that are whole."""

import ast
import copy
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.config.entry import resolve
from src.config.errors import UserError
from src.folder.folder import WRITTEN, RunFolder
from src.folder.identity import identity, same_data, slug
from src.system.files import write_text, written_whole
from tests.commands import QUIET, composed, only_run, train
from tests.conftest import ROOT

FACTS = {"fingerprint": None, "teacher": None, "device": "cpu"}
# What cannot change a run's numbers, or is among the facts by its content.
NEUTRAL = {
    *("seed", "experiment", "logger", "x_axis", "figures", "runs", "resume", "teacher", "judge", "overwrite"),
    *("retry_failed", "profiler", "name", "label", "note", "tags"),
    *("trainer.accelerator", "trainer.log_every_n_steps", "checkpoint.every_n_steps"),
    *("samples.count", "samples.length", "samples.temperature", "samples.top_k", "samples.prompt"),
    *("data.root", "data.path", "data.resident"),
}


def leaves(cfg: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in cfg.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changed(cfg: dict[str, Any], key: str) -> dict[str, Any]:
    """The same with another value at the dotted ``key``."""
    cfg = copy.deepcopy(cfg)
    node = cfg
    *path, last = key.split(".")
    for name in path:
        node = node[name]
    node[last] = "something else"
    return cfg


@pytest.mark.parametrize(
    "words",
    [
        ("data=mnist", "model=mlp", "loss=focal"),
        ("data=image_folder", "data.root=x", "model=resnet", "optimizer=sgd", "scheduler=step", "loss=bce"),
        ("data=text_file", "data.path=x", "model=gpt", "scheduler=cosine"),
    ],
)
def test_identity_changes_with_every_key_that_matters(words: tuple[str, ...]) -> None:
    cfg = resolve(composed(*words).cfg)
    same = {key for key in leaves(cfg) if identity(changed(cfg, key), FACTS) == identity(cfg, FACTS)}
    assert same == NEUTRAL & set(leaves(cfg))


def test_identity_of_equal_numbers_is_one() -> None:
    cfgs = [resolve(composed("loss=focal", *words).cfg) for words in ((), ("loss.gamma=2",), ("loss.gamma=2.0",))]
    assert len({identity(cfg, FACTS) for cfg in cfgs}) == 1
    assert identity(resolve(composed("compile=true").cfg), FACTS) != identity(resolve(composed().cfg), FACTS)


@pytest.mark.parametrize("fact", FACTS)
def test_identity_changes_with_every_fact(fact: str) -> None:
    cfg = resolve(composed().cfg)
    assert identity(cfg, {**FACTS, fact: "another"}) != identity(cfg, FACTS)


def test_identity_is_that_of_another_process() -> None:
    """No order of keys and no hash seed in it."""
    cfg = resolve(composed("loss=focal").cfg)
    backwards = {key: dict(reversed(v.items())) if isinstance(v, dict) else v for key, v in reversed(cfg.items())}
    assert identity(backwards, FACTS) == identity(cfg, FACTS)
    code = f"from src.folder.identity import identity; print(identity({cfg!r}, {FACTS!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == identity(cfg, FACTS)
    assert re.fullmatch("[0-9a-f]{8}", identity(cfg, FACTS))


DATA = {"_target_": "x.Y", "root": "a", "eval_batch_size": 9, "resident": "auto", "pad": 4, "val_fraction": 0.1}


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        *(("root", "b", True), ("eval_batch_size", 8, True), ("resident", "host", True), ("path", "z", True)),
        *(("pad", 4.0, True), ("pad", 5, False), ("val_fraction", 0.2, False), ("_target_", "x.Z", False)),
    ],
)
def test_same_data_are_the_same_content_and_settings_wherever_they_lie(key: str, value: Any, same: bool) -> None:
    stored = {"data": DATA, "identity_facts": {"fingerprint": "abc", "device": "cpu"}, "seed": 0}
    other = {"data": DATA | {key: value}, "identity_facts": {"fingerprint": "abc", "device": "gpu"}, "seed": 1}
    assert (same_data(stored) == same_data(other)) is same
    assert same_data(stored) != same_data(stored | {"identity_facts": {"fingerprint": "abd"}})


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "ce"),
        (("loss=focal", "loss.gamma=3"), "focal-gamma3"),
        (("data=cifar10", "model=resnet", "model.depth=8"), "ce-depth8"),
        (("experiment=mnist_teacher", "model=mlp"), "ce-mlp"),
        (("optimizer=sgd", "optimizer.lr=1e-3", "optimizer.momentum=0"), "ce-sgd-lr1e-3-momentum0"),
        (("model.widths=[400,400]", "seed=3", "logger=csv", "runs=/a b/c", "trainer=cpu"), "ce-widths400x400"),
        (("loss=poly1", "loss.epsilon=-1"), "poly1-epsilon-1"),
        (("trainer.max_epochs=5", "loss=ce", "loss.class_weights=balanced"), "ce-class_weights_balanced-max_epochs5"),
        (("data.binary=[[0, 1], [8,9]]", "loss=bce"), "bce-binary0x1x8x9"),
    ],
)
def test_slug(words: tuple[str, ...], name: str) -> None:
    command = composed(*words)
    assert slug(command.choices, command.typed) == name


def test_slug_needs_no_quotes_and_is_short() -> None:
    typed = ["+x='a b$(c)/../d;e'", "model.widths=[1,2,3]", *(f"optimizer.lr{i}=0.{i}" for i in range(99))]
    name = slug({"loss": "ce"}, typed)
    assert re.fullmatch(r"[\w.+-]{1,60}", name)
    assert "/" not in name and not name.startswith(".")


def test_slug_that_leaves_words_out_says_so() -> None:
    """It never cuts a word in two, and what a loss is given comes first."""
    long = [f"data.train_examples={10**9 + i}" for i in range(3)]
    name = slug({"loss": "focal"}, [*long, "loss.gamma=3"])
    assert name == "focal-gamma3-train_examples1000000000-etc"
    assert slug({"loss": "focal"}, ["loss.gamma=3", f"data.x={'long' * 30}"]) == "focal-gamma3-etc"


def test_lock_keeps_a_second_writer_out(tmp_path: Path) -> None:
    words = (*QUIET, "debug=fast", "data.train_examples=100", "model.widths=[8]", f"runs={tmp_path}")
    assert train(*words) == 0
    run = only_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with RunFolder(run).locked():
        for extra in ((), ("overwrite=true",)):
            with pytest.raises(UserError, match="another process is training this very run"):
                train(*words, *extra)
        code = (
            f"from pathlib import Path; from src.folder.folder import RunFolder; RunFolder(Path({str(run)!r})).locked()"
        )
        other = subprocess.run([sys.executable, "-c", f"{code}.__enter__()"], cwd=ROOT, capture_output=True, text=True)
        assert other.stderr.endswith(f"UserError: {run}: another process is training this very run\n")
        assert train(*words, "seed=1") == 0, "another seed is another run"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert train(*words, "overwrite=true") == 0


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from src.folder.folder import RunFolder\n"
        f"with RunFolder(Path({str(tmp_path)!r})).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with RunFolder(tmp_path).locked():
        pass


def test_writer_killed_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    code = (
        "import os, signal; from pathlib import Path; from src.system.files import written_whole\n"
        f"with written_whole(Path({str(path)!r})) as file:\n"
        "    file.write(b'half of'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """On a full disk what is half written must go, or there is no room to say why the run failed."""
    path = tmp_path / "file"
    write_text(path, "old")

    def write() -> None:
        with written_whole(path) as file:
            file.write(b"half of")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_finished_is_shown_from_a_folder_to_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file is made there, not even a lock; what is to be trained is refused."""
    words = (*QUIET, "data.train_examples=100", "model.widths=[4]", "trainer.max_steps=2", f"runs={tmp_path / 'runs'}")
    assert train(*words) == 0
    run = only_run(tmp_path / "runs")
    (run / ".lock").unlink()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))  # root may write
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    for again in (words, (f"resume={run}",)):
        assert train(*again) == 0
        assert capsys.readouterr().out.startswith("this run is finished")
    for refused in ((*words, "overwrite=true"), (*words, "seed=1")):
        with pytest.raises(UserError, match=r"^runs: .* not writable$"):
            train(*refused)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_is_found_whatever_its_folder_is_called(tmp_path: Path) -> None:
    """Its name in the folder is for readers; the hash behind it says which run it is. A note and tags are kept."""
    words = (*QUIET, "data.train_examples=100", "model.widths=[8]", "trainer.max_steps=2", f"runs={tmp_path}")
    own = ("name=lr_study", "label=first", "note=which lr: 1e-3 or {1e-2}?", "tags=[lr,draft]")
    assert train(*words, own[0], own[1], f"note='{own[2][5:]}'", own[3]) == 0
    run = only_run(tmp_path)
    assert re.fullmatch("lr_study/first-[0-9a-f]{8}/seed0", str(run.relative_to(tmp_path)))
    config = RunFolder(run).read_config()
    assert (config["note"], config["tags"]) == ("which lr: 1e-3 or {1e-2}?", ["lr", "draft"])
    before = (run / "result.json").stat().st_mtime_ns
    for other in (("name=lr_study",), ("name=lr_study", "label=second", "tags=[]")):
        assert train(*words, *other) == 0
        assert only_run(tmp_path) == run and (run / "result.json").stat().st_mtime_ns == before
    assert train(*words, "name=lr_study", "label=first", "optimizer.lr=1e-3") == 0
    called = {path.name[:-9] for path in (tmp_path / "lr_study").iterdir()}
    assert called == {"first", "ce-train_examples100-widths8-max_steps2-lr1e-3"}, "two runs are never called alike"


@pytest.mark.parametrize("word", ["name=a/b", "name=..", "name=debug", "label=-x", "name=" + "x" * 81, "name='é'"])
def test_a_name_is_one_folder(word: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{word[:4]}.* must be a folder's name .* got "):
        train(*QUIET, word, f"runs={tmp_path}")
    assert list(tmp_path.iterdir()) == []


def drawn() -> Iterator[str]:
    """The names of the pictures that the families draw of a finished run, read off the source."""
    for path in [*(ROOT / "src/tasks").glob("*.py"), *(ROOT / "src/figures").glob("*.py")]:
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and "[str, Figure]" in ast.unparse(function.returns or function):
                for node in ast.walk(function):
                    if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                        name = node.value.elts[0]
                        yield from [name.value] if isinstance(name, ast.Constant) else []


def test_a_run_may_delete_every_picture_that_a_family_draws() -> None:
    """Else ``overwrite=true`` takes it for somebody else's."""
    names = {f"{name}.png" for name in drawn()}
    assert {"confusion.png", "traversal.png", "singular_values.png", "times.png", "lines.png"} <= names
    assert names <= set(WRITTEN["figures"])
