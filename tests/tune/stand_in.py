"""Stands in for train.py below a search: a run without torch whose validation nll is known in closed form.

nll(k) = (log10(lr) + 2)^2 + (gamma - 2)^2 / 4 + 1/k at validation k of trainer.max_epochs, each trainer.max_steps
hundredths of a second after the one before; where $GATE is set, it waits for that file after the third. A run that was
stopped goes on from its last validation. gamma > 4 fails. Each start is a line in the file ``starts``: how many
validations there were.
"""

import math
import sys
import time
from typing import Any

from src.folder.folder import RunFolder
from src.metrics.families import CLASSIFICATION
from tests.sweep.composing import Composed, pass_gate, stand_in


def value(cfg: dict[str, Any], k: int) -> float:
    return (math.log10(cfg["optimizer"]["lr"]) + 2) ** 2 + (cfg["loss"]["gamma"] - 2) ** 2 / 4 + 1 / k


def run(folder: RunFolder, asked: Composed) -> int:
    table, cfg = folder.path / "metrics.csv", asked.cfg
    if not table.exists():
        table.write_text("step,epoch,samples_seen,tag,value\n")
    done = table.read_text().count("val/nll")
    with (folder.path / "starts").open("a") as file:
        file.write(f"{done}\n")
    for k in range(done + 1, cfg["trainer"]["max_epochs"] + 1):
        time.sleep(cfg["trainer"]["max_steps"] / 100)
        with table.open("a") as file:
            file.write(f"{k * 56},{k},{k * 3584},train/nll,9\n{k * 56},{k},{k * 3584},val/nll,{value(cfg, k)!r}\n")
        if k == 3:
            pass_gate()
    if cfg["loss"]["gamma"] > 4:
        folder.write_result({"status": "failed", "error": "NonFiniteError: became nan"})
        return 1
    last = value(cfg, cfg["trainer"]["max_epochs"])
    metrics = {"val": {"nll": last}, "test": {"nll": -last}}
    folder.write_result({"status": "finished", "family": CLASSIFICATION.plain(), "metrics": metrics})
    return 0


def main(words: list[str], composed: Any = None) -> None:
    sys.exit(stand_in(words, run, composed))
