"""Hydra's entry to a sweep: the sweeper makes the jobs, the launcher runs them, each as a process of its own."""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ..config.message import message
from ..config.schema import LAUNCHER, SWEEPER
from ..config.until import until_of
from ..names import called
from ..system.lifetime import lead_here
from .ablation import ablation_of
from .jobs import Job, as_typed, jobs_of
from .launch import Processes, config_flags
from .outcome import Outcome, left, outcome_of
from .sweep import sweep

SAID_ELSEWHERE = ("hydra.mode=", "hydra.searchpath=")  # by -m or ablation=, and by config_flags


class JobsSweeper(Sweeper):
    """Makes the jobs, has the launcher run those that are missing, and ends the process with the sweep's status."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.master, self.loader = config, hydra_context.config_loader
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        if not isinstance(self.launcher, ProcessesLauncher):
            # a scheduler gives each job its own cores, and it takes them all
            self._sweep(arguments, jobs_of(self.master, self.loader, arguments, None))
        processes = self.launcher.processes
        with processes.warm:
            # jobs side by side on one machine: threads that share a core wait for each other
            jobs = jobs_of(self.master, self.loader, arguments, 1, processes.prepare)
            processes.check(jobs)
            self._sweep(arguments, jobs)

    def _sweep(self, arguments: list[str], jobs: list[Job]) -> NoReturn:
        """Run the jobs, and end the process with the sweep's status."""
        name = self.master.hydra.runtime.choices["ablation"]
        ablation = ablation_of(name, self.master.ablation) if self.master.ablation else None
        beside = [word for word in self.master.hydra.overrides.hydra if not word.startswith(SAID_ELSEWHERE)]
        command = f"{called('train')} {shlex.join([*config_flags(), *as_typed([*arguments, *beside])])}"
        until = until_of(as_typed(arguments))
        if ablation is None or until is None:
            sys.exit(sweep(jobs, ablation, command, self._launch))
        from .until import plan_of, sweep_until  # scipy: no other sweep has to wait for it

        sys.exit(sweep_until(jobs, ablation, plan_of(jobs, ablation, until), command, self._launch))

    def _launch(self, jobs: Sequence[Job]) -> tuple[list[Outcome], int | None]:
        assert self.launcher is not None
        if not isinstance(self.launcher, ProcessesLauncher):
            lead_here(os.environ)
        try:
            returns = self.launcher.launch(jobs, initial_job_idx=0)
        except Exception as error:  # other launchers end so where one of their processes was killed
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            return [left(job, f"its launcher gave up, though it may still run: {reason}") for job in jobs], None
        signum = self.launcher.signum if isinstance(self.launcher, ProcessesLauncher) else None
        return [outcome(job, end) for job, end in zip(jobs, returns, strict=True)], signum


def outcome(job: Job, end: JobReturn) -> Outcome:
    """What a launcher tells of a job: our own all; others the exit status, or what was raised."""
    value = end._return_value  # the property prints, and raises
    if isinstance(value, Outcome):
        return value
    completed = end.status == JobStatus.COMPLETED
    return outcome_of(job, value, "") if completed else outcome_of(job, 2, message(value)[0])


class ProcessesLauncher(Launcher):
    """Runs each job as a process of its own, as a user would give its command."""

    def __init__(self, jobs: int | None, devices: Sequence[int] | None, on_error: str) -> None:
        self.settings = (jobs, devices, on_error)

    @property
    def signum(self) -> int | None:
        """The signal that stopped the jobs."""
        return self.processes.signum

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.processes = Processes(*self.settings)  # here, as Hydra would hide what it raises in the constructor

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = [words for words in job_overrides if isinstance(words, Job)]
        assert len(jobs) == len(job_overrides), "jobs come from JobsSweeper"
        outcomes = self.processes.run(jobs)
        return [
            JobReturn(overrides=list(job), status=JobStatus.COMPLETED, _return_value=value)
            for job, value in zip(jobs, outcomes, strict=True)
        ]


def register() -> None:
    """Make sweeper and launcher known to Hydra, which itself looks for plugins only in packages ``hydra_plugins``.

    It finds a plugin by the name that the configuration has, and takes only names that begin so.
    """
    plugins = Plugins.instance()
    for target, plugin in ((SWEEPER, JobsSweeper), (LAUNCHER, ProcessesLauncher)):
        plugins.register(plugin)
        plugins.class_name_to_class[target] = plugin
