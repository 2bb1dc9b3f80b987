"""How a command begins and ends in places that are not as usual, and under signals at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from src.config.guard import guarded
from tests.conftest import ROOT

TRAIN = [sys.executable, str(ROOT / "train.py")]


def ended(*words: str, shell: str = "", cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'exec "$0" "$@" {shell}', *TRAIN, *words] if shell else [*TRAIN, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, env={**os.environ, **env})


@pytest.mark.parametrize("shell", [">&-", "<&-", pytest.param("<&- >&-", marks=pytest.mark.slow)])
def test_streams_that_are_closed(shell: str, tmp_path: Path) -> None:
    done = ended("loss=fokal", shell=shell, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(b"xent: unknown loss 'fokal'"), done.stderr
    assert ended("loss=fokal", shell="2>&-", cwd=tmp_path).returncode == 2


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    done = ended("--help", shell=">/dev/full", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"xent: what was to be shown, or written, could not be: No space left on device\n"


def test_a_locale_that_is_not_utf_8(tmp_path: Path) -> None:
    posix = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = ended("samples.prompt='ü→'", "optimizer.lr='ß'", cwd=tmp_path, **posix)
    assert done.returncode == 2 and "got 'ß'" in done.stderr.decode()
    done = ended("loss='ß'", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and rb"unknown loss '\xdf'" in done.stderr
    done = subprocess.run([*TRAIN, b"data.root=a\xff"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 2 and rb"data.root=a\udcff is not UTF-8" in done.stderr


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$0" "$@"', *TRAIN], cwd=tmp_path / "gone", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (
        2,
        "xent: the current folder is not there any more; change to another (cd)\n",
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a:\tb\n\t- c\n", "mine.yaml, line 1: found character '\\t' that cannot start any token"),
        (b"gamma: 1\ngamma: 2\n", "mine.yaml, line 2: found duplicate key gamma"),
        (b"gamma: [1\n", "mine.yaml, line 2: expected ',' or ']'"),
        (b"gamma: 1 # caf\xe9\n", "mine.yaml is not UTF-8: byte 0xe9 at 14"),
        ("gamma: 1\n".encode("utf-16"), "mine.yaml is not UTF-8: byte 0xff at 0"),
        (b"gamma: \x01\n", "mine.yaml is no YAML: unacceptable character"),
        (b"- 1\n", "no loss is chosen"),
        (b"", "no loss is chosen"),
        (b"defaults:\n  - nothere\n", "unknown loss 'nothere'"),
    ],
)
def test_option_files_that_cannot_be_read(
    content: bytes, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import train

    (tmp_path / "own/loss").mkdir(parents=True)
    (tmp_path / "own/loss/mine.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), "--config-dir=own", "loss=mine"])
    assert guarded(train.main) == 2
    said = capsys.readouterr().err
    assert expected in said and len(said.splitlines()) == 1, said


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "xent: there is not enough memory"),
        (RecursionError("deep"), 2, "nested too deeply"),
        (OSError(36, "File name too long", "x" * 300), 2, "xxx: File name too long"),
        (OSError(28, "No space left on device", "here"), 1, "xent: here: No space left on device"),
        (RuntimeError("Could not determine home directory."), 2, "'~' names a home folder that is not there"),
        (TypeError("odd"), 1, "xent: a fault of xent itself, TypeError: odd (XENT_DEBUG=1 shows where)"),
    ],
)
def test_whatever_ends_a_command_is_one_message(
    error: BaseException, status: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> int:
        raise error

    assert guarded(main) == status
    said = capsys.readouterr().err
    assert expected in said and len(said.splitlines()) == bool(expected)


def hears(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM; until then Python itself is starting."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


AT_ANY_TIME = [
    0.0,
    0.5,
    1.5,
    *(pytest.param(t, marks=pytest.mark.slow) for t in (0.05, 0.1, 0.2, 0.4, 0.9, 1.3, 2, 3, 4)),
]


@pytest.mark.parametrize("seconds", AT_ANY_TIME)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_ends_without_a_traceback(signum: int, seconds: float, tmp_path: Path) -> None:
    many: Any = ["-m", "seed=0,1"] if signum == signal.SIGTERM else []
    with subprocess.Popen(
        [*TRAIN, *many, "trainer.max_epochs=999", f"runs={tmp_path}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        while not hears(process.pid):
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signum
    assert b"Traceback" not in errors and b"Exception ignored" not in errors, errors
