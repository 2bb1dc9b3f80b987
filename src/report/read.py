"""Runs as they lie in their folders, whatever became of them: the one place where a report reads and checks them."""

import functools
import math
import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config.errors import UserError, first_line
from ..folder.debugging import debugging
from ..folder.lock import is_held
from ..folder.sums import check_config, check_files, read_sealed
from ..metrics.claims import Claim, claims_of
from ..metrics.columns import Family, family_of
from ..plain import Plain
from ..system.files import DamagedError, parse_yaml, read_bytes, read_text, read_yaml
from . import schema
from .examples import Examples, read_examples
from .find import search

Curves = dict[str, tuple[list[int], list[float]]]
LONGEST = 2**30  # bytes of a metrics.csv
SPEED = "train/examples_per_second"
TAG = re.compile(rb"[\w./-]+")


@dataclass(frozen=True)
class Run:
    """One run. ``status``: finished, failed, interrupted, running, killed, damaged, missing, duplicate.

    Of a finished run everything holds what ``schema`` says. ``examples``: None where predictions.npz is not there.
    ``curves``: tag -> steps and values, of validation and of the training's speed. ``label`` and ``baseline`` are what
    its ablation calls it and compares with, ``command``, ``margin`` and ``claims`` are the ablation's; None, and no
    claims, for a run of none.
    ``debugging``: what makes it a run for debugging, which is no result; "" for any other. ``ended``: when result.json
    was last written, in seconds since 1970. ``remark`` and ``tags`` are the user's own.
    """

    folder: Path
    status: str
    note: str = ""
    seed: int | None = None
    config: Plain = field(default_factory=dict)
    result: Plain = field(default_factory=dict)
    examples: Examples | None = None
    curves: Curves = field(default_factory=dict)
    label: str | None = None
    baseline: str | None = None
    command: str | None = None
    margin: str | None = None
    claims: tuple[Claim, ...] = ()
    debugging: str = ""
    ended: float = math.nan

    @property
    def remark(self) -> str:
        return self.config.get("note") or ""

    @property
    def tags(self) -> list[str]:
        return self.config.get("tags") or []

    @functools.cached_property
    def family(self) -> Family:
        """What it measures. Only a run that wrote its first result has one."""
        return family_of(self.result["family"])

    @property
    def choices(self) -> Plain:
        return self.config["choices"]

    def metric(self, split: str, name: str) -> float | None:
        value = self.result["metrics"][split].get(name)
        return None if value is None or math.isnan(value) else float(value)


def find_runs(folders: Sequence[Path], *, values: bool = True) -> list[Run]:
    """All runs in and below ``folders``, sorted by path, each once however many links lead to it. ``values``: as in
    ``read_run``. Raises UserError where there is none."""
    found = search(folders)
    sweeps = [path for path in found.marks if path.name == "sweep.yaml"]
    runs = {
        path.parent.resolve(): read_run(path.parent, values=values) for path in sorted(set(found.marks) - set(sweeps))
    }
    lost = [Run(folder, "damaged", why) for folder, why in found.unseen.items()]
    seen = set()
    for place, run in runs.items():
        ablation = run.config.get("choices", {}).get("ablation")  # two ablations may share runs, and each needs its own
        key = (run.config.get("identity"), run.seed, ablation, run.debugging)
        if run.status == "finished" and key in seen:
            runs[place] = replace(run, status="duplicate", note="the same configuration and seed as one above")
        seen.add(key)
    for path in sweeps:
        lost += join_sweep(path, runs)
    if not runs and not lost:
        raise UserError(f"no runs in {', '.join(map(str, folders))}: no folder there has a config.yaml or result.json")
    return [*runs.values(), *lost]


def join_sweep(path: Path, runs: dict[Path, Run]) -> list[Run]:
    """Give the runs of an ablation what its sweep.yaml says of them; the jobs that have no run.

    A sweep writes its list when it begins and when it ends: while it runs, it is one line how many have not begun.
    """
    try:
        sweep = read_yaml(path)
        checked(path, schema.sweep, sweep)
        command = sweep.get("command")
        # quoted anew, so that what a reader copies into a shell is one command
        command = command and shlex.join(shlex.split(command))
        jobs = [(job, (path.parent / job["folder"]).resolve() if job["folder"] else None) for job in sweep["jobs"]]
    except (OSError, ValueError) as error:
        return [Run(path, "damaged", reason(error))]
    of_all = {"baseline": sweep["baseline"], "command": command, "margin": sweep.get("margin")}
    of_all["claims"] = claims_of(sweep.get("claims") or [])
    missing = []
    for job, place in jobs:
        label, seed = job["label"], job["seed"]
        if place in runs:
            runs[place] = replace(runs[place], label=label, **of_all)
        else:
            note = f"{label}, seed {seed}: {shlex.join(job['overrides'])}"
            told = {"label": label, "debugging": job.get("debugging", "")}
            missing.append(Run(path.parent, "missing", note, seed, **told, **of_all))
    if missing and is_held(path.parent):
        home = path.parent.resolve()
        ahead = max(0, len(jobs) - sum(home in place.parents for place in runs))
        note = f"this sweep is running now, and {ahead} of its {len(jobs)} runs have not begun"
        return [Run(path.parent, "running", note, debugging=missing[0].debugging, **of_all)] if ahead else []
    return missing


def read_run(folder: Path, *, values: bool = True) -> Run:
    """What a run's folder says of it; of one that is damaged, why. Without ``values``, its curves and examples are not
    read, nor their files checked."""
    config: Plain = {}
    try:
        config = read_config(folder / "config.yaml")
        return replace(_read(folder, config, values), debugging=debugging(config, config["choices"]))
    except (OSError, ValueError) as error:
        return Run(folder, "damaged", reason(error), config.get("seed"), config)


def _read(folder: Path, config: Plain, values: bool) -> Run:
    path, seed = folder / "result.json", config["seed"]
    try:
        result = read_sealed(path)
        check_config(result, folder / "config.yaml", config)
    except FileNotFoundError:
        return Run(folder, *_unended(folder, "no result.json yet"), seed, config)
    checked(path, schema.started, result)
    if result["status"] == "running":
        return Run(folder, *_unended(folder, ""), seed, config, result)
    if result["status"] != "finished":
        note = result.get("error", "") if result["status"] == "failed" else ""
        return Run(folder, result["status"], note, seed, config, result)
    if "family" not in result:
        raise DamagedError(path, "it does not say what is measured: an earlier version of xent wrote it")
    checked(path, schema.finished, result)
    run = Run(folder, "finished", "", seed, config, result, ended=path.stat().st_mtime)
    checked(path, schema.metrics(run.family), result)
    if not values:
        return run
    check_files(
        result, [p for name in ("metrics.csv", "timing.csv", "predictions.npz") if (p := folder / name).exists()]
    )
    drawn = ("val/", *(f"train/{name}," for name in run.family.charts))
    curves = read_curves(folder / "metrics.csv", *drawn) | read_curves(folder / "timing.csv", SPEED)
    return replace(run, examples=_examples(run), curves=curves)


def _unended(folder: Path, note: str) -> tuple[str, str]:
    """Status and note of a run that says no end: a process that trains it holds its folder."""
    return ("running", note) if is_held(folder) else ("killed", "no process is training it")


def _examples(run: Run) -> Examples | None:
    """Of predictions.npz, if it is of the test that result.json tells of; None where there is none."""
    facts, path = run.config["facts"], run.folder / "predictions.npz"
    block = facts["input_shape"][0] if facts["kind"] == "text" else None
    try:
        examples = read_examples(path, run.family, block)
    except FileNotFoundError:
        return None
    means = {name: float(values.mean(dtype=np.float64)) for name, values in examples.values.items()}
    means |= {name: gaps.ece for name, gaps in examples.gaps.items()}
    for name, mean in means.items():
        told = run.metric("test", name)
        if told is not None and abs(told - mean) > 0.01 * (1 + abs(told)):
            raise DamagedError(path, f"its {name} is {mean:.4g}, that of result.json {told:.4g}")
    return examples


def checked(path: Path, rule: schema.Rule, value: Any) -> None:
    """Raise DamagedError where ``value``, the content of ``path``, is not what ``rule`` says."""
    try:
        rule(value, "")
    except ValueError as error:
        raise DamagedError(path, str(error)) from None


def reason(error: Exception) -> str:
    """Why a run cannot be read, in one line that names the file."""
    if isinstance(error, DamagedError):
        return f"{error.path.name}: {error.reason}"
    if isinstance(error, FileNotFoundError):
        return f"there is no {Path(error.filename).name}"
    return first_line(error)


def read_config(path: Path) -> Plain:
    """config.yaml's content. The runs of a loss differ in one line: the rest is parsed once."""
    text = read_text(path)
    found = re.findall(r"^seed: (\d{1,18})$", text, re.MULTILINE)
    if len(found) != 1:
        return _parsed(path.name, text)
    return _parsed(path.name, re.sub(r"^seed: \d+$", "seed: 0", text, flags=re.MULTILINE)) | {"seed": int(found[0])}


@functools.lru_cache(maxsize=256)
def _parsed(name: str, text: str) -> Plain:
    path = Path(name)
    config = parse_yaml(path, text)
    checked(path, schema.config, config)
    return config


def read_curves(path: Path, *prefixes: str) -> Curves:
    """Steps and values of the tags that start with one of ``prefixes``; {} where there is no such file.

    Raises DamagedError where a row is none. What follows the last line break is left out: a process may be writing it.
    """
    curves: Curves = defaultdict(lambda: ([], []))
    try:
        content = read_bytes(path, LONGEST)
    except FileNotFoundError:
        return {}
    wanted = re.compile(rb"^.*,(?:%b).*$" % b"|".join(re.escape(p.encode()) for p in prefixes), re.MULTILINE)
    if b"\0" in content:
        raise DamagedError(path, f"byte {content.index(0)} is 0")
    for line in wanted.findall(content[: content.rfind(b"\n") + 1]):
        fields = line.rstrip(b"\r").split(b",")
        try:
            step, _, _, tag, value = fields
            steps, values = curves[tag.decode("ascii")]
            if not TAG.fullmatch(tag) or not 0 <= int(step) < 2**53:
                raise ValueError
            steps.append(int(step))
            values.append(float(value))
        except ValueError:
            raise DamagedError(path, f"a row is {line[:80].decode(errors='replace')!r}") from None
    return dict(curves)
