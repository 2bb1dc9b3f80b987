"""Runs as they lie in their folders, whatever became of them."""

import csv
import functools
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from src.config.errors import UserError
from src.runs.files import YamlLoader
from src.runs.folder import is_held

Plain = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run. ``status``: finished, failed, interrupted, running, killed, unreadable, missing, duplicate.

    ``label`` and ``baseline`` are what its ablation calls it and compares with, ``command`` is the ablation's; None for
    a run of no ablation.
    """

    folder: Path
    status: str
    note: str = ""
    seed: int | None = None
    config: Plain = field(default_factory=dict)
    result: Plain = field(default_factory=dict)
    label: str | None = None
    baseline: str | None = None
    command: str | None = None

    @property
    def choices(self) -> Plain:
        return self.config["choices"]

    def metric(self, split: str, name: str) -> float | None:
        return self.result["metrics"][split].get(name)


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """All runs in and below ``folders``, sorted by path. Raises UserError where there is none."""
    paths: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder")
        paths |= {path.resolve(): path for path in _files_of_runs(folder)}
    runs, seen, missing = {}, set(), []
    for path in sorted(paths.values()):
        if path.name == "sweep.yaml":
            continue
        run = read_run(path.parent)
        key = (run.config.get("identity"), run.seed)
        if run.status == "finished" and key in seen:
            run = replace(run, status="duplicate", note="the same configuration and seed as one above")
        seen.add(key)
        runs[path.parent.resolve()] = run
    for path in sorted(paths.values()):
        if path.name == "sweep.yaml":
            missing += join_sweep(path, runs)
    if not runs and not missing:
        raise UserError(f"no runs in {', '.join(map(str, folders))}: no folder there has a config.yaml or result.json")
    return [*runs.values(), *missing]


def _files_of_runs(folder: Path) -> Iterator[Path]:
    """A config.yaml or result.json for each run's folder, and each sweep.yaml."""
    for name, below, files in os.walk(folder):
        found = next((file for file in ("config.yaml", "result.json", "sweep.yaml") if file in files), None)
        if found:
            yield Path(name, found)
        if found in ("config.yaml", "result.json"):
            below.clear()


def join_sweep(path: Path, runs: dict[Path, Run]) -> list[Run]:
    """Give the runs of an ablation what its sweep.yaml says of them; the jobs that have no run."""
    try:
        sweep = yaml.load(path.read_text(), YamlLoader)
        jobs, of_all = sweep["jobs"], {"baseline": sweep["baseline"], "command": sweep.get("command")}
        wanted = [(job["label"], job["seed"], job["folder"], " ".join(job["overrides"])) for job in jobs]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        return [Run(path, "unreadable", _first_line(error))]
    missing = []
    for label, seed, folder, words in wanted:
        place = (path.parent / folder).resolve() if folder else None
        if place in runs:
            runs[place] = replace(runs[place], label=label, **of_all)
        else:
            note = f"{label}, seed {seed}: python train.py {words}"
            missing.append(Run(path.parent, "missing", note, seed, label=label, **of_all))
    return missing


def read_run(folder: Path) -> Run:
    """What a run's folder says of it."""
    try:
        config = read_config((folder / "config.yaml").read_text())
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return Run(folder, "unreadable", f"config.yaml: {_first_line(error)}")
    seed = config["seed"]
    try:
        result = json.loads((folder / "result.json").read_text())
        status = result["status"]
        if status == "finished":
            assert result["metrics"]["test"], "no test metrics"
            assert result["metrics"]["val"], "no validation metrics"
            assert result["run"], "no run"
    except FileNotFoundError:
        return Run(folder, *_unended(folder, "no result.json yet"), seed, config)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        return Run(folder, "unreadable", f"result.json: {_first_line(error)}", seed, config)
    note = str(result.get("error", "")) if status == "failed" else ""
    if status == "running":
        status, note = _unended(folder, "")
    return Run(folder, status, note, seed, config, result)


def _unended(folder: Path, note: str) -> tuple[str, str]:
    """Status and note of a run that says no end: a process that trains it holds its folder."""
    return ("running", note) if is_held(folder) else ("killed", "no process is training it")


def read_config(text: str) -> Plain:
    """config.yaml's content. The runs of a loss differ in one line: the rest is parsed once."""
    found = re.search(r"^seed: (\d+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("no seed")
    return _parsed(text.replace(found[0], "seed: 0")) | {"seed": int(found[1])}


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Plain:
    config = yaml.load(text, YamlLoader)
    missing = [key for key in ("choices", "identity", "facts") if key not in config]
    if missing:
        raise ValueError(f"no {missing[0]}")
    return config


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def read_curves(path: Path, prefix: str) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of the tags that start with ``prefix``, from metrics.csv or timing.csv; {} where it is not."""
    curves: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    try:
        with path.open(newline="") as file:
            wanted = (line for line in file if f",{prefix}" in line)
            for row in csv.reader(wanted):
                if len(row) == 5:  # a running process may have half a line on disk
                    curves[row[3]][0].append(int(row[0]))
                    curves[row[3]][1].append(float(row[4]))
    except (OSError, ValueError):
        return {}
    return dict(curves)
