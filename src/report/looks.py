"""What a report says of an ablation that was trained until its comparisons were decided."""

from collections.abc import Sequence

from ..config.errors import UserError
from .groups import SEQUENTIAL, Section
from .read import reason
from .sequential import OPEN, Look, Plan, Verdict, effect, looks, read_plan
from .words import SAME, listed

MOST = 12  # losses, and looks, of one sentence
WORDS = {OPEN: "not decided yet", SAME: "not shown to differ"}


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
    name = plan.metric
    head = f"The seeds were trained until {name} was decided (until=verdict, at most {len(plan.seeds)} seeds)"
    if not found:
        return f"{head}: there was no look yet."
    ends = {verdict.label: (look, verdict) for look in found for verdict in look.verdicts}
    told: dict[str, list[str]] = {}
    for look, verdict in ends.values():
        told.setdefault(WORDS.get(verdict.word, verdict.word), []).append(_told(look, verdict))
    after = listed([str(look.seeds) for look in found], MOST)
    words = "; ".join(f"{word}: {listed(losses, MOST)}" for word, losses in told.items())
    return (
        f"{head}, with looks after {after}. By a test that allows for all looks and comparisons, {words}."
        f" For {name} this stands in for the other intervals, p-values and words, which take no account of looks."
    )


def _told(look: Look, verdict: Verdict) -> str:
    span = verdict.span
    return verdict.label if span is None else f"{verdict.label} ({effect(look, span)}, {verdict.n} seeds)"
