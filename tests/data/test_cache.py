"""Files that are made once: whole or not there, by one process, in a place that can be written."""

import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from src.data import cache
from src.data.base import DataError
from src.runs.files import written_whole

LABELS, PIXELS = np.arange(5, dtype=np.int64) * 2**40, np.arange(30, dtype=np.uint8).reshape(5, 3, 2)


def write(target: Path, state: str = "now") -> None:
    shapes: cache.Shapes = {"labels": ("I64", LABELS.shape), "pixels": ("U8", PIXELS.shape)}
    with written_whole(target) as file:
        file.write(cache.header(shapes, {"state": state}) + LABELS.tobytes() + PIXELS.tobytes())


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The user's cache and the system's temporary folder, neither there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "cache", tmp_path / "tmp"


def test_the_file_is_one_of_safetensors() -> None:
    path = cache.kept("kind", "place", "now", write)
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"state": "now"}
        np.testing.assert_array_equal(file.get_tensor("labels"), LABELS)
        np.testing.assert_array_equal(file.get_tensor("pixels"), PIXELS)
    tensors = cache.mapped(path)
    assert torch.equal(tensors["labels"], torch.from_numpy(LABELS))
    assert torch.equal(tensors["pixels"], torch.from_numpy(PIXELS))


def test_it_is_made_once_and_anew_for_another_state(places: tuple[Path, Path]) -> None:
    made: list[str] = []

    def make(target: Path) -> None:
        made.append(state)
        write(target, state)

    for state in ("one", "one", "two", "two"):
        path = cache.kept("kind", "place", state, make)
        assert cache.metadata(path)["state"] == state
    assert made == ["one", "two"]
    assert [p.name for p in places[0].rglob("*") if p.is_file()] == [path.name]  # no lock, no half file
    assert path != cache.kept("kind", "elsewhere", "one", write)


@pytest.mark.parametrize("cut", [1, 40, 100])
def test_a_file_that_is_not_whole_is_made_anew(cut: int) -> None:
    path = cache.kept("kind", "place", "now", write)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    assert cache.metadata(path) == {}
    assert cache.kept("kind", "place", "now", write) == path
    assert path.read_bytes() == whole


def make_slowly(target: Path) -> None:
    with Path(os.environ["MADE"]).open("a") as file:
        file.write("made\n")
    time.sleep(0.5)
    write(target)


def ask(together: Barrier) -> None:
    together.wait()
    torch.testing.assert_close(
        cache.mapped(cache.kept("kind", "place", "now", make_slowly))["pixels"][0, 0, 1].item(), 1
    )


def test_of_many_processes_one_makes_it(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    made = places[0].with_name("made")
    monkeypatch.setenv("MADE", str(made))
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(4)
    children = [fork.Process(target=ask, args=(together,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert made.read_text() == "made\n"
    assert len([p for p in places[0].rglob("*") if p.is_file()]) == 1


def write_half(target: Path) -> None:
    with written_whole(target) as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(places: tuple[Path, Path]) -> None:
    child = multiprocessing.get_context("fork").Process(target=cache.kept, args=("kind", "place", "now", write_half))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    path = cache.kept("kind", "place", "now", write)
    assert torch.equal(cache.mapped(path)["labels"], torch.from_numpy(LABELS))
    assert [p for p in places[0].rglob("*") if p.is_file()] == [path]


def test_what_cannot_be_made_leaves_nothing(places: tuple[Path, Path]) -> None:
    def fail(target: Path) -> None:
        raise DataError("no image")

    with pytest.raises(DataError, match="no image"):
        cache.kept("kind", "place", "now", fail)
    assert not places[0].exists()


def test_a_full_disk_is_told(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))

    def make(target: Path) -> None:
        cache.check_room(target, 4 * 10**9)
        write(target)

    expected = r"cache/xent/kind takes no more \(4.0 GB are needed, 1.0 GB are free\): make room .* XDG_CACHE_HOME"
    with pytest.raises(DataError, match=expected):
        cache.kept("kind", "place", "now", make)
    assert not places[0].exists()


def test_where_the_cache_cannot_be_written_the_temporary_folder_serves(places: tuple[Path, Path]) -> None:
    """A file in the folder's place: a test that runs as root may write everywhere else."""
    places[0].write_text("a file")
    path = cache.kept("kind", "place", "now", write)
    top = places[1] / f"xent-{os.getuid()}"
    assert path.parent == top / "kind"
    assert top.stat().st_mode & 0o077 == 0  # nobody else reads it
    assert cache.kept("kind", "place", "now", write_half) == path


def test_what_is_there_is_read_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache.kept("kind", "place", "now", write)

    def refuse(target: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(cache, "locked", refuse)
    assert cache.kept("kind", "place", "now", write) == path
    with pytest.raises(DataError, match=r"cache/xent/kind and .*/kind cannot be written: .* XDG_CACHE_HOME"):
        cache.kept("kind", "place", "later", write)


def test_another_user_s_folder_is_not_trusted(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    places[0].write_text("a file")
    (places[1] / "xent-4242").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(DataError, match="cache/xent/kind cannot be written"):
        cache.kept("kind", "place", "now", write)
