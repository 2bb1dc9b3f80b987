"""What becomes of a run's folder when somebody, or the disk, changed it: it is noticed, or nothing depends on it."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.folder.folder import RunFolder
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, laid_over, only_run, process, result_of, train
from tests.conftest import ROOT
from tests.processes import wait_for

RUN = (
    *(*QUIET, "data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=300", "model.widths=[8]"),
    *("trainer.max_steps=6", "trainer.val_every_n_steps=2", "trainer.log_every_n_steps=2", "checkpoint.best=true"),
)


def bits(run: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    result = result_of(run)
    result.pop("run")
    return (run / "weights.safetensors").read_bytes(), (run / "metrics.csv").read_bytes(), result


def fail_at(step: int, patch: pytest.MonkeyPatch) -> None:
    right, calls = SupervisedTask.batch_loss, iter(range(1, 99))

    def batch_loss(self: SupervisedTask, *given: Any) -> Any:
        if next(calls) == step:
            raise RuntimeError("out of memory")
        return right(self, *given)

    patch.setattr(SupervisedTask, "batch_loss", batch_loss)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of runs with a finished one, and the like with one that failed after step 4."""
    finished, failed = (tmp_path_factory.mktemp(name) for name in ("finished", "failed"))
    assert train(*RUN, f"runs={finished}") == 0
    with pytest.MonkeyPatch.context() as patch:
        fail_at(5, patch)
        assert train(*RUN, f"runs={failed}") == 1
    return {"finished": finished, "failed": failed}


def copied(made: dict[str, Path], kind: str, to: Path) -> Path:
    shutil.copytree(made[kind], to, dirs_exist_ok=True)
    return only_run(to)


def flip(path: Path) -> None:
    """One bit, in the middle of what is neither padding nor the time of a part of a zip file."""
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SLOW = pytest.mark.slow
DAMAGES = [flip, pipe, *(pytest.param(damage, marks=SLOW) for damage in (cut, empty, directory))]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.yaml", "result.json", "metrics.csv", "checkpoints/last.ckpt"])
def test_damage_is_noticed_on_resume(
    name: str, damage: Callable[[Path], None], made: dict[str, Path], tmp_path: Path
) -> None:
    """Nothing is trained on from it; ``overwrite`` gives the run that was meant, and deletes no folder or pipe."""
    run = copied(made, "failed", tmp_path)
    damage(run / name)
    with pytest.raises(UserError, match=rf"{name}.*(overwrite=true|its own command)"):
        train(*RUN, f"runs={tmp_path}", "retry_failed=true")
    if damage in (directory, pipe):
        with pytest.raises(UserError, match=f"{name} is nothing that a run writes: nothing in .* is deleted"):
            train(*RUN, f"runs={tmp_path}", "overwrite=true")
        assert (run / name).exists()
    else:
        assert train(*RUN, f"runs={tmp_path}", "overwrite=true") == 0
        assert bits(run) == bits(only_run(made["finished"]))


@pytest.mark.parametrize(
    "name", ["config.yaml", "result.json", "weights.safetensors", "predictions.npz", "metrics.csv"]
)
def test_a_flipped_bit_of_a_finished_run_is_noticed(name: str, made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "finished", tmp_path)
    flip(run / name)
    with pytest.raises(UserError, match=rf"{name}.*(overwrite=true|its own command)"):
        train(*RUN, f"runs={tmp_path}")
    assert train(*RUN, f"runs={tmp_path}", "overwrite=true") == 0
    assert bits(run) == bits(only_run(made["finished"]))


@pytest.mark.parametrize("name", ["last", "best"])
def test_every_flipped_bit_of_a_checkpoint_is_noticed_or_harmless(
    name: str, made: dict[str, Path], tmp_path: Path
) -> None:
    from src.callbacks.checkpoint import load
    from src.system.files import DamagedError
    from tests.runs.test_exactness import assert_same

    path = tmp_path / "a.ckpt"
    right = getattr(RunFolder(only_run(made["finished"])), name)
    content, whole, noticed = right.read_bytes(), load(right), 0
    step = len(content) // 100
    for place in range(7, len(content), step):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        try:
            assert_same(load(path), whole, f"byte {place}")
        except DamagedError:
            noticed += 1
    assert noticed > 60


@pytest.mark.parametrize("extra", ["retry_failed=true", "overwrite=true"])
def test_a_log_that_is_a_pipe_is_not_waited_for(extra: str, made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "failed", tmp_path)
    pipe(run / "train.log")
    with pytest.raises(UserError, match=r"train.log is nothing that a run writes"):
        train(*RUN, f"runs={tmp_path}", extra)


def test_a_table_cut_short_is_not_lengthened(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "failed", tmp_path)
    for name in ("metrics.csv", "timing.csv"):
        content = (run / name).read_bytes()
        os.truncate(run / name, 40)
        with pytest.raises(UserError, match=f"{name} is damaged: it does not hold the rows"):
            train(f"resume={run}", "retry_failed=true")
        (run / name).write_bytes(content)
    assert train(f"resume={run}", "retry_failed=true") == 0
    assert bits(run) == bits(only_run(made["finished"]))


def test_a_checkpoint_of_another_run_is_not_resumed_from(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "failed", tmp_path)
    assert train(*RUN, "optimizer.lr=0.5", "seed=3", f"runs={tmp_path / 'other'}") == 0
    shutil.copy(only_run(tmp_path / "other") / "checkpoints/last.ckpt", run / "checkpoints/last.ckpt")
    said = "last.ckpt is a checkpoint of another run: optimizer.lr is 0.5 there and 0.002 here, seed is 3 there and 0"
    with pytest.raises(UserError, match=said):
        train(*RUN, f"runs={tmp_path}", "retry_failed=true")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr: 0.002", "lr: 0.003", "optimizer.lr is 0.002 there and 0.003 here"),
        ("threads: 1", "threads: 2", "trainer.threads is 1 there and 2 here"),
        ("seed: 0", "seed: 1", "seed|changed"),
        ("- '9'", "- nine", "config.yaml is damaged"),
    ],
)
def test_resume_of_a_changed_configuration(
    old: str, new: str, said: str, made: dict[str, Path], tmp_path: Path
) -> None:
    run = copied(made, "failed", tmp_path)
    text = (run / "config.yaml").read_text()
    assert text.count(old) == 1
    (run / "config.yaml").write_text(text.replace(old, new))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=said):
        train(f"resume={run}", "retry_failed=true")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_paths_may_be_set_right_by_hand(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "failed", tmp_path)
    text = (run / "config.yaml").read_text().replace(f"runs: {made['failed']}", f"runs: {tmp_path}")
    (run / "config.yaml").write_text(text)
    assert train(f"resume={run}", "retry_failed=true") == 0
    assert bits(run) == bits(only_run(made["finished"]))


def test_resume_after_the_data_changed(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("to be or not to be " * 200)
    words = (
        *(*QUIET, "data=text_file", f"data.path={text}", "data.block_size=8", "data.batch_size=4", "model=gpt"),
        *("model.n_layer=1", "model.n_head=1", "model.n_embd=8", "trainer.max_steps=6", "samples.count=0"),
        *("trainer.val_every_n_steps=2", "trainer.limit_eval_batches=1", f"runs={tmp_path / 'runs'}"),
    )
    with pytest.MonkeyPatch.context() as patch:
        fail_at(5, patch)
        assert train(*words) == 1
    run = only_run(tmp_path / "runs")
    text.write_text("to be or not to eb " * 200)
    with pytest.raises(UserError, match=r"was begun otherwise: the content of the data \(its SHA-256\) is .* there"):
        train(f"resume={run}", "retry_failed=true")
    text.rename(tmp_path / "moved")
    (tmp_path / "moved").write_text("to be or not to be " * 200)
    moved = tuple(word.replace(f"data.path={text}", f"data.path={tmp_path / 'moved'}") for word in words)
    assert train(*moved, "retry_failed=true") == 0
    assert result_of(run)["status"] == "finished", "the same content at another place is the same run"


def test_what_others_put_there_is_never_deleted(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "finished", tmp_path)
    others = {
        *(run / name for name in ("thesis.txt", "checkpoints/mine.ckpt", "figures/mine.png", "evaluations/notes.txt")),
        *(run / name for name in ("src/a.py", ".hidden", "config.yaml.bak")),
    }
    for path in sorted(others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("work of years")
        before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
        with pytest.raises(UserError, match=r"is nothing that a run writes: nothing in .* is deleted; move it away"):
            train(*RUN, f"runs={tmp_path}", "overwrite=true")
        assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
        path.unlink()
        if path.parent.name == "src":
            path.parent.rmdir()
    assert train(*RUN, f"runs={tmp_path}", "overwrite=true") == 0


def test_no_link_is_followed(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "finished", tmp_path / "runs")
    shutil.move(run / "checkpoints", tmp_path / "elsewhere")
    (run / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"checkpoints is nothing that a run writes"):
        train(*RUN, f"runs={tmp_path / 'runs'}", "overwrite=true")
    assert result_of(run)["status"] == "finished" and (tmp_path / "elsewhere/last.ckpt").exists()


def test_all_that_a_run_writes_is_known(tmp_path: Path) -> None:
    """A run with figures, curves, profile, and what a killed write leaves, can be trained anew."""
    words = [word for word in RUN if word not in ("logger=csv", "figures=false")]
    assert train(*words, "profiler=true", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert len(list(run.rglob("*"))) > 15
    for name in (".result.json.partial", "checkpoints/.last.ckpt.partial", "evaluations/shift_noise.csv"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("half")
    RunFolder(run).clear()
    assert [path.name for path in run.rglob("*")] == [".lock"]


def dying_after(deletions: int) -> Callable[..., None]:
    left, unlink = iter(range(deletions)), Path.unlink

    def dying(self: Path, missing_ok: bool = False) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    return dying


def test_a_kill_while_a_run_is_deleted_leaves_one_to_be_trained(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each number of deletions: never a finished run with half its files, and the same command trains it."""
    whole = bits(only_run(made["finished"]))
    deletions = 0
    while True:
        runs = tmp_path / str(deletions)
        run = copied(made, "finished", runs)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", dying_after(deletions))
            try:
                RunFolder(run).clear()
                break
            except KeyboardInterrupt:
                pass
        assert (run / "result.json").exists() == (deletions == 0)
        if deletions < 3:
            assert train(*RUN, f"runs={runs}") == 0
            assert bits(run) == whole
        deletions += 1
    assert deletions > 6


def test_a_copy_is_not_taken_for_the_run(made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "finished", tmp_path)
    copy = run.parent.with_name(f"backup-{run.parent.name}")
    shutil.copytree(run.parent, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert train(*RUN, f"runs={tmp_path}", "overwrite=true") == 0
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
    shutil.rmtree(run.parent)
    assert train(*RUN, f"runs={tmp_path}") == 0
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before, "and a backup stays one"
    assert bits(run) == bits(copy / "seed0")


# flock is what a process does before it looks at a run
WAIT = """
import os, sys, time
def hold(event, args):
    if event == "fcntl.flock" and not os.path.exists(os.environ["GATE"] + ".here"):
        open(os.environ["GATE"] + ".here", "w").close()
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.02)
sys.addaudithook(hold)
"""


@pytest.mark.slow
def test_what_another_process_did_before_the_lock_is_seen(made: dict[str, Path], tmp_path: Path) -> None:
    """One process is held when it is about to lock; another trains to step 4 meanwhile, and the first resumes that."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(WAIT)
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    path = os.pathsep.join(filter(None, [str(tmp_path / "hook"), os.environ.get("PYTHONPATH")]))
    late = process(*RUN, "retry_failed=true", f"runs={runs}", env={"PYTHONPATH": path, "GATE": str(gate)})
    wait_for(lambda: Path(f"{gate}.here").exists() or late.poll() is not None)
    with pytest.MonkeyPatch.context() as patch:
        fail_at(5, patch)
        assert train(*RUN, f"runs={runs}") == 1
    gate.touch()
    output, errors = late.communicate()
    assert late.returncode == 0, output + errors
    assert "after step 4" in output
    assert bits(only_run(runs)) == bits(only_run(made["finished"]))


def test_a_run_that_is_deleted_while_it_trains(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    right = SupervisedTask.batch_loss
    calls = iter(range(1, 99))

    def batch_loss(self: SupervisedTask, *given: Any) -> Any:
        if next(calls) == 3:
            shutil.rmtree(tmp_path / "runs")
        return right(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTask, "batch_loss", batch_loss)
        assert train(*RUN, f"runs={tmp_path / 'runs'}") == 1
    assert "was deleted while it was trained" in capfd.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_every_file_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert train(*RUN, f"runs={tmp_path}") == 0
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in only_run(tmp_path).rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o644}, modes


def test_a_file_system_without_locks_is_told_from_a_busy_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("src.folder.lock.fcntl.flock", flock)
    with pytest.raises(UserError, match=r"has no locks \(No locks available\).*runs=FOLDER"):
        train(*RUN, f"runs={tmp_path / 'runs'}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/tmp/nowhere/x")])
def test_a_lock_that_is_none(make: Callable[[Path], Any], made: dict[str, Path], tmp_path: Path) -> None:
    run = copied(made, "finished", tmp_path)
    (run / ".lock").unlink()
    make(run / ".lock")
    start = time.monotonic()
    with pytest.raises(UserError, match=r"cannot be (made or )?locked"):
        train(*RUN, f"runs={tmp_path}", "overwrite=true")
    assert time.monotonic() - start < 20 and (run / "weights.safetensors").exists()


FULL = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, "train.py", *sys.argv[2:]])
"""


@pytest.mark.parametrize("room", [*(pytest.param(room, marks=SLOW) for room in (100, 3000)), 60_000])
def test_a_full_disk_is_called_one(room: int, tmp_path: Path) -> None:
    """No file may grow beyond some bytes: config.yaml has no room, or the checkpoint, or something later."""
    words = (*RUN, "model.widths=[64]", f"runs={tmp_path}")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room), *laid_over(words)], cwd=ROOT, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2) and "the disk is full" in said and "File too large" in said, said
    assert "Traceback" not in said and "unexpected pos" not in said
    assert not list(tmp_path.rglob("*.partial"))
    assert train(*laid_over(words), "retry_failed=true") == 0


@pytest.mark.parametrize("words", [("runs=" + "x" * 300,), ("resume=" + "x" * 300,)])
def test_a_name_that_is_too_long(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="File name too long"):
        train(*(RUN if words[0].startswith("runs") else ()), *words)


@pytest.mark.parametrize("name", ["ü\u2028", *(pytest.param(name, marks=SLOW) for name in ("\u202e", "\udcff"))])
def test_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    from src.config.entry import resolve
    from src.runs.run import execute
    from tests.commands import composed

    def command(**more: Any) -> int:
        asked = composed(*RUN)
        cfg = resolve(asked.cfg) | {"runs": str(tmp_path / name)} | more
        return execute(cfg, asked.choices, asked.typed)

    assert command() == 0
    run = only_run(tmp_path / name)
    assert RunFolder(run).read_config()["runs"] == str(tmp_path / name)
    (run / "result.json").unlink()
    assert command() == 0
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
