"""What a report says of an ablation that was trained until its comparisons were decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..config.errors import UserError
from .groups import SEQUENTIAL, Group, Section
from .read import reason
from .sequential import LOST, OPEN, UNKNOWN, Look, Plan, Verdict, ends, levels_at, looks, read_plan
from .words import BETTER, SAME, WORSE, listed

MOST = 12  # losses, and looks, of one sentence
UNDECIDED = {SAME: "no difference shown", OPEN: "not decided yet", LOST: LOST, UNKNOWN: UNKNOWN}


@dataclass(frozen=True)
class Decided:
    """The decisions in the one ``metric`` that said when a section's seeds were enough, by the ``looks`` that were
    taken. ``ends``: label -> its last difference, with the interval and p-values that allow for them."""

    plan: Plan
    looks: Sequence[Look]
    ends: Mapping[str, Verdict]

    @property
    def metric(self) -> str:
        return self.plan.metric

    @property
    def alpha(self) -> float:
        """To which p-value the comparisons in which no difference is shown are held at the last look."""
        shown = sum(verdict.word in (BETTER, WORSE) for verdict in self.ends.values())
        return levels_at(self.plan, len(self.plan.looks) - 1)[min(shown, len(self.plan.labels) - 1)]

    def margins(self, others: Mapping[str, float]) -> dict[str, float]:
        """Those of the ``others``, and what the plan says of its own metric."""
        own = {} if self.plan.margin is None else {self.metric: self.plan.margin}
        return {name: margin for name, margin in others.items() if name != self.metric} | own

    def is_open(self, label: str) -> bool:
        """Whether the same command would train more seeds of this loss."""
        return label in self.ends and self.ends[label].word == OPEN


def find_decided(section: Section, baseline: Group | None) -> Decided | None:
    """Decisions are made anew from the runs. None, and a warning, where they are not those of this report."""
    groups = (*section.groups, *section.passed_over)
    runs = [replace(run, label=group.label) for group in groups for run in group.runs]
    homes = sorted({run.folder.parents[1] for run in runs})
    for path in [home / SEQUENTIAL for home in homes]:
        try:
            plan = read_plan(path)
            found = looks(plan, runs) if len(homes) == 1 else []
        except FileNotFoundError:
            continue
        except (OSError, ValueError, UserError) as error:
            section.warnings.append(f"{path}: it is not known when its runs were compared ({reason(error)})")
            continue
        if len(homes) == 1 and baseline is not None and baseline.label == plan.baseline:
            return Decided(plan, found, ends(plan, found))
        why = f"its runs were trained until {plan.metric} was decided against {plan.baseline} (until=verdict)"
        section.warnings.append(f"{path.parent}: {why}, and no test of this report takes account of that")
    return None


def statement(decided: Decided) -> str:
    """What was planned, what is decided, and what it means for the report's numbers."""
    plan, name = decided.plan, decided.metric
    head = (
        f"The seeds were trained until {name} was decided against {plan.baseline}"
        f" (until=verdict, at most {len(plan.seeds)} seeds)"
    )
    if not decided.looks:
        return f"{head}: there was no look yet."
    after = listed([str(look.seeds) for look in decided.looks], MOST)
    found: dict[str, list[str]] = {}
    for verdict in {verdict.label: verdict for look in decided.looks for verdict in look.verdicts}.values():
        word = UNDECIDED.get(verdict.word, "decided")
        found.setdefault(f"{word} after {verdict.n} seeds", []).append(verdict.label)
    told = "; ".join(f"{word}: {listed(losses, MOST)}" for word, losses in found.items())
    return (
        f"{head}, with looks after {after}. {told[0].upper()}{told[1:]}. What is said of differences in {name} allows"
        f" for all looks and comparisons. What is said of other metrics does not, as {name} chose their seeds."
    )
