"""A forked job is, to itself and to its launcher, what a process of its own is."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import pytest

from src.sweep.launch import IMPORTS
from src.sweep.start import Forked, Process, Warm, serve
from tests.conftest import ROOT
from tests.processes import wait_for
from tests.sweep.probe import WAYS

PROBE = ("tests.sweep.probe", "first")


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(PROBE, ["json", "threading"]) as started:
        get_ready(started)
        yield started


def get_ready(warm: Warm) -> None:
    wait_for(warm.ready)


def ended(process: Process) -> int:
    wait_for(lambda: process.poll() is not None)
    return process.returncode


def both(warm: Warm, *words: str, **environment: str) -> list[tuple[Process, IO[bytes]]]:
    outputs = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
    starts = (warm.start, warm.start_cold)
    return [(start(words, file, environment), file) for start, file in zip(starts, outputs, strict=True)]


def said(output: IO[bytes]) -> tuple[dict[str, Any], list[str]]:
    output.seek(0)
    first, *rest = output.read().decode().splitlines()
    return json.loads(first), rest


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("wait", "undead")])
def test_a_forked_job_is_like_a_cold_one(way: str, warm: Warm) -> None:
    (forked, first), (cold, second) = both(warm, way, "a b", "ü", CUDA_VISIBLE_DEVICES="3,5")
    assert isinstance(forked, Forked) and isinstance(cold, subprocess.Popen)
    assert ended(forked) == ended(cold)
    (one, rest), (other, more) = said(first), said(second)
    assert one["words"] == ["first", way, "a b", "ü"] and one["environment"]["CUDA_VISIBLE_DEVICES"] == "3,5"
    assert one["parent"] == os.getpid() and one["session of its own"] and one["input"] == os.devnull
    assert one == other
    assert rest[0] == more[0] == "on stderr"
    assert rest[-1] == more[-1], "the last line of a traceback"


def test_a_forked_job_ends_without_freeing_each_object(warm: Warm) -> None:
    """Which would copy the pages of all that was imported; a cold one shares none."""
    (forked, first), (cold, second) = both(warm, "undead")
    assert (ended(forked), ended(cold)) == (3, 3)
    assert (said(first)[1], said(second)[1]) == (["on stderr"], ["on stderr", "freed"])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_as_it_ends_a_cold_one(signum: signal.Signals, warm: Warm) -> None:
    for process, output in both(warm, "wait"):
        wait_for(lambda file=output: os.fstat(file.fileno()).st_size)
        process.send_signal(signum)
        assert ended(process) == -signum
        process.send_signal(signum)  # nothing is there any more


def test_jobs_outlive_what_forked_them_and_the_next_start_cold() -> None:
    with Warm(PROBE, []) as warm, tempfile.TemporaryFile() as output:
        get_ready(warm)
        job = warm.start(["wait"], output, {})
        assert warm.process is not None
        warm.process.kill()
        warm.process.wait()
        next_one = warm.start(["3"], output, {})
        assert isinstance(job, Forked) and isinstance(next_one, subprocess.Popen)
        assert ended(next_one) == 3 and job.poll() is None
        assert warm.ready()
        job.send_signal(signal.SIGTERM)
        assert ended(job) == -signal.SIGTERM


def test_words_without_end_start_cold(warm: Warm) -> None:
    with Warm(PROBE, []) as own, tempfile.TemporaryFile() as output:
        get_ready(own)
        process = own.start(["0", *(f"{i:01000}" for i in range(2000))], output, {})
        assert isinstance(process, subprocess.Popen) and ended(process) == 0


def test_what_cannot_be_imported_starts_cold(capfd: pytest.CaptureFixture[str]) -> None:
    with Warm(PROBE, ["no.such.module"]) as warm, tempfile.TemporaryFile() as output:
        get_ready(warm)
        process = warm.start(["0"], output, {})
        assert isinstance(process, subprocess.Popen) and ended(process) == 0
    assert "No module named 'no'" in capfd.readouterr().err


def test_it_ends_with_the_with(warm: Warm) -> None:
    with Warm(PROBE, []) as own:
        get_ready(own)
        assert own.process is not None
        pid = own.process.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        raise AssertionError("it is still there")


@pytest.mark.slow
def test_what_is_imported_asks_for_no_gpu_and_starts_no_thread() -> None:
    """Neither comes through a fork. (OpenBLAS ends its own threads before one, and starts them after.)"""
    code = """
import importlib, sys, threading, torch
calls = []
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device", "get_device_name"):
    setattr(torch.cuda, name, lambda *args, _name=name, **kwargs: calls.append(_name))
for module in sys.argv[1:]:
    importlib.import_module(module, "src")
print(calls, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", code, *IMPORTS], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[] 1\n", done.stderr


def test_a_launcher_that_ends_before_it_heard_is_no_fault() -> None:
    """What it has not read, such as that all is imported, makes of its end a reset connection."""
    launchers, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        launchers.close()
        with contextlib.suppress(BaseException):
            own.send(b"!")
            serve(own, os.getppid())
        os._exit(1)
    own.close()
    time.sleep(0.1)
    launchers.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
