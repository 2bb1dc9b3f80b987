"""What a command line composes to, without torch; and what stands in for train.py."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from src.config import schema
from src.config.entry import chosen, resolve
from src.config.errors import UserError
from src.folder.folder import RunFolder, home_of
from src.folder.identity import identity, slug
from src.package import CONF
from src.sweep.jobs import Job, as_sweep, jobs_of

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Composed:
    cfg: dict[str, Any]
    choices: dict[str, Any]
    words: list[str]


def composed_alone(words: list[str]) -> Composed:
    """What ``train.py WORDS`` composes, as one run."""
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", words, return_hydra_config=True)
    choices = chosen(OmegaConf.to_container(cfg.hydra.runtime.choices))  # type: ignore[arg-type]
    with open_dict(cfg):
        del cfg["hydra"]
    return Composed(resolve(cfg), choices, [word for word in words if not word.startswith("hydra.")])


class StopError(Exception):
    """SIGINT or SIGTERM, whose number is its argument."""


def pass_gate() -> None:
    """Wait for the file that $GATE names, if it does."""
    gate = os.environ.get("GATE")
    while gate and not Path(gate).exists():
        time.sleep(0.01)


def stand_in(words: list[str], run: Callable[[RunFolder, Composed], int], given: Any = None) -> int:
    """``train.py WORDS`` without torch: the run's folder as it would be, held, and in place of the training ``run``.

    ``run`` may raise StopError. ``given``: what the sweep says that the words compose to.
    """

    def stop(signum: int, frame: Any) -> None:
        raise StopError(signum)

    asked = Composed(given.cfg, given.choices, given.typed) if given else composed_alone(words)
    facts = {"fingerprint": None, "device": "cpu"}
    run_id = identity(asked.cfg, facts)
    home = home_of(asked.cfg, asked.choices) / f"{slug(asked.choices, asked.words)}-{run_id}"
    folder = RunFolder(home / f"seed{asked.cfg['seed']}")
    config = asked.cfg | {
        "choices": asked.choices,
        "identity": run_id,
        "identity_facts": facts,
        "facts": {},
        "name": home.name,
    }
    try:
        with folder.locked():
            told = folder.read_result()
            if told.get("status") == "finished" and not asked.cfg["overwrite"]:
                return 0
            if told.get("status") == "failed" and not (asked.cfg["retry_failed"] or asked.cfg["overwrite"]):
                print(f"this run failed: {told['error']}")
                return 1
            folder.write_config(config)
            try:
                for signum in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(signum, stop)
                folder.write_result({"status": "running"})  # from here on a signal is heard
                return run(folder, asked)
            except StopError as stopped:
                folder.write_result({"status": "interrupted"})
                return 128 + int(stopped.args[0])
    except UserError as error:
        print(f"xent: {error}", file=sys.stderr)
        return 2


def jobs(*words: str, threads: int | None = 1) -> list[Job]:
    """The jobs that ``train.py WORDS`` makes. Raises UserError."""
    schema.register()
    line = [word for word in as_sweep(words) if word != "-m"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config("config", line, RunMode.MULTIRUN, with_log_configuration=False)
        typed = OmegaConf.to_container(master.hydra.overrides.task)
        return jobs_of(master, hydra.config_loader, typed, threads)  # type: ignore[arg-type]
