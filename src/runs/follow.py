"""What the ranks of a run but the first do: they train with it, and write nothing."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
from ..callbacks.checkpoint import Interrupted
from ..config import trust
from ..folder.folder import RunFolder
from ..ranks import ranks
from ..ranks.team import Team, end_with_parent
from . import build, machine
from .fit import Fit
from .teacher import find_teacher


def follow(team: Team) -> int:
    """Wait for rank 0's order, and train and test as it says; the exit status. There may be nothing to do."""
    logging.getLogger("xent").addHandler(logging.NullHandler())
    logging.getLogger("xent").propagate = False
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # rank 0 has them in its log
    try:
        team.join()
        order = ranks.told(None)
        if order is None:
            dist.destroy_process_group()  # or its threads would outlive what the interpreter tears down at its end
            return 0
        (cfg, folder), named = order
        trust.name(named)
        machine.set_threads(cfg["trainer"])
        machine.keep_memory()
        machine.repeat_exactly(team.device)
        data = build.build_data(cfg)
        fit = Fit(cfg, data, find_teacher(cfg), RunFolder(Path(folder)), team.device)
        fit.resume()
        fit.run()
        dist.destroy_process_group()
    except Interrupted as stop:
        return 128 + stop.signum
    except Exception as error:
        if os.environ.get("XENT_DEBUG") == "1":
            raise
        team.report(error)
        return 1
    return 0


def main(words: Sequence[str]) -> None:
    """A started rank itself. ``words``: the device, and how many ranks there are."""
    end_with_parent()
    device, devices = words
    status = follow(Team({"devices": int(devices), "num_nodes": 1, "strategy": "started"}, device))
    os._exit(status)  # nothing is left to write, and gloo's threads may not outlive what Python tears down
