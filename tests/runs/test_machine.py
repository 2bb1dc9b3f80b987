"""How a run takes threads and memory from the machine, and what it tells of the code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.runs import machine
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc, and libtorch_cpu.so")
# 120 MB that come and go at the top of the heap: more than glibc keeps there, in pieces that it does not map apart
FAULTS = """
import resource, sys
from src.runs.machine import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
def step():
    pieces = [bytearray(60_000) for _ in range(2_000)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

DYNAMIC = """
import ctypes, pathlib, torch
from src.runs.machine import set_threads
library = ctypes.CDLL(str(pathlib.Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
set_threads({"threads": torch.get_num_threads(), "devices": 1, "strategy": None})
print(library.mkl_serv_get_dynamic() if hasattr(library, "mkl_serv_get_dynamic") else "no MKL")
"""


def said(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_freed_memory_is_kept_for_the_next_step() -> None:
    given_back, kept = int(said(FAULTS, "given back")), int(said(FAULTS, "kept"))
    assert given_back > 10 * kept  # the heap may still grow a little


def test_as_many_threads_as_there_are_leave_mkl_as_it_is() -> None:
    assert said(DYNAMIC) in ("1", "no MKL")


def test_only_a_gpu_is_told_to_repeat_itself() -> None:
    code = """
import os, torch
from src.runs import machine
for device in ("cpu", "gpu"):
    machine.repeat_exactly(device)
    enabled = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    print(*enabled, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
"""
    environment = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False False None", "True True :4096:8"], done.stderr


def test_the_commit_is_told_and_the_repository_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git status would write the file's new time into its index, and hold a lock meanwhile."""

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "--quiet", "-m", "one")
    os.utime(tmp_path / "file", (1, 1))
    before = (tmp_path / ".git/index").read_bytes()
    monkeypatch.setattr(machine, "FOLDER", tmp_path / "src")
    assert machine.commit() == git("rev-parse", "HEAD").strip()
    assert (tmp_path / ".git/index").read_bytes() == before
    (tmp_path / "file").write_text("b")
    assert machine.commit().endswith("+")
