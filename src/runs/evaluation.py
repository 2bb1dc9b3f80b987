"""A finished run tested again, from its folder alone."""

from .. import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import csv
import fcntl
import io
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from ..config.errors import UserError
from ..config.evaluation import Asked
from ..data.alphabet import default_prompt, encode
from ..data.base import generator
from ..data.shift import shifted
from ..report import diagrams, style
from ..tasks.generation import generate
from . import machine, show, testing
from .bench import Bench, settle
from .files import write_json, write_text
from .folder import RunFolder
from .logs import hushed
from .rebuild import Rebuilt, rebuild

Plain = dict[str, Any]
MEASURED = ("accuracy", "nll", "ece", "brier", "ece_ts")
DRAWN = ("accuracy", "nll", "ece")


def execute(asked: Asked, folder: RunFolder, cfg: Plain, result: Plain) -> int:
    """Do what a command asks of a finished run; the exit status. Raises UserError.

    ``cfg`` is the run's configuration, its data replaced where the command names other data.
    """
    device, on = settle(cfg, result)
    run = rebuild(folder.path)
    if asked.sample is not None:
        print("\n\n--------\n\n".join(sample(run, cfg, asked.sample, device)))
        return 0
    if not os.access(folder.path, os.W_OK):
        raise UserError(f"{folder.path} is not writable, and what is measured is written there")
    try:
        with hushed():
            report = measure(Bench(folder, cfg, run, bool(asked.data), device), asked, result)
        report["notes"] += elsewhere(on, result["run"])
        if cfg["trainer"]["precision"] == "bf16-mixed" and not machine.has_bfloat16(device):
            report["notes"].append(machine.EMULATED)
        about = {"asked": list(asked.words), "data": cfg["data"], "weights_sha256": run.weights_hash}
        written = write(asked, folder, result, about | report | {"run": on})
    except (OSError, RuntimeError) as error:
        if os.environ.get("XENT_DEBUG") == "1":
            traceback.print_exc()
        print(f"xent: the evaluation failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join([*said(report, result, asked), *(f"written: {path}" for path in written)]))
    return 0


def measure(bench: Bench, asked: Asked, result: Plain) -> Plain:
    """What is asked, measured: as in result.json, and the temperature with its origin, examples, notes and seconds."""
    start = time.perf_counter()
    if asked.data or asked.shift:
        bench.predictions.temperature = result["metrics"]["test"]["temperature"]
    report = shift(bench, asked) if asked.shift else again(bench, result, other=bool(asked.data))
    origin = "the run's" if asked.data or asked.shift else "fitted anew on the validation split"
    report["temperature"] = {"value": bench.predictions.temperature, "is": origin}
    report["examples"] = len(bench.predictions.examples()["targets"])
    limit = bench.cfg["trainer"]["limit_eval_batches"]
    report["notes"] += [*bench.data.notes, *([f"the run's limit_eval_batches={limit} holds here too"] if limit else [])]
    return report | {"seconds": time.perf_counter() - start}


def again(bench: Bench, result: Plain, other: bool) -> Plain:
    """The test of result.json once more, or on other data with the run's temperature."""
    notes: list[str] = []
    if not other:
        fitted = testing.fitted_temperature(bench.trainer, bench.task, bench.cfg, bench.data)
        bench.predictions.temperature, notes = fitted
    loader = testing.eval_loader(bench.cfg, bench.data, "test")
    tested = testing.test(bench.trainer, bench.task, loader, bench.predictions, bench.data.spec)
    report = {
        "metrics": {"test": tested["metrics"]},
        "intervals": {"test": tested["intervals"]},
        "bins": tested["bins"],
        "class_accuracy": tested["class_accuracy"],
        "notes": notes,
    }
    return report if other else report | compared(report, result)


def compared(report: Plain, result: Plain) -> Plain:
    """Whether the test gave, bit for bit, what result.json has, and a note that says so."""
    there = result["metrics"]["test"]
    odd = [name for name, value in report["metrics"]["test"].items() if there.get(name) != value]
    same = not odd and all(json.loads(json.dumps(report[key])) == result[key] for key in ("bins", "class_accuracy"))
    same = same and report["intervals"]["test"] == result["intervals"]["test"]
    note = "the same as in result.json, bit for bit" if same else f"not the same as in result.json: {', '.join(odd)}"
    return {"same_as_result": same, "notes": [*report["notes"], note]}


def shift(bench: Bench, asked: Asked) -> Plain:
    """Metrics for each kind of corruption and severity, the clean images first."""
    clean = testing.eval_loader(bench.cfg, bench.data, "test")
    seed, predictions = bench.cfg["seed"], bench.predictions
    rows = []
    for kind, severity in [("clean", 0), *((kind, s) for kind in asked.shift for s in asked.severities)]:
        loader = shifted(clean, bench.data.spec, kind, severity, seed) if severity else clean
        metrics = testing.scores(bench.trainer, bench.task, loader)
        examples = predictions.examples()
        metrics |= testing.scaling(examples, examples["guess"] == examples["targets"], predictions.temperature)
        rows.append({"shift": kind, "severity": severity} | {name: metrics[name] for name in MEASURED})
    return {"shift": rows, "notes": []}


def elsewhere(here: Plain, run: Plain) -> list[str]:
    """A note where the machine or its software is not the run's."""
    flat = [side | side["versions"] for side in (here, run)]
    odd = [
        f"{key} {flat[1].get(key)} there, {flat[0][key]} here"
        for key in ("device", "threads", *here["versions"])
        if flat[0][key] != flat[1].get(key)
    ]
    return [f"this is not where the run was trained ({'; '.join(odd)}): the last bits may differ"] if odd else []


def write(asked: Asked, folder: RunFolder, result: Plain, report: Plain) -> list[Path]:
    """Write the report, under a lock, and return its files. Raises UserError if the run changed meanwhile."""
    place = folder.path / "evaluations"
    if place.is_symlink():
        raise UserError(f"{place} is a link, and nothing is written through one: put a folder there")
    place.mkdir(exist_ok=True)
    lock = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.read_result() != result:
            raise UserError(f"{folder.path} was trained anew meanwhile: evaluate it again")
        files = [place / f"{asked.name}.json"]
        write_json(files[0], report)
        if asked.shift:
            files += [files[0].with_suffix(suffix) for suffix in (".csv", ".png")]
            write_rows(files[1], report["shift"])
            draw(files[2], report["shift"])
    finally:
        os.close(lock)
    return files


def write_rows(path: Path, rows: list[Plain]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def draw(path: Path, rows: list[Plain]) -> None:
    """A panel for each metric that the run has, a line for each kind of corruption."""
    clean, *worse = rows
    names = [name for name in DRAWN if clean[name] is not None]
    kinds = dict.fromkeys(row["shift"] for row in worse)
    curves = {kind: {name: [row[name] for row in worse if row["shift"] == kind] for name in names} for kind in kinds}
    style.save(diagrams.shift(sorted({row["severity"] for row in worse}), curves, clean), path)


def said(report: Plain, result: Plain, asked: Asked) -> list[str]:
    """The table, and what a reader must know, in lines."""
    if asked.shift:
        table = show.shift_table(report["shift"])
    else:
        second = "run's own" if asked.data else "result.json"
        table = show.side_by_side({"test": report["metrics"]["test"], second: result["metrics"]["test"]})
    value, origin = report["temperature"].values()
    scaled = "" if value is None else f"; temperature {value:.4g}, {origin}"
    return [table, "", f"{report['examples']:,} examples{scaled}", *(f"note: {note}" for note in report["notes"])]


def sample(run: Rebuilt, cfg: Plain, asked: Plain, device: str) -> list[str]:
    """Text of the run's model, each piece from the prompt on. Raises UserError."""
    settings = cfg["samples"] | {"seed": cfg["seed"]} | asked
    try:
        prompt = encode(settings["prompt"] or default_prompt(run.spec), run.spec)
    except ValueError as error:
        raise UserError(f"prompt: {error}") from None
    place = torch.device("cuda" if device == "gpu" else "cpu")
    ids = generate(
        run.model.to(place),
        run.loss.to(place),
        prompt.to(place).expand(settings["count"], -1),
        length=settings["length"],
        context=run.spec.input_shape[0],
        temperature=settings["temperature"],
        top_k=settings["top_k"],
        g=generator("evaluation", settings["seed"]),
    )
    return ["".join(run.spec.class_names[i] for i in row) for row in ids.tolist()]
