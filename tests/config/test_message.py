"""What ended a command, in a user's words."""

import shlex
import tomllib

import pytest

from src.config.message import LAUNCHERS
from tests.conftest import ROOT


@pytest.mark.parametrize(("launcher", "extra"), [("submitit", "slurm"), ("ray", "ray")])
def test_what_installs_a_launcher_is_what_its_extra_asks_for(launcher: str, extra: str) -> None:
    """An installed package has no pyproject.toml to read it from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert shlex.split(LAUNCHERS[launcher]) == project["optional-dependencies"][extra]
