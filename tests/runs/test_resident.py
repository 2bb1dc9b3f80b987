"""Where data are kept changes no bit of a run, and a large text takes no memory."""

import shutil
import time
from pathlib import Path

import pytest

from src.data import text
from tests.commands import QUIET, only_run, process, train
from tests.runs.test_exactness import GPT, MLP, assert_same_run, snapshots_in

SMALL_GPT = (*GPT[1:], "data=text_file", "samples.count=0")


def test_a_run_begun_on_the_host_and_ended_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUIET, *MLP)
    assert train(*words, f"runs={tmp_path / 'device'}") == 0
    with snapshots_in(tmp_path, monkeypatch) as snapshots:
        assert train(*words, "data.resident=host", f"runs={tmp_path / 'host'}") == 0
    whole, host = only_run(tmp_path / "device"), only_run(tmp_path / "host")
    assert whole.relative_to(tmp_path / "device") == host.relative_to(tmp_path / "host")
    assert_same_run(whole, host)
    for resident, snapshot in (("device", snapshots[1]), ("host", snapshots[2])):
        shutil.rmtree(host)
        shutil.copytree(snapshot, host)
        assert train(*words, f"data.resident={resident}", f"runs={tmp_path / 'host'}") == 0
        assert_same_run(whole, host)


def test_a_run_on_a_mapped_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "text"
    path.write_text("To be, or not to be: that is the question — ✓\n" * 200)
    for name, least in (("memory", 2**25), ("mapped", 0)):
        monkeypatch.setattr(text, "MAPPED_FROM", least)
        assert train(*QUIET, *SMALL_GPT, f"data.path={path}", f"runs={tmp_path / name}") == 0
        assert (tmp_path / "cache").exists() == (name == "mapped")
    memory, mapped = only_run(tmp_path / "memory"), only_run(tmp_path / "mapped")
    assert memory.relative_to(tmp_path / "memory") == mapped.relative_to(tmp_path / "mapped")
    assert_same_run(memory, mapped)


def anonymous(*words: str) -> int:
    """The most anonymous memory that ``train.py WORDS`` has at any time, in bytes."""
    child = process(*words)
    most = 0
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text()
        most = max([most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))])
        time.sleep(0.01)
    output, errors = child.communicate()
    assert child.returncode == 0, output + errors
    return most * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's anonymous memory")
def test_a_large_text_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 MB, encoded and trained on, against a short text; in memory it would be three times its size and more."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    verse = "To be, or not to be: that is the question — ✓\n" * 2000
    most = {}
    for name, copies in (("short", 1), ("long", 3200)):
        path = tmp_path / name
        with path.open("w") as file:
            for i in range(copies):
                file.write(f"{i}\n{verse}")
        words = (*QUIET, *SMALL_GPT, f"data.path={path}", "trainer.max_epochs=null", "trainer.max_steps=20")
        most[name] = anonymous(*words, f"runs={tmp_path / 'runs'}")
        print(f"{name}: {path.stat().st_size / 1e6:.0f} MB, anonymous memory {most[name] / 1e6:.0f} MB")
    assert (tmp_path / "long").stat().st_size > 300e6
    assert most["long"] - most["short"] < 50e6
