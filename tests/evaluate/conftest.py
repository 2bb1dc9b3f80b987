"""Finished runs, and the command itself."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import evaluate
from src.config.guard import guarded
from tests.commands import only_run, train
from tests.evaluate.runs import FOLDER, RUNS, WORDS, pictures


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a finished run by its name in RUNS, trained when first asked for."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            runs = tmp_path_factory.mktemp(name)
            words = [*RUNS[name], f"runs={runs}"]
            if name.startswith("distillation"):
                words.append(f"teacher={folder('images')}")
            if "data=text_file" in words:
                (runs / "text").write_text(WORDS * 99)
                words.append(f"data.path={runs / 'text'}")
            assert train(*words) == 0
            folders[name] = only_run(runs)
        return folders[name]

    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``python evaluate.py WORDS`` in this process; the exit status."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
        return guarded(evaluate.main)

    return run


@pytest.fixture(scope="session")
def of_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of images of two classes."""
    here = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(here / "cache"))
        root = pictures(here / "images", {"dark": 100, "light": 150})
        assert train(*FOLDER, f"data.root={root}", f"runs={here / 'runs'}") == 0
    return only_run(here / "runs")
