"""Files that are made once: whole or not there, by one process, in a place that can be written."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from src.data import cache
from src.data.base import DataError
from src.system.files import written_whole

LABELS, PIXELS = np.arange(5, dtype=np.int64) * 2**40, np.arange(30, dtype=np.uint8).reshape(5, 3, 2)


SHAPES: cache.Shapes = {"labels": ("I64", LABELS.shape), "pixels": ("U8", PIXELS.shape)}


def write(target: Path, state: str = "now") -> None:
    cache.write(target, SHAPES, {"state": state}, [LABELS.data, PIXELS.tobytes()])


def path_of(place: str = "place") -> Path:
    return Path(
        os.environ["XDG_CACHE_HOME"], "xent/kind", hashlib.sha256(place.encode()).hexdigest()[:16] + ".safetensors"
    )


def check(kept: cache.Kept) -> None:
    assert torch.equal(kept.tensors["labels"], torch.from_numpy(LABELS))
    assert torch.equal(kept.tensors["pixels"], torch.from_numpy(PIXELS))


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The user's cache and the system's temporary folder, neither there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "cache", tmp_path / "tmp"


def test_the_file_is_one_of_safetensors() -> None:
    check(cache.kept("kind", "place", "now", write))
    with safe_open(path_of(), framework="np") as file:
        assert file.metadata()["state"] == "now"
        np.testing.assert_array_equal(file.get_tensor("labels"), LABELS)
        np.testing.assert_array_equal(file.get_tensor("pixels"), PIXELS)
    assert path_of().stat().st_mode & 0o777 == 0o600


def test_it_is_made_once_and_anew_for_another_state(places: tuple[Path, Path]) -> None:
    made: list[str] = []

    def make(target: Path) -> None:
        made.append(state)
        write(target, state)

    for state in ("one", "one", "two", "two"):
        assert cache.kept("kind", "place", state, make).about["state"] == state
    assert made == ["one", "two"]
    assert [p for p in places[0].rglob("*") if p.is_file()] == [path_of()]  # no lock, no half file
    cache.kept("kind", "elsewhere", "now", write)
    assert path_of("elsewhere").exists()


def test_a_file_that_is_not_whole_is_made_anew() -> None:
    cache.kept("kind", "place", "now", write)
    raw = path_of().read_bytes()
    for cut in range(0, len(raw), 37):
        path_of().write_bytes(raw[:cut])
        check(cache.kept("kind", "place", "now", write))
        assert path_of().read_bytes() == raw


def test_every_flipped_bit_is_noticed() -> None:
    """In the tensors, their digests, and all the rest of the header."""
    cache.kept("kind", "place", "now", write)
    raw = path_of().read_bytes()
    for place in range(len(raw)):
        odd = bytearray(raw)
        odd[place] ^= 1 << place % 8
        path_of().write_bytes(odd)
        assert cache.whole(path_of(), "now") is None, place
    check(cache.kept("kind", "place", "now", write))


def headers() -> dict[str, bytes]:
    """What is no header of ours."""
    tensor = {"dtype": "I64", "shape": [5], "data_offsets": [0, 40]}
    about = cache.sealed({"state": "now"}, {"labels": "0"})
    entries: dict[str, Any] = {
        "no tensor": {},
        "a dtype": {"labels": tensor | {"dtype": "F8"}},
        "a list for a dtype": {"labels": tensor | {"dtype": ["I64"]}},
        "negative offsets": {"labels": tensor | {"data_offsets": [-40, 0]}},
        "offsets that overlap": {"labels": tensor, "pixels": tensor},
        "no shape": {"labels": {"dtype": "I64", "data_offsets": [0, 40]}},
        "a negative shape": {"labels": tensor | {"shape": [-1, -5]}},
        "a huge shape": {"labels": tensor | {"shape": [2**62, 2**62]}},
        "a text for a tensor": {"labels": "I64"},
        "another name": {"labels": tensor, "__metadata__": "now"},
    }
    found = {name: json.dumps({"__metadata__": about} | value).encode() for name, value in entries.items()}
    found |= {
        "nothing": b"",
        "a list": b"[]",
        "deep": b"[" * 10**5 + b"]" * 10**5,
        "no JSON": b"{",
        "no UTF-8": b"\xff",
    }
    return found | {"a long number": b'{"a": ' + b"1" * 5000 + b"}"}


@pytest.mark.parametrize("name", headers())
def test_a_header_that_is_none_of_ours_is_made_anew(name: str) -> None:
    path_of().parent.mkdir(parents=True, mode=0o700)
    head = headers()[name]
    for length in (len(head), 2**63 - 1, 2**27):
        path_of().write_bytes(length.to_bytes(8, "little") + head + LABELS.tobytes())
        path_of().chmod(0o600)
        path_of().parents[1].chmod(0o700)
        check(cache.kept("kind", "place", "now", write))


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_what_others_may_write_is_made_anew(mode: int) -> None:
    cache.kept("kind", "place", "now", write)
    path_of().chmod(mode)
    assert cache.whole(path_of(), "now") is None
    check(cache.kept("kind", "place", "now", write))
    assert path_of().stat().st_mode & 0o777 == 0o600


def test_a_pipe_or_link_in_its_place_is_made_anew(tmp_path: Path) -> None:
    path_of().parent.mkdir(parents=True)
    path_of().parents[1].chmod(0o700)
    os.mkfifo(path_of(), 0o600)
    check(cache.kept("kind", "place", "now", write))
    path_of().rename(tmp_path / "elsewhere")
    path_of().symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("mine")
    check(cache.kept("kind", "place", "now", write))
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_that_others_may_write_to_is_left_alone(places: tuple[Path, Path]) -> None:
    (places[0] / "xent").mkdir(parents=True)
    (places[0] / "xent").chmod(0o777)
    check(cache.kept("kind", "place", "now", write))
    assert list((places[0] / "xent").iterdir()) == []
    assert (places[1] / f"xent-{os.getuid()}/kind").is_dir()


def test_without_a_home_nothing_is_made_in_the_current_folder(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no home
    monkeypatch.chdir(tmp_path)
    for named in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        check(cache.kept("kind", "place", "now", write))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["tmp"]


def make_slowly(target: Path) -> None:
    with Path(os.environ["MADE"]).open("a") as file:
        file.write("made\n")
    time.sleep(0.5)
    write(target)


def ask(together: Barrier) -> None:
    together.wait()
    check(cache.kept("kind", "place", "now", make_slowly))


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
    check(cache.kept("kind", "place", "now", write))
    assert [p for p in places[0].rglob("*") if p.is_file()] == [path_of()]


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
    check(cache.kept("kind", "place", "now", write))
    top = places[1] / f"xent-{os.getuid()}"
    assert (top / "kind" / path_of().name).exists()
    assert top.stat().st_mode & 0o077 == 0  # nobody else reads it
    check(cache.kept("kind", "place", "now", write_half))


def test_what_is_there_is_read_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.kept("kind", "place", "now", write)

    def refuse(target: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(cache, "locked", refuse)
    check(cache.kept("kind", "place", "now", write))
    with pytest.raises(DataError, match=r"cache/xent/kind and .*/kind cannot be written: .* XDG_CACHE_HOME"):
        cache.kept("kind", "place", "later", write)


def test_another_user_s_folder_is_not_trusted(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    places[0].write_text("a file")
    (places[1] / "xent-4242").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(DataError, match="cache/xent/kind cannot be written"):
        cache.kept("kind", "place", "now", write)
