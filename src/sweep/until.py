"""An ablation that trains seeds in looks, until each of its comparisons with the baseline is decided."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..config.errors import UserError
from ..config.schema import AblationConf
from ..config.until import Until
from ..folder.debugging import debugging
from ..folder.folder import home_of
from ..folder.lock import held
from ..metrics.families import FAMILIES
from ..metrics.margins import margins_of
from ..report.groups import SEQUENTIAL
from ..report.sequential import LOST, OPEN, Look, Plan, effect, judged, looks, plain, read_plan, runs_of
from ..report.words import listed
from ..system.files import write_yaml
from .jobs import Job
from .outcome import Outcome, find
from .screen import say
from .sweep import Launch, conclude, record, trained

Note = Callable[[Sequence[Job]], None]


def plan_of(jobs: Sequence[Job], ablation: AblationConf, until: Until) -> Plan:
    """What the ``jobs``, of all seeds that may be trained, decide. Raises UserError."""
    baseline, margins = ablation.baseline, margins_of(ablation.margin) if ablation.margin else {}
    labels = list(dict.fromkeys(job.label for job in jobs))
    if baseline not in labels:
        raise UserError(f"until=verdict compares with the baseline {baseline}, which is none of {', '.join(labels)}")
    if len(labels) == 1:
        raise UserError(f"until=verdict has nothing to compare: {baseline} is the only loss")
    for job in jobs:
        if why := debugging(job.cfg, job.choices):
            raise UserError(f"until=verdict and {why} do not go together: runs for debugging are never compared")
        if family := FAMILIES.get(job.choices["task"] or ""):  # a task of the user's own tells after its first runs
            judged(family.columns, until.metric)
    seeds = dict.fromkeys(job.seed for job in jobs if job.seed is not None)
    others = [label for label in labels if label != baseline]
    return Plan(until.metric, baseline, tuple(others), tuple(seeds), margins.get(until.metric))


def sweep_until(jobs: Sequence[Job], ablation: AblationConf, plan: Plan, command: str, launch: Launch) -> int:
    """Run those of the ``jobs`` that the plan's looks ask for; the exit status, as that of a sweep. Raises UserError.

    Every look is decided from the runs' folders, so that the same command decides the same however often it was killed.
    """
    home = home_of(jobs[0].cfg, jobs[0].choices)
    with held(home, f"{home}: another process is running this ablation"):
        check_plan(home / SEQUENTIAL, plan)

        def note(listed: Sequence[Job]) -> None:
            record(home, ablation, command, listed)

        return Looking(jobs, plan, home, note, launch).run()


def check_plan(path: Path, plan: Plan) -> None:
    """Raise UserError where looks were taken by another plan: the boundary holds only for what was planned before."""
    try:
        old = read_plan(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}. Delete it to decide anew from the runs") from None
    if old != plan:
        differing = [key for key, value in vars(old).items() if value != getattr(plan, key)]
        names = {"labels": "losses", "seeds": f"max_seeds ({len(old.seeds)}, now {len(plan.seeds)})"}
        raise UserError(
            f"{path.parent} was begun with other {listed([names.get(key, key) for key in differing])}. Its looks are"
            " taken, and a verdict by another plan would err more often than it says: give the words of before"
        )


class Looking:
    """One command: the ``jobs`` that it has launched, how they ended, and what was seen at its ``looks``."""

    def __init__(self, jobs: Sequence[Job], plan: Plan, home: Path, note: Note, launch: Launch) -> None:
        self.all, self.plan, self.home, self.note, self.launch = jobs, plan, home, note, launch
        self.jobs: list[Job] = []
        self.outcomes: list[Outcome] = []
        self.looks: list[Look] = []

    def run(self) -> int:
        """Look after look, until nothing is open; the exit status."""
        plan, left = self.plan, list(self.plan.labels)
        ends = listed([str(seeds) for seeds in plan.looks], 100)
        say(f"{plan.metric} against {plan.baseline}, until it is decided: looks after {ends} seeds")
        if not (self.home / SEQUENTIAL).exists():
            self._write()
        for k, seeds in enumerate(plan.looks):
            if (signum := self._train({plan.baseline, *left}, set(plan.seeds[:seeds]))) is not None:
                return conclude(self.jobs, self.outcomes, signum)
            self.looks = looks(plan, runs_of(self._folders()))
            self._write()
            if len(self.looks) <= k:
                say(f"{plan.baseline} is not finished, and nothing can be compared with it")
                break
            self._tell(k)
            left = [verdict.label for verdict in self.looks[k].verdicts if verdict.word == OPEN]
            if not left:
                break
        self._sum_up()
        return conclude(self.jobs, self.outcomes, None)

    def _train(self, labels: set[str], seeds: set[int]) -> int | None:
        """Launch the runs of these losses and seeds that this command has not launched; the signal that stopped it."""
        new = [job for job in self.all if job.label in labels and job.seed in seeds and job not in self.jobs]
        self._record(new)
        outcomes, signum = trained(new, self.launch)
        self.jobs += new
        self.outcomes += outcomes
        self._record([])
        return signum

    def _write(self) -> None:
        write_yaml(self.home / SEQUENTIAL, plain(self.plan, self.looks))

    def _record(self, new: Sequence[Job]) -> None:
        """sweep.yaml lists what was launched, and what a command before left."""
        asked = {id(job) for job in [*self.jobs, *new]}
        self.note([job for job in self.all if id(job) in asked or find(job)])

    def _folders(self) -> list[tuple[Path, str]]:
        pairs = zip(self.jobs, self.outcomes, strict=True)
        return [(end.folder, job.label) for job, end in pairs if end.folder and end.state == "finished"]

    def _tell(self, k: int) -> None:
        look, plan = self.looks[k], self.plan
        say(f"\nlook {k + 1} of {len(plan.looks)}, after {look.seeds} seeds:")
        width = max(map(len, plan.labels))
        for verdict in look.verdicts:
            told = ""  # where nothing can be told
            if verdict.span is not None:
                told = f"{effect(look, verdict.span):20}   p = {verdict.span.p:.2g}, needed {verdict.level:.2g}"
            say(f"  {verdict.label:{width}}  {verdict.word:19}  {told}".rstrip())
        say("")

    def _sum_up(self) -> None:
        ends = {verdict.label: (verdict.word, look.seeds) for look in self.looks for verdict in look.verdicts}
        say(f"{len(self.jobs)} of at most {len(self.all)} runs:")
        for label in self.plan.labels:
            word, seeds = ends.get(label, (LOST, 0))
            say(f"  {label}: {word} after {seeds} seeds" if word != LOST else f"  {label}: {word}")
