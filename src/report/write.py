"""From folders of runs to the report's files."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.errors import UserError, suggestion
from ..metrics.margins import check_names, margins_of
from ..system.files import write_text
from . import figures, page, tables
from .claims import claims_in
from .compare import Comparison, compare
from .findings import findings
from .groups import Group, Section, sections_of
from .headline import headline
from .looks import find_decided
from .margins import write_margins
from .read import Run, find_runs
from .words import for_debugging, unfinished

Curves = dict[str, dict[str, figures.Curve]]  # by label, then tag


class Written(NamedTuple):
    """Where the report is, what it compares, each section's runs that are not compared (and at the end those of none),
    and what it has to say of all runs that it does not compare."""

    out: Path
    comparisons: list[Comparison]
    lost: list[list[Run]]
    notes: list[str]
    means: Path | None  # TensorBoard runs of each loss's mean over seeds


def write_report(
    folders: Sequence[Path],
    baseline: str | None,
    out: Path | None,
    means: Path | None = None,
    margin: str | None = None,
) -> Written:
    """Write report.md, report.csv and report.html to ``out``, by default report/ in the folder that holds ``folders``.

    ``means``, if given, gets TensorBoard runs of each loss's mean over seeds. ``baseline``: a label or a loss; None for
    what the ablation says, else that of the runs' family. ``margin``: within what two losses count as equal,
    "accuracy:0.005,nll:0.01"; None for what the ablation says. Raises UserError.
    """
    check_means(means, folders)
    wanted = margins_wanted(margin)
    found = find_runs(folders)
    runs, debug = ([run for run in found if bool(run.debugging) is wanted] for wanted in (False, True))
    sections = [section for section in sections_of(runs) if section.runs]
    check_margins(wanted, sections)
    comparisons = [_compared(section, sections, baseline, wanted) for section in sections]
    if baseline and sections and not any(comparison.baseline for comparison in comparisons):
        labels = [group.label for section in sections for group in section.groups]
        raise UserError(
            f"baseline={baseline}: no such loss among the runs.{suggestion(baseline, labels)}"
            f" There are: {', '.join(dict.fromkeys(labels))}"
        )
    lost = lost_runs(comparisons, runs)
    out = out or Path(os.path.commonpath([folder.resolve() for folder in folders])) / "report"
    try:
        out.mkdir(parents=True, exist_ok=True)
        curves = _write(out, comparisons, runs, lost, debug)
        if means is not None:
            charts = [f"val/{name}" for c in comparisons for name in c.section.family.charts]
            write_margins(means, _margins(comparisons, curves), list(dict.fromkeys(charts)))
    except OSError as error:
        place = error.filename or out
        raise UserError(f"the report cannot be written to {place}: {error.strerror}") from None
    notes = [note for note in (unfinished(runs), for_debugging(debug)) if note]
    return Written(out, comparisons, lost, notes, means)


def _compared(
    section: Section, sections: Sequence[Section], baseline: str | None, wanted: Mapping[str, float] | None
) -> Comparison:
    group, margins = find_baseline(section, baseline), find_margins(section, wanted)
    decided = find_decided(section, group)
    if decided is not None and wanted is not None and decided.margins(wanted) != margins:
        name, planned = decided.metric, decided.plan.margin
        section.warnings.append(
            f"{name} was decided {'without a margin' if planned is None else f'with the margin ±{planned:g}'}, and"
            " another cannot be named afterwards: margin= is not used for it"
        )
    return compare(section, group, margins, claims_in(section, sections), decided)


def told(written: Written) -> Iterator[str]:
    """The lines that the command prints."""
    for comparison, lost in zip(written.comparisons, written.lost, strict=False):  # at the end: of no section
        yield comparison.section.title
        if first := headline(comparison):
            yield from (f"  {text}" for text in (first.answer, first.rest, first.sure) if text)
        yield from (f"  warning: {warning}" for warning in comparison.section.warnings + comparison.notes)
        yield from (f"  {finding.text}" for finding in findings(comparison, lost))
    if not written.comparisons:
        yield "no finished run to compare; report.md lists what was found"
    yield from written.notes
    yield f"report: {written.out / 'report.html'} (and report.md, report.csv)"
    if written.means is not None:
        yield f"means over seeds: tensorboard --logdir {shlex.quote(str(written.means))}"


def check_means(means: Path | None, folders: Sequence[Path]) -> None:
    """Raise UserError if ``means`` lies among the runs: TensorBoard would show means beside what they are means of."""
    for folder in folders:
        if means is not None and means.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"means={means} lies in {folder}, where TensorBoard would mix it with the runs: name a folder elsewhere"
            )


def margins_wanted(text: str | None) -> dict[str, float] | None:
    """What ``margin=`` says. Raises UserError."""
    try:
        return None if text is None else margins_of(text)
    except ValueError as error:
        raise UserError(f"margin={text}: {error}") from None


def check_margins(wanted: Mapping[str, float] | None, sections: Sequence[Section]) -> None:
    """Raise UserError for a metric that no section tests."""
    known = dict.fromkeys(name for section in sections for name in testable_names(section))
    try:
        check_names(wanted or (), known if sections else wanted or ())
    except ValueError as error:
        raise UserError(f"margin=: {error}") from None


def testable_names(section: Section) -> list[str]:
    """The metrics that can have a margin: their differences are tested, and are no ratios."""
    return [column.name for column in section.family.columns if column.judged and not column.exponential]


def find_margins(section: Section, wanted: Mapping[str, float] | None) -> dict[str, float]:
    """Those of the command, else those of the ablation; a warning where these are none."""
    said = next((run.margin for group in section.groups for run in group.runs if run.margin), None)
    names = testable_names(section)
    if wanted is None and said is not None:
        try:
            wanted = margins_of(said)
            check_names(wanted, names)
        except ValueError as error:
            section.warnings.append(f"the sweep's margin is not used: {error}")
            return {}
    return {name: margin for name, margin in (wanted or {}).items() if name in names}


def find_baseline(section: Section, wanted: str | None) -> Group | None:
    """What to compare with; None and a warning where nothing fits. Raises UserError where ``wanted`` names several."""
    own = next((run.baseline for group in section.groups for run in group.runs if run.baseline), None)
    name = wanted or own or section.family.baseline
    found = section.find(name) if name else []
    if len(found) == 1:
        if not found[0].finished:
            section.warnings.append(f"the baseline {name} has no finished run: nothing is compared with it")
        return found[0]
    several = f"several groups are {name}: {', '.join(group.label for group in found)}"
    if found and wanted:
        raise UserError(f"baseline={name}: {several}; name one of these")
    why = f": {several if found else f'no run of {name}'}" if name else ""
    example = next((f" (name one: {shlex.quote(f'baseline={group.label}')})" for group in found or section.groups), "")
    section.warnings.append(f"no baseline{why}; losses are only compared with each other{example}")
    return None


def _write(
    out: Path,
    comparisons: Sequence[Comparison],
    runs: Sequence[Run],
    lost: Sequence[Sequence[Run]],
    debug: Sequence[Run],
) -> list[Curves]:
    """Write the files; each section's curves."""
    curves = [{group.label: figures.curves_of(group) for group in c.groups} for c in comparisons]
    views = [page.view(c, own, lost[i], out) for i, (c, own) in enumerate(zip(comparisons, curves, strict=True))]
    compared = sum(len(c.section.runs) for c in comparisons)
    passed_over = sum(len(group.finished) for c in comparisons for group in c.section.passed_over)
    other_rates = f", {passed_over} at learning rates that were passed over" if passed_over else ""
    of_all = f"{compared} finished runs compared{other_rates}, of {len(runs)} found or expected."
    made = f"All {compared} runs are finished and compared." if compared == len(runs) else of_all
    one_seed = [any(len(group.finished) == 1 for group in c.groups) for c in comparisons]
    for name in ("report.html", "report.md"):
        more = {"made": made, "one_seed": one_seed, "debug": for_debugging(debug)}
        write_text(out / name, page.render(name, views, lost[-1], out, **more))
    write_text(out / "report.csv", tables.as_csv(comparisons))
    return curves


def _margins(comparisons: Sequence[Comparison], curves: Sequence[Curves]) -> Curves:
    """The validation curves by label. The training objective is none: it is not comparable between losses."""
    several = len(comparisons) > 1
    return {
        f"{c.section.title} {label}" if several else label: {
            tag: curve for tag, curve in by_tag.items() if tag.startswith("val/") and tag != "val/loss"
        }
        for c, own in zip(comparisons, curves, strict=True)
        for label, by_tag in own.items()
    }


def lost_runs(comparisons: Sequence[Comparison], runs: Sequence[Run]) -> list[list[Run]]:
    """The runs that are not compared, by section, and at the end those of no section."""
    lost: list[list[Run]] = [[] for _ in range(len(comparisons) + 1)]
    homes: dict[Path, int] = {}
    members: dict[int, int] = {}
    for i, comparison in enumerate(comparisons):
        for group in [*comparison.section.groups, *comparison.section.passed_over]:
            members |= {id(run): i for run in group.runs}
            homes |= {run.folder.parents[1]: i for run in group.runs}
    for run in runs:
        if run.status != "finished":
            home = run.folder if run.status == "missing" else run.folder.parent.parent
            lost[members.get(id(run), homes.get(home, -1))].append(run)
    return lost
