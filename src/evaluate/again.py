"""A finished run tested again, from its folder alone."""

from ..plain import Plain
from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import csv
import io
import json
import time
from pathlib import Path

from ..config.evaluation import Asked
from ..data.shift import shifted
from ..figures import diagrams, style
from ..metrics.columns import Family
from ..runs import show, testing
from ..runs.bench import Bench
from ..system.files import write_text
from ..tasks.base import Task
from .done import Done


def test(bench: Bench, asked: Asked, result: Plain, notes: list[str]) -> Done:
    """What is asked, measured: as in result.json, with what the task was adjusted to, examples, notes and seconds."""
    start = time.perf_counter()
    if asked.data or asked.shift:
        bench.task.adjusted = result["adjusted"]
    report = shift(bench, asked) if asked.shift else again(bench, result, other=bool(asked.data))
    origin = "the run's" if asked.data or asked.shift else "fitted anew on the validation split"
    report["adjusted"] = {"value": bench.task.adjusted, "is": origin}
    report["examples"] = len(bench.predictions.examples()["targets"])
    limit = bench.cfg["trainer"]["limit_eval_batches"]
    limited = [f"the run's limit_eval_batches={limit} holds here too"] if limit else []
    report["notes"] += [*bench.data.notes, *limited, *notes]
    report["seconds"] = time.perf_counter() - start
    rows = report.get("shift", [])
    tables = {
        f"{asked.name}.csv": lambda path: write_rows(path, rows),
        f"{asked.name}.png": lambda path: draw(path, rows, bench.task.family),
    }
    return Done(report, tables if asked.shift else {}, said(report, result, asked, bench.task))


def again(bench: Bench, result: Plain, other: bool) -> Plain:
    """The test of result.json once more, or on other data adjusted as the run was."""
    notes: list[str] = []
    trainer, task, cfg, data, below = bench.trainer, bench.task, bench.cfg, bench.data, {}
    if not other:
        below = testing.floors(trainer, bench.fresh, task.floors, cfg, data)
        testing.learn(trainer, task, cfg, data)
        notes = testing.adjust(trainer, task, cfg, data)
    tested = testing.test(trainer, task, testing.eval_loader(cfg, data, "test"), bench.predictions, below)
    report = {"metrics": {"test": tested["metrics"]}, **testing.beside(tested)}
    report["notes"] = [*notes, *tested.get("notes", [])]
    return report if other else report | compared(report, result)


def compared(report: Plain, result: Plain) -> Plain:
    """Whether the test gave, bit for bit, what result.json has, and a note that says so."""
    there = result["metrics"]["test"]
    odd = [name for name, value in report["metrics"]["test"].items() if there.get(name) != value]
    beside = [key for key in report if key not in ("metrics", "notes")]
    same = not odd and all(json.loads(json.dumps(report[key])) == result[key] for key in beside)
    note = "the same as in result.json, bit for bit" if same else f"not the same as in result.json: {', '.join(odd)}"
    return {"same_as_result": same, "notes": [*report["notes"], note]}


def shift(bench: Bench, asked: Asked) -> Plain:
    """What a report judges of each kind of corruption and severity, the clean images first."""
    if not asked.data:  # other data have no training split of the run's
        testing.learn(bench.trainer, bench.task, bench.cfg, bench.data)
    clean = testing.eval_loader(bench.cfg, bench.data, "test")
    seed, predictions = bench.cfg["seed"], bench.predictions
    names = [column.name for column in bench.task.family.columns if column.judged]
    rows = []
    for kind, severity in [("clean", 0), *((kind, s) for kind in asked.shift for s in asked.severities)]:
        loader = shifted(clean, bench.data.spec, kind, severity, seed) if severity else clean
        metrics = testing.scores(bench.trainer, bench.task, loader)
        metrics |= bench.task.conclude(predictions.examples())["metrics"]
        rows.append({"shift": kind, "severity": severity} | {name: metrics.get(name) for name in names})
    return {"shift": rows, "notes": []}


def write_rows(path: Path, rows: list[Plain]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def draw(path: Path, rows: list[Plain], family: Family) -> None:
    """A panel for each of the few metrics that tell most and the run has, a line for each kind of corruption."""
    clean, *worse = rows
    few = dict.fromkeys((*family.shown, *(family.against or ())))
    names = [name for name in few if clean.get(name) is not None]
    kinds = dict.fromkeys(row["shift"] for row in worse)
    curves = {kind: {name: [row[name] for row in worse if row["shift"] == kind] for name in names} for kind in kinds}
    style.save(diagrams.shift(sorted({row["severity"] for row in worse}), curves, clean), path)


def said(report: Plain, result: Plain, asked: Asked, task: Task) -> list[str]:
    """The table, and what a reader must know, in lines."""
    if asked.shift:
        table = show.shift_table(report["shift"])
    else:
        second = "run's own" if asked.data else "result.json"
        splits = {"test": report["metrics"]["test"], second: result["metrics"]["test"]}
        table = show.side_by_side(splits, task.family)
    adjustment = task.adjustment()
    adjusted = f"; {adjustment}, {report['adjusted']['is']}" if adjustment else ""
    return [table, "", f"{report['examples']:,} examples{adjusted}", *(f"note: {note}" for note in report["notes"])]
