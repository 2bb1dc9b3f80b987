"""A sweep from its list of jobs to its table. The one rule: the same command finishes what is missing."""

import os
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config.schema import AblationConf
from ..folder.debugging import debugging
from ..folder.folder import home_of
from ..folder.links import how_to_look
from ..folder.lock import held, is_held
from ..names import called
from ..system.files import write_yaml
from .jobs import Job
from .outcome import Outcome, find
from .screen import means_table, reasons_of, say

Launch = Callable[[Sequence[Job]], tuple[list[Outcome], int | None]]


def sweep(jobs: list[Job], ablation: AblationConf | None, command: str, launch: Launch) -> int:
    """Run the jobs that are not finished; the exit status: 0, or 1 if a run is not finished, or 128 + the signal.

    ``command`` is what was typed. ``launch`` runs jobs and tells how each ended, and which signal stopped it. Raises
    UserError.
    """
    home = home_of(jobs[0].cfg, jobs[0].choices)
    if ablation is None:
        return run_all(jobs, launch, lambda: None)
    with held(home, f"{home}: another process is running this ablation"):
        return run_all(jobs, launch, lambda: record(home, ablation, command, jobs))


def run_all(jobs: list[Job], launch: Launch, note: Callable[[], None]) -> int:
    """Start each job, and tell the end of all.

    Only the run itself knows the content of its data, so a job whose run is finished starts too, looks and ends.
    """
    note()
    say(f"{len(jobs)} runs")
    outcomes, signum = trained(jobs, launch)
    note()
    return conclude(jobs, outcomes, signum)


def trained(jobs: Sequence[Job], launch: Launch) -> tuple[list[Outcome], int | None]:
    """Launch the jobs, and wait for those that another process trains; their ends, and the signal that stopped them."""
    outcomes, signum = launch(jobs)
    while signum is None and any(outcome.state == "elsewhere" for outcome in outcomes):
        signum = wait(jobs, outcomes, launch)
    return outcomes, signum


def wait(jobs: Sequence[Job], outcomes: list[Outcome], launch: Launch) -> int | None:
    """Wait for a run that another process was training, and put its end into ``outcomes``; where it was left, start it.

    Two equal sweeps at a time share their runs in this way. The signal that stopped this, if one did.
    """
    there = [i for i, outcome in enumerate(outcomes) if outcome.state == "elsewhere"]
    say(f"waiting: another process is training {len(there)} of the runs")
    free: list[int] = []
    try:
        while not free:
            time.sleep(0.5)
            free = [i for i in there if not (folder := outcomes[i].folder) or not is_held(folder)]
    except SystemExit as stop:  # a signal's
        return int(stop.code or 0) - 128
    fresh, signum = launch([jobs[i] for i in free])
    for i, outcome in zip(free, fresh, strict=True):
        outcomes[i] = outcome
    return signum


def conclude(jobs: Sequence[Job], outcomes: Sequence[Outcome], signum: int | None) -> int:
    """Print the table and what is not finished; the exit status."""
    say(f"\n{means_table(jobs, outcomes)}")
    missing = [(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if outcome.state != "finished"]
    if signum is not None:
        name = signal.Signals(signum).name
        say(f"\nstopped by {name}, {len(missing)} of {len(jobs)} runs left; the same command resumes it")
        return 128 + signum
    homes = {
        home_of(job.cfg, job.choices)
        for job, outcome in zip(jobs, outcomes, strict=True)
        if outcome.state == "finished" and not debugging(job.cfg, job.choices)
    }
    if homes:
        say(f"\ncompare them: {called('report')} {' '.join(shlex.quote(str(home)) for home in sorted(homes))}")
        say("\n".join(how_to_look(home) for home in sorted(homes)))
    if not missing:
        return 0
    say(f"\n{len(missing)} of {len(jobs)} runs are not finished:\n{reasons_of(missing)}")
    failed = any(outcome.result.get("status") == "failed" for _, outcome in missing)
    say("the same command tries the rest again" + ("; failed runs only with retry_failed=true" if failed else ""))
    return 1


def record(home: Path, ablation: AblationConf, command: str, jobs: Sequence[Job]) -> None:
    """Write sweep.yaml, for the report: what the ablation was last asked to run, where each run is, what is claimed."""
    rows: list[dict[str, Any]] = []
    for job in jobs:
        run = find(job)
        rows.append(
            {
                "label": job.label,
                "lr": job.cfg.get("optimizer", {}).get("lr"),
                "seed": job.seed,
                "folder": os.path.relpath(run.path, home) if run else None,  # one for debugging lies elsewhere
                "overrides": list(job),
                "debugging": debugging(job.cfg, job.choices),
            }
        )
    told = {"baseline": ablation.baseline, "margin": ablation.margin, "claims": ablation.claims}
    write_yaml(home / "sweep.yaml", {**told, "command": command, "jobs": rows})
