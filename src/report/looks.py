"""What a report says of an ablation that was trained until its comparisons were decided."""

from collections.abc import Sequence

from ..config.errors import UserError
from .compare import SAME
from .groups import SEQUENTIAL, Section
from .read import reason
from .sequential import OPEN, Look, Plan, Verdict, effect, looks, read_plan
from .words import listed

MOST = 12  # losses, and looks, of one sentence


def statements(section: Section) -> list[str]:
    """A sentence or two for each such ablation of the section, whose decisions are made anew from its runs."""
    runs = [run for group in (*section.groups, *section.passed_over) for run in group.runs]
    told = []
    for path in sorted({run.folder.parents[1] / SEQUENTIAL for run in runs}):
        own = [run for run in runs if run.folder.parents[1] == path.parent]
        try:
            plan = read_plan(path)
            told.append(statement(plan, looks(plan, own)))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, UserError) as error:
            told.append(f"{path}: it is not known when its runs were compared ({reason(error)}).")
    return told


def statement(plan: Plan, found: Sequence[Look]) -> str:
    """What was planned, and what is decided with intervals that allow for it."""
    most, name = len(plan.seeds), plan.metric
    head = f"These seeds were trained until {name} was decided (until=verdict, at most {most} seeds)"
    if not found:
        return f"{head}: there was no look yet."
    ends = {verdict.label: verdict for look in found for verdict in look.verdicts}
    told = "; ".join(_told(found[-1], ends[label]) for label in list(plan.labels)[:MOST])
    more = f"; and {len(plan.labels) - MOST} more" if len(plan.labels) > MOST else ""
    after = listed([str(look.seeds) for look in found], MOST)
    return (
        f"{head}, with looks after {after}. By a test that allows for all looks and comparisons: {told}{more}. For"
        f" {name} this stands in for the p-values, intervals and words of this report, which take no account of looks."
    )


def _told(look: Look, verdict: Verdict) -> str:
    if verdict.span is None:
        return f"{verdict.label} is {verdict.word}"
    told = f"{look.column.name} {effect(look, verdict.span)}, {verdict.n} seeds"
    words = {OPEN: "is not decided yet", SAME: "is not shown to differ"}
    return f"{verdict.label} {words.get(verdict.word, f'is {verdict.word}')} ({told})"
