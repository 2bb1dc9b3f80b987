"""Stands in for train.py below the launcher: a run without torch, of trainer.max_steps tenths of a second.

Its folder and its result.json are those of a real run. How it ends: loss=hinge fails, loss=kl refuses its command,
loss=mmce ends with status 0 without being finished, loss=poly1 is killed, all others finish. Each start is a line in
the file ``starts``: begin, end, and the GPUs it was given. Where $GATE is set, it waits for that
file before it sleeps.
"""

import os
import signal
import sys
import time
from typing import Any

from src.folder.folder import RunFolder
from src.metrics.families import CLASSIFICATION
from tests.sweep.composing import Composed, pass_gate, stand_in

MEASURED = {"family": CLASSIFICATION.plain(), "metrics": {"test": {"accuracy": 0.5, "nll": 1.0}}}


def run(folder: RunFolder, asked: Composed) -> int:
    begin, loss = time.time(), asked.choices["loss"]
    with (folder.path / "begun").open("a") as file:
        file.write(f"{begin}\n")
    print(f"epoch 1  step 0/9 {loss}", flush=True)
    pass_gate()
    time.sleep(asked.cfg["trainer"]["max_steps"] / 10)
    with (folder.path / "starts").open("a") as file:
        file.write(f"{begin} {time.time()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    if loss == "kl":
        print("xent: loss.beta must be so, got 'thus'", file=sys.stderr)
        return 2
    if loss == "poly1":
        os.kill(os.getpid(), signal.SIGKILL)
    if loss == "hinge":
        folder.write_result({"status": "failed", "error": "NonFiniteError: became nan"})
        return 1
    if loss != "mmce":
        folder.write_result({"status": "finished"} | MEASURED)
    return 0


def main(words: list[str], composed: Any = None) -> None:
    if words[0] == "--config-dir":
        words = [f"hydra.searchpath=[{words[1]}]", *words[2:]]
    sys.exit(stand_in(words, run, composed))
