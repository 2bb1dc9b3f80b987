"""The project installed as a user installs it, in environments that have nothing but it and what it needs."""

import fnmatch
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

LEFT_OUT = (".*", "runs", "datasets", "build", "dist", "*.egg-info", "__pycache__")


class Environment:
    """A virtual environment on top of this one, so that torch is not installed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = str(folder / "bin/python")
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.packages = Path(subprocess.run([self.python, "-c", ask], capture_output=True, text=True).stdout.strip())
        (self.packages / "beneath.pth").write_text(sysconfig.get_path("purelib"))
        self.before = {path.name for path in self.packages.iterdir()}

    def install(self, *words: str | Path) -> None:
        """``pip install WORDS``, without a network and without dependencies."""
        pip(self.python, "install", "--no-deps", *words)

    def installed(self) -> set[str]:
        """What pip put beside the other packages."""
        return {path.name for path in self.packages.iterdir()} - self.before

    def run(self, command: str, *words: str | Path, cwd: Path) -> str:
        """What a command of the environment, such as ``xent``, prints; it must succeed."""
        done = subprocess.run(
            [str(self.folder / "bin" / command), *map(str, words)], cwd=cwd, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def pip(python: str, *words: str | Path) -> None:
    own = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-build-isolation")
    command = [sys.executable, "-m", "pip", "--python", python, words[0], *own, *words[1:]]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, in which building may leave what it likes."""
    copy = tmp_path_factory.mktemp("source")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
        elif not any(fnmatch.fnmatch(path.name, name) for name in LEFT_OUT):
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, source)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="session")
def environment(source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """The environment with the wheel, or with the tree itself ("editable")."""
    made: dict[str, Environment] = {}

    def of(kind: str) -> Environment:
        if kind not in made:
            made[kind] = Environment(tmp_path_factory.mktemp(kind) / "venv")
            made[kind].install(*(["--editable", source] if kind == "editable" else [wheel]))
        return made[kind]

    return of
