"""Commands as a user types them: in this process, or as real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from src.callbacks import checkpoint
from src.config import schema
from src.config.entry import Command, chosen, resolve
from src.config.fit import options
from src.config.words import key_of
from src.runs.run import execute
from tests.conftest import ROOT

checkpoint.LEAST = 0.0  # each validation writes a checkpoint in a run of this process, whose whole training is shorter
# The losses that learn from classes; those of other families need other data or another network.
CLASSIFYING = [word.removeprefix("loss=") for word in options("loss", reads="logits", targets="class")]
TRAINER = os.environ.get("XENT_TRAINER", "cpu")  # gpu: on a machine that has one, the runs of these tests are there
QUIET = ("logger=csv", "figures=false", f"trainer={TRAINER}", "trainer.threads=1")


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
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()  # a compiler that has seen nothing yet, as in a process of its own
    command = composed(*words)
    return execute(resolve(command.cfg, command.typed), command.choices, command.typed)


def only_run(runs: Path) -> Path:
    """The folder of the one run below ``runs``."""
    (result,) = runs.glob("**/seed*/result.json")
    return result.parent


def result_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def laid_over(words: Iterable[str]) -> list[str]:
    """Words of which a later one replaces those before it with its key; a user who types a key twice is refused."""
    return list({key_of(word): word for word in words}.values())


def process(*words: str, **kwargs: Any) -> subprocess.Popen[str]:
    """``python train.py WORDS`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *laid_over(words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **kwargs.pop("env", {})},
        cwd=kwargs.pop("cwd", ROOT),
        **kwargs,
    )
