"""Run one side of a benchmark as a fresh process and read how long it took."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, Any]


class Finished:
    """A process that ended well: what it wrote, when it was started, how long it ran, its peak resident bytes.

    The peak is of the largest of its own processes; Linux counts the one that started it, too, so this stays small.
    """

    def __init__(self, words: list[str]) -> None:
        self.command = ["python", *(word.replace(f"{ROOT}/", "") for word in words)]
        self.began = time.time()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.time() - self.began
            output.seek(0)
            self.text = output.read().decode(errors="replace")
        if process.returncode:
            sys.exit(f"{' '.join(self.command)}: status {process.returncode}\n{self.text[-3000:]}")
        self.peak_bytes = usage.ru_maxrss * 1024

    def line(self, start: str) -> str:
        """The last line of the output that begins so."""
        return [line for line in self.text.splitlines() if line.startswith(start)][-1]


def by_hand(file: str, words: list[str]) -> Figures:
    """One side of a case's file."""
    done = Finished([str(ROOT / "benchmarks" / file), *words])
    return json.loads(done.line("{")) | {"peak_bytes": done.peak_bytes, "command": done.command}


def xent(words: list[str], first: int, last: int, val_at: int) -> Figures:
    """``python train.py WORDS``: seconds from the end of step ``first`` to the end of training, after step ``last``.

    Training begins where config.yaml is written and ends with the last checkpoint; the end of step ``first`` is where
    its train/loss reaches TensorBoard. ``whole`` is the run's own training_seconds where it has them. ``val_nll`` is
    that of the validation at step ``val_at``.
    """
    with tempfile.TemporaryDirectory() as runs:
        done = Finished([str(ROOT / "train.py"), *words, f"runs={runs}"])
        folder = Path(done.line("run folder: ").removeprefix("run folder: "))
        result = json.loads((folder / "result.json").read_text())
        end, began = (folder / "checkpoints").stat().st_mtime, (folder / "config.yaml").stat().st_mtime
        return {
            "seconds": end - reached(folder, first),
            "steps": last - first,
            "whole": result["run"].get("training_seconds", end - began),
            "val_nll": validated(folder, val_at),
            "gpu_bytes": result["run"].get("peak_gpu_bytes"),
            "peak_bytes": done.peak_bytes,
            "command": done.command[:-1],
        }


def experiment(words: list[str]) -> Figures:
    """``python train.py WORDS``: seconds from the command to its end, and the metrics."""
    with tempfile.TemporaryDirectory() as runs:
        done = Finished([str(ROOT / "train.py"), *words, f"runs={runs}"])
        folder = Path(done.line("run folder: ").removeprefix("run folder: "))
        return {"seconds": done.seconds} | json.loads((folder / "result.json").read_text())["metrics"]


def reached(folder: Path, step: int) -> float:
    """When a run had taken ``step`` steps, by the clock of its TensorBoard events."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return next(event.wall_time for event in events.Scalars("train/loss") if event.step == step)


def validated(folder: Path, step: int) -> float:
    with (folder / "metrics.csv").open() as file:
        return next(
            float(row["value"]) for row in csv.DictReader(file) if (row["step"], row["tag"]) == (str(step), "val/nll")
        )


def start(words: list[str]) -> Figures:
    """Seconds from the command to the end of the first training step, and to the end of the imports it stands on."""
    once = ("trainer.max_steps=1", "trainer.log_every_n_steps=1", "trainer.limit_eval_batches=1", "figures=false")
    with tempfile.TemporaryDirectory() as runs:
        done = Finished([str(ROOT / "train.py"), *words, *once, f"runs={runs}"])
        first = reached(Path(done.line("run folder: ").removeprefix("run folder: ")), 1) - done.began
    code = "import src.system.torchvision_cpu, torch, pytorch_lightning, time; print('end', time.time())"
    imports = Finished(["-c", code])
    return {"first_step": first, "imports": float(imports.line("end").split()[1]) - imports.began}


def sweep(words: list[str], jobs: list[list[str]]) -> Figures:
    """An ablation in one command, and the same runs as commands one after the other; whether their results agree."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        together = Finished([str(ROOT / "train.py"), *words, f"runs={one}"]).seconds
        began = time.time()
        for job in jobs:
            Finished([str(ROOT / "train.py"), *job, f"runs={many}"])
        apart = time.time() - began
        return {"together": together, "apart": apart, "runs": len(jobs), "equal": weights(one) == weights(many)}


def weights(runs: str) -> dict[tuple[str, str], bytes]:
    """Each run's weights and metrics by its identity and seed."""
    found = {}
    for path in Path(runs).rglob("weights.safetensors"):
        identity, seed = path.parent.parent.name.rsplit("-", 1)[-1], path.parent.name
        found[identity, seed] = path.read_bytes() + (path.parent / "metrics.csv").read_bytes()
    return found
