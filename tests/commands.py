"""Commands as a user types them: in this process, or as real processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from src.config import schema
from src.config.entry import Command, chosen, resolve
from src.runs.run import execute
from tests.conftest import ROOT

QUIET = ("logger=csv", "trainer=cpu", "trainer.threads=1")


def composed(*words: str) -> Command:
    """What ``python train.py WORDS`` composes."""
    schema.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", list(words), return_hydra_config=True)
    choices = chosen(OmegaConf.to_container(cfg.hydra.runtime.choices))  # type: ignore[arg-type]
    with open_dict(cfg):
        del cfg["hydra"]
    return Command(cfg, choices, list(words))


def train(*words: str) -> int:
    """``python train.py WORDS`` in this process; the exit status. Raises UserError."""
    command = composed(*words)
    return execute(resolve(command.cfg), command.choices, command.typed)


def only_run(runs: Path) -> Path:
    """The folder of the one run below ``runs``."""
    (result,) = runs.glob("*/*/seed*/result.json")
    return result.parent


def process(*words: str, **kwargs: Any) -> subprocess.Popen[str]:
    """``python train.py WORDS`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **kwargs.pop("env", {})},
        cwd=kwargs.pop("cwd", ROOT),
        **kwargs,
    )
