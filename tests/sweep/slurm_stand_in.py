"""Stands in for a SLURM cluster of this one machine: sbatch, srun, sacct and scontrol requeue, as submitit calls them.

``install`` writes the commands into a folder for PATH; what they know is in the folder SLURM_STAND_IN: for each job
(ID, or ID_INDEX of an array) a log of "start", "requeue" and "end STATUS".
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """The environment in which the commands are found."""
    (folder / "bin").mkdir()
    (folder / "state").mkdir()
    for name in COMMANDS:
        path = folder / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, name])} "$@"\n')
        path.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_STAND_IN": str(folder / "state")}


def sbatch(script: str) -> None:
    """Start the job, or each task of the array, and return at once."""
    array = re.search(r"--array=0-(\d+)", Path(script).read_text())
    job = 1000 + len(list(state().glob("*.sh")))
    copy = state() / f"{job}.sh"
    copy.write_text(Path(script).read_text())
    for index in range(int(array[1]) + 1) if array else [None]:
        name = f"{job}" if index is None else f"{job}_{index}"
        log(name, "wait")
        subprocess.Popen(
            [sys.executable, __file__, "node", str(copy), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(f"Submitted batch job {job}")


def node(script: str, name: str) -> None:
    """Run the script of a job, again where it was requeued."""
    job, _, index = name.partition("_")
    env = {**os.environ, "SLURM_JOB_ID": job, "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "localhost"}
    env |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": index} if index else {}
    while True:
        log(name, "start")
        done = subprocess.run(["bash", script], env=env)
        if lines(name)[-1] != "requeue":
            break
    log(name, f"end {done.returncode}")


def srun(*words: str) -> None:
    """Run the command as the one task of the job, its output where --output and --error say."""
    options, at = {}, 0
    while words[at].startswith("--"):
        key = words[at]
        at += 1
        if key in ("--output", "--error"):
            options[key] = words[at].replace("%A", "%j").replace("%j_%a", "%j").replace("%t", "0")
            at += 1
    name = "_".join(filter(None, (os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID"))))
    task = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "1"}
    with (
        open(options["--output"].replace("%j", name), "ab") as out,  # noqa: PTH123
        open(options["--error"].replace("%j", name), "ab") as err,  # noqa: PTH123
    ):
        code = subprocess.run(words[at:], env={**os.environ, **task}, stdout=out, stderr=err).returncode
    sys.exit(code if code >= 0 else 128 - code)


def sacct(*words: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(state().glob("*.log")):
        last = lines(path.stem)[-1]
        told = {"wait": "PENDING", "end 0": "COMPLETED"}.get(last, "FAILED" if last.startswith("end") else "RUNNING")
        print(f"{path.stem}|{told}|localhost")


def scontrol(verb: str, name: str) -> None:
    assert verb == "requeue"
    log(name, "requeue")


def state() -> Path:
    return Path(os.environ["SLURM_STAND_IN"])


def log(name: str, line: str) -> None:
    with (state() / f"{name}.log").open("a") as file:
        file.write(f"{line}\n")


def lines(name: str) -> list[str]:
    return (state() / f"{name}.log").read_text().splitlines()


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scontrol": scontrol, "node": node}[sys.argv[1]](*sys.argv[2:])
