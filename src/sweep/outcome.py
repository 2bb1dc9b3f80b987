"""How a job ended, read from the folder of its run: an exit status alone is never believed."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

from ..config.errors import UserError
from ..folder.folder import BUSY, RunFolder, home_of
from ..folder.identity import identity
from ..metrics.columns import Family
from ..plain import Plain
from ..system.files import sha256_of
from .jobs import Job

SETTLED = ("threads", "precision", "compile", "speed")  # of a run's configuration, beside its facts


@dataclass(frozen=True)
class Outcome:
    """``state``: finished, failed, interrupted, elsewhere (another process trains it), or waiting (not started).

    ``reason``: why it is not finished.
    """

    state: str
    reason: str = ""
    folder: Path | None = None
    result: Plain = field(default_factory=dict)
    family: Family | None = None  # what a finished run measures

    @property
    def shown(self) -> dict[str, float | None]:
        """Name -> value of the few test metrics that a line has room for; {} if it is not finished."""
        if self.family is None:
            return {}
        return {name: self.result["metrics"]["test"].get(name) for name in self.family.shown}


def find(job: Job) -> RunFolder | None:
    """The folder of the job's run, if there is one: the same identity, on the device and data of that run.

    Where the content of a data set changed in between, there can be two; then it is the one written last. So there can
    where precision or compilation are left to the machine: then it is one of the job's own preset, if there is any.
    """
    home = home_of(job.cfg, job.choices)
    heard = {key: value for key in ("teacher", "judge") if (value := hash_of_run(job.cfg[key]))}
    found = []
    for path in home.glob(f"*/seed{job.seed}/config.yaml"):
        try:
            stored, facts = stored_identity(path, path.stat().st_mtime_ns)
        except UserError:
            continue  # damaged: the job itself will say so, if it is its own
        known = {key: value for key, value in facts.items() if key not in SETTLED}
        cfg = as_settled(job.cfg, facts)
        if identity(cfg, known | heard) == stored:
            found.append((facts["speed"] == job.choices["speed"], RunFolder(path.parent)))
    return max(found, key=lambda pair: (pair[0], written(pair[1])), default=(False, None))[1]


def as_settled(cfg: Plain, run: Plain) -> Plain:
    """The configuration with what it leaves to the machine as that of a run has it."""
    trainer = cfg["trainer"]
    own = {
        "threads": run["threads"] if trainer["threads"] is None else trainer["threads"],
        "precision": run["precision"] if trainer["precision"] == "auto" else trainer["precision"],
    }
    return cfg | {"trainer": trainer | own, "compile": run["compile"] if cfg["compile"] == "auto" else cfg["compile"]}


def written(run: RunFolder) -> int:
    return run.result.stat().st_mtime_ns if run.result.exists() else 0


@functools.cache
def stored_identity(config: Path, mtime: int) -> tuple[str, Plain]:
    """The identity in a run's config.yaml, the facts that it was made from, and what the machine settled."""
    stored = RunFolder(config.parent).read_config()
    settled = {key: stored["trainer"][key] for key in ("threads", "precision")}
    settled |= {"compile": stored["compile"], "speed": stored["choices"].get("speed")}
    original = stored.get("name") in (None, config.parent.parent.name)  # a copy of a run's folder is not that run
    return stored.get("identity", "") if original else "", stored.get("identity_facts", {}) | settled


@functools.cache
def hash_of_run(path: str | None) -> str | None:
    """The hash of a run that is heard, as an identity holds it; None if there is none, or none yet."""
    weights = RunFolder(Path(path).expanduser()).weights if path else None
    return sha256_of(weights) if weights and weights.is_file() else None


def outcome_of(job: Job, status: int, reason: str) -> Outcome:
    """How a job ended that ran just now, with this exit status; ``reason`` is what it said at its end."""
    try:
        run = find(job)
        result = run.read_result() if run else {}
        told = result.get("status")
        measured = run.measured(result) if run and told == "finished" else None
    except UserError as error:
        return Outcome("failed", str(error))
    folder = run.path if run else None
    if status == 2 and reason.endswith(BUSY):
        return Outcome("elsewhere", reason, folder, result)
    if told == "finished" and status == 0:
        return Outcome("finished", "", folder, result, measured)
    if told == "interrupted" and status in (130, 143):
        return Outcome("interrupted", "stopped by a signal", folder, result)
    if told == "failed" and status == 1:
        return Outcome("failed", result["error"], folder, result)
    return Outcome("failed", reason or f"it ended with status {status}, but its result says {told}", folder, result)


def left(job: Job, reason: str) -> Outcome:
    """How a job stands that its launcher watches no more, for this ``reason``: by its folder alone.

    Where that was to be trained anew, what it says may be old, and is not believed.
    """
    try:
        run = None if job.cfg["overwrite"] else find(job)
        told = run.read_result().get("status") if run else None
    except UserError as error:
        return Outcome("failed", str(error))
    if told not in ("finished", "interrupted", "failed"):
        return Outcome("failed", reason, run.path if run else None)
    return outcome_of(job, {"finished": 0, "interrupted": 143, "failed": 1}[told], reason)
