"""The trials of a search: each a run of its own, watched while it trains and told to Optuna when it ends."""

import csv
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..metrics.families import FAMILIES
from ..sweep.jobs import Composer, Job
from ..sweep.launch import Child, Processes, visible_gpus
from ..sweep.outcome import Outcome, find
from ..sweep.screen import Screen, duration
from .space import Dimension

# What a search can be for, and which way: what is better or worse in some family of tasks. The training objective is
# none: it is not comparable between losses.
METRICS = {
    f"val/{column.name}": "maximize" if column.better > 0 else "minimize"
    for family in FAMILIES.values()
    for column in family.columns
    if column.better
}
ALL_FAIL = 3  # failures from the start on, after which no other trial is tried


@dataclass
class Attempt:
    """A trial and its run."""

    trial: optuna.Trial
    job: Job
    told: int  # validations that the pruner knows
    child: Child | None = None
    looked: float = 0.0  # when its validations were last read
    pruned: bool = False
    lack: str = ""  # says that its validations do not have what the search is for


class Search(Processes):
    """Asks Optuna for trials and runs them, so many at a time; what was running when it was stopped comes first."""

    def __init__(self, study: optuna.Study, fixed: list[str], space: list[Dimension], composer: Composer) -> None:
        super().__init__(None, None, "continue")
        self.study, self.fixed, self.space, self.composer = study, fixed, space, composer
        self.metric: str = study.user_attrs["metric"]
        self.screen = Screen()
        self.active: list[Attempt] = []
        self.failures = 0  # so far, while none has done better

    def search(self, trials: int, at_once: int) -> int | None:
        """Go on to ``trials`` in all; the signal that stopped it, if one did."""
        self.trials, gpus = trials, visible_gpus()
        left = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        with self._signals(), self.warm:
            while self.active or (self._wants_more() and (left or self._asked() < trials)):
                while self._wants_more() and len(self.active) < at_once and (left or self._asked() < trials):
                    self.active.append(self._again(left.pop(0)) if left else self._next())
                    self._begin_those_alone(gpus)
                time.sleep(0.1)
                for attempt in [attempt for attempt in self.active if attempt.child]:
                    self._look(attempt)
                self._begin_those_alone(gpus)
                self.screen.draw(self._shown)
        return self.signum

    def _wants_more(self) -> bool:
        return self.signum is None and self.failures < ALL_FAIL

    def _asked(self) -> int:
        return len(self.study.get_trials(deepcopy=False))

    def _next(self) -> Attempt:
        self.study.sampler = sampler(self._asked())
        trial = self.study.ask({dimension.key: dimension.distribution for dimension in self.space})
        return Attempt(trial, self._job(trial.number, trial.params), 0)

    def _again(self, frozen: FrozenTrial) -> Attempt:
        self.study.sampler = sampler(frozen.number)
        trial = optuna.Trial(self.study, frozen._trial_id)
        if len(frozen.params) < len(self.space):  # killed between two draws
            for dimension in self.space:
                name, values = dimension.key, dimension.distribution
                if name in frozen.params:  # drawn once more, for what it leaves to the next draw
                    self.study.sampler.sample_independent(self.study, frozen, name, values)
                else:
                    trial._suggest(name, values)
        return Attempt(trial, self._job(trial.number, trial.params), len(frozen.intermediate_values))

    def _job(self, number: int, params: dict[str, Any]) -> Job:
        words = [dimension.word(params[dimension.key]) for dimension in self.space]
        job = Job([*self.fixed, *words])
        self.composer.compose(job)
        job.title = f"{number:>3}  {' '.join(words)}"
        return job

    def _begin_those_alone(self, gpus: list[str]) -> None:
        """Start what waits, but for trials with the words of one that runs: they take its result when it is there."""
        for attempt in [attempt for attempt in self.active if attempt.child is None]:
            if self.signum is not None:
                self.active.remove(attempt)
            elif all(child.job != attempt.job for child in self.children):
                self._begin(attempt, gpus)

    def _begin(self, attempt: Attempt, gpus: list[str]) -> None:
        if attempt.job.fault:
            self._end(attempt, Outcome("failed", attempt.job.fault))
            return
        if self._hopeless(attempt):
            self._end(attempt, Outcome("interrupted", "pruned"))
            return
        if not self._ready(attempt.job):
            return
        self._start(attempt.job, gpus, str(attempt.trial.number))
        attempt.child = self.children[-1]
        self.screen.say(f"trial {attempt.job.title}  started")

    def _look(self, attempt: Attempt) -> None:
        assert attempt.child is not None
        if attempt.child.process.poll() is not None:
            self._end(attempt, self._collect(attempt.child))
        elif time.monotonic() > attempt.looked + 0.5 and not attempt.pruned and self.signum is None:
            attempt.looked = time.monotonic()
            if not attempt.lack and (self._lacks(attempt) or self._hopeless(attempt)):
                attempt.child.process.send_signal(signal.SIGTERM)

    def _lacks(self, attempt: Attempt) -> bool:
        """Whether the run was validated, and this gave no value of what the search is for."""
        run = find(attempt.job)
        there = {row["tag"] for row in rows_of(run.path / "metrics.csv")} if run else set()
        known = ", ".join(tag for tag in METRICS if tag in there) or "nothing"
        if any(tag.startswith("val/") for tag in there) and self.metric not in there:
            attempt.lack = f"its validations have no {self.metric}; a search of such runs can be for {known}"
        return bool(attempt.lack)

    def _hopeless(self, attempt: Attempt) -> bool:
        """Tell the pruner of the validations since; whether it gives the trial up. They are counted, not placed by
        step, so that trials with other batch sizes can be compared."""
        run = find(attempt.job)
        table = rows_of(run.path / "metrics.csv") if run else []
        values = [float(row["value"]) for row in table if row["tag"] == self.metric]
        fresh = values[attempt.told :]
        for value in fresh:
            attempt.trial.report(value, attempt.told)
            attempt.told += 1
        attempt.pruned = bool(fresh or (values and attempt.child is None)) and attempt.trial.should_prune()
        return attempt.pruned

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        self.active.remove(attempt)
        state, value, reason = self._judged(attempt, outcome)
        seconds = f"  {duration(time.monotonic() - attempt.child.start)}" if attempt.child else ""
        told = state.name.lower() if state else "stopped"
        said = f"trial {attempt.job.title}  {told}" + (f"  {self.metric} {value:.4f}" if value is not None else "")
        self._count(state)
        lines = [said + seconds, *(f"    {line}" for line in reason.splitlines())]
        self.screen.say("\n".join(lines))
        if state is not None:  # else it is still running, for the next command
            run = find(attempt.job)
            attempt.trial.set_user_attr("folder", str(run.path) if run else None)
            attempt.trial.set_user_attr("words", list(attempt.job))
            self.study.tell(attempt.trial, value if state == TrialState.COMPLETE else None, state=state)

    def _count(self, state: TrialState | None) -> None:
        if state == TrialState.FAIL:
            self.failures += 1
        elif state is not None:
            self.failures = -self.trials  # from now on it is a trial's own fault

    def _judged(self, attempt: Attempt, outcome: Outcome) -> tuple[TrialState | None, float | None, str]:
        if attempt.lack or (outcome.state == "finished" and self._lacks(attempt)):
            return TrialState.FAIL, None, f"{attempt.lack}\nfolder: {outcome.folder}"
        if outcome.state == "finished":
            return TrialState.COMPLETE, outcome.result["metrics"]["val"][self.metric.removeprefix("val/")], ""
        if attempt.pruned:
            return TrialState.PRUNED, None, ""
        if outcome.state == "interrupted":
            return None, None, "the same command resumes it"
        return TrialState.FAIL, None, outcome.reason + (f"\nfolder: {outcome.folder}" if outcome.folder else "")

    def _shown(self) -> Sequence[str]:
        ended = self._asked() - len(self.active)
        rows = [f"  {child.job.title}  {child.progress()}" for child in self.children]
        return [f"{ended} of {self.trials} trials ended, {len(rows)} running", *rows]


def rows_of(metrics: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv, so far as its lines are complete."""
    try:
        text = metrics.read_text()
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def sampler(number: int) -> optuna.samplers.BaseSampler:
    """One of its own for each trial: its draws depend on the trials before it alone, wherever a search was stopped.

    constant_liar: what runs now counts as bad, so that others look elsewhere.
    """
    return optuna.samplers.TPESampler(seed=number, constant_liar=True)
