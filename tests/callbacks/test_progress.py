"""What a log sees of a run's progress."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.callbacks import progress
from src.tasks import stepping
from tests.commands import QUIET, only_run, train
from tests.conftest import ROOT

WORDS = (
    *QUIET,
    *("data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=500", "model.widths=[8]"),
    *("trainer.max_steps=25", "trainer.val_every_n_steps=10", "trainer.log_every_n_steps=5"),
)


def lines(text: str) -> list[tuple[int, int]]:
    """(epoch, step) of each line of progress."""
    return [(int(epoch), int(step)) for epoch, step in re.findall(r"^epoch (\d+)  step (\d+)/25", text, re.MULTILINE)]


def test_one_line_at_each_validation(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that takes no time."""
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: 0.0))
    assert train(*WORDS, f"runs={tmp_path}") == 0
    output, errors = capfd.readouterr()
    assert lines(output) == [(1, 10), (2, 20), (3, 25)]
    assert "\r" not in output + errors
    assert errors == ""
    for value in re.findall(r"^epoch.*$", output, re.MULTILINE):
        assert re.search(r"train/loss \d.*val/accuracy \d.*val/nll \d.*steps/s", value), value
    log = (only_run(tmp_path) / "train.log").read_text()
    assert all(f"step {step}/25" in log for step in (10, 20, 25))


def test_one_line_after_five_seconds_without(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of which every look takes a second, in steps that Lightning sees one by one."""
    monkeypatch.setattr(stepping, "TURN", -1.0)
    now = iter(range(10_000))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    assert train(*WORDS, f"runs={tmp_path}") == 0
    steps = [step for _, step in lines(capfd.readouterr().out)]
    assert steps == [5, 10, 15, 20, 25], "a look at every step; validation at 10, 20 and 25, with one line each"


def test_hinge_shows_its_loss_where_there_is_no_nll(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(*WORDS, "loss=hinge", f"runs={tmp_path}") == 0
    output = capfd.readouterr().out
    assert re.search(r"step 25/25 .*val/accuracy \d\S+  val/loss \d", output) and "val/nll" not in output
    assert re.search(r"^nll +— +—", output, re.MULTILINE)


@pytest.mark.slow
def test_lines_remain_in_a_terminal_and_the_layers_are_in_the_log(tmp_path: Path) -> None:
    """In a pseudo-terminal of 80 columns: each validation's line stays, whole, and the bar leaves nothing behind."""
    pid, number = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "train.py", *WORDS, f"runs={tmp_path}"])
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    said = b""
    with contextlib.suppress(OSError):  # a terminal whose other end has gone
        while part := os.read(number, 2**16):
            said += part
    os.close(number)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"\r" in said.replace(b"\r\n", b""), "a bar was drawn"
    left = [line.rpartition("\r")[2] for line in said.decode().replace("\r\n", "\n").split("\n")]
    shown = [line for line in left if line.startswith("epoch ")]
    assert [int(re.search(r"step (\d+)/25", line)[1]) for line in shown] == [10, 20, 25]  # type: ignore[index]
    assert all("val/accuracy" in line and len(line) <= 80 for line in shown), shown
    assert not any("step/s" in line for line in left)
    log = (only_run(tmp_path) / "train.log").read_text()
    assert re.search(r"Linear +\| [\d.]+ K", log) and "[1, 1, 28, 28]" in log and "Linear  " not in said.decode()
    assert "step 20/25" in log
