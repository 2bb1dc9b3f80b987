"""Which runs belong together: seeds to a group, groups to the question that they answer, learning rates to the best."""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ..folder.identity import NEUTRAL, same_data
from ..metrics.columns import Family
from ..plain import Plain
from .read import Run

LR = "optimizer.lr"
SEQUENTIAL = "sequential.yaml"  # in an ablation that stops to train a loss once it is decided (sequential.py)


@dataclass
class Group:
    """Runs that differ in the seed alone. ``settings``: the keys that can change numbers, flat ("loss.gamma")."""

    loss: str
    settings: Plain
    runs: list[Run]
    label: str = ""

    @functools.cached_property
    def finished(self) -> dict[int, Run]:
        """seed -> run."""
        return {run.seed: run for run in self.runs if run.status == "finished" and run.seed is not None}

    @property
    def lr(self) -> float | None:
        return self.settings.get(LR)


@dataclass
class Section:
    """Groups on one test set with one model, their best learning rates only; ``passed_over``: the other ones.

    ``kind``: the name of their family; "" if no run said it.
    """

    title: str
    kind: str
    groups: list[Group]
    passed_over: list[Group]
    warnings: list[str] = field(default_factory=list)

    @functools.cached_property
    def family(self) -> Family:
        """What the newest of its finished runs measures: by that all of them are compared. There must be one."""
        return newest([*self.groups, *self.passed_over]).family

    @property
    def runs(self) -> list[Run]:
        """The finished runs that are compared."""
        return [run for group in self.groups for run in group.finished.values()]

    def find(self, name: str) -> list[Group]:
        """The group of this label; without one, the groups of this loss."""
        exact = [group for group in self.groups if group.label == name]
        return exact or [group for group in self.groups if group.loss == name]


def sections_of(runs: Sequence[Run]) -> list[Section]:
    """The readable runs, by question. Runs of one ablation with one data set and model answer one question; other runs
    do if their data are the same, wherever they lie, and their model has the same keys."""
    by_question: dict[tuple[str, str], dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    compared = [run for run in runs if run.config and run.status != "duplicate"]
    family = _families(compared)
    for run in compared:
        by_question[_question(run), family[id(run)]][run.config["identity"]].append(run)
    sections = []
    for (_, kind), groups in by_question.items():
        alike = [Group(same[0].choices["loss"], settings_of(same[0]), same) for same in groups.values()]
        sections.append(_section(kind, alike))
    _name_sections(sections)
    return sections


def _families(runs: Sequence[Run]) -> dict[int, str]:
    """The name of each run's family: two families are never compared. A run that did not say is counted to that of its
    own loss, else to that of others that answer its question."""
    names = {id(run): run.family.name for run in runs if "family" in run.result}
    keys = {id(run): (f"{_question(run)} {run.choices['loss']}", _question(run)) for run in runs}
    told: dict[str, str] = {}
    for run in runs:
        if id(run) in names:
            told |= dict.fromkeys(keys[id(run)], names[id(run)])
    return {i: names.get(i) or next((told[key] for key in of_run if key in told), "") for i, of_run in keys.items()}


def newest(groups: Iterable[Group]) -> Run:
    """The finished run that ended last. There must be one."""
    return max((run for group in groups for run in group.finished.values()), key=lambda run: run.ended)


def _question(run: Run) -> str:
    choices, ablation = run.choices, run.choices.get("ablation")
    content = run.config["identity_facts"]["fingerprint"]  # an ablation's lines may shape it in several ways
    own = content if ablation else (same_data(run.config), run.config["model"])
    return repr((choices["data"], choices["model"], ablation, own, _judge(run)))


def _judge(run: Run) -> str:
    """The hash of the run that judged this one, "" if none did: numbers of two judges do not compare."""
    return str(run.config["identity_facts"].get("judge", ""))


def settings_of(run: Run) -> Plain:
    """The keys that can change a run's numbers, but for the seed, flat."""
    flat: Plain = {}
    for key, value in run.config.items():
        if key not in ("choices", "identity", "identity_facts", "facts", "name", "ablation", *NEUTRAL):
            flat |= {f"{key}.{name}": v for name, v in value.items()} if isinstance(value, dict) else {key: value}
    return {key: value for key, value in flat.items() if key not in NEUTRAL and not key.endswith("._target_")}


def _section(kind: str, groups: list[Group]) -> Section:
    _label(groups)
    by_label: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        group.label = next((run.label for run in group.runs if run.label), group.label)
        by_label[group.label].append(group)
    chosen, passed_over, warnings = [], [], []
    for label, alike in by_label.items():
        rates = {group.lr for group in alike}
        if len(rates) < len(alike):  # what differs is in no key: the machine, the data's content
            for group in alike:
                group.label = f"{label} ({group.runs[0].config['identity']})"
            chosen += alike
            continue
        best = best_rate(alike)
        chosen.append(best)
        passed_over += [group for group in alike if group is not best]
        if len({len(group.finished) for group in alike}) > 1:
            warnings.append(f"{label}: its learning rates do not all have the same number of finished seeds")
    section = Section("", kind, sorted(chosen, key=lambda group: group.label), passed_over, warnings)
    section.warnings += [*lacking(section), *differences_of_origin(section.runs)]
    return section


def lacking(section: Section) -> list[str]:
    """Warnings where a group has no finished run of a seed that another has, unless it was to have no more seeds."""
    seeds = {seed for group in section.groups for seed in group.finished}
    groups = [group for group in section.groups if not any(stops(run) for run in group.runs)]
    missing = {group.label: sorted(seeds - group.finished.keys()) for group in groups}
    return [f"{label}: no finished run of seed {', '.join(map(str, lost))}" for label, lost in missing.items() if lost]


def stops(run: Run) -> bool:
    """Whether its ablation trains seeds until it is decided."""
    return (run.folder.parents[1] / SEQUENTIAL).exists()


def best_rate(groups: Sequence[Group]) -> Group:
    """The learning rate that is best by its mean validation value over seeds, in the first metric that the family
    chooses by and that any of the rates has; never chosen on test. A rate without such a mean is chosen only if none
    has one."""
    if not any(group.finished for group in groups):
        return groups[0]
    family = newest(groups).family
    for name in family.chooses:
        means = [validation(group, name) for group in groups]
        known = [(group, mean) for group, mean in zip(groups, means, strict=True) if not math.isnan(mean)]
        if known:
            return min(known, key=lambda pair: -family.column(name).better * pair[1])[0]
    return groups[0]


def validation(group: Group, name: str) -> float:
    """Mean validation value over the finished seeds; NaN if one of them has none."""
    values = [run.metric("val", name) for run in group.finished.values()]
    return fmean(math.nan if value is None else value for value in values) if values else math.nan


def _label(groups: Sequence[Group]) -> None:
    """Label each: the loss, its keys that differ between groups of this loss, other keys where they are unusual."""
    usual = {}
    for key in {key for group in groups for key in group.settings if not key.startswith("loss.")}:
        usual[key] = Counter(repr(group.settings.get(key)) for group in groups).most_common(1)[0][0]
    for group in groups:
        alike = [other.settings for other in groups if other.loss == group.loss]
        parts = [group.loss]
        for key, value in group.settings.items():
            if key.startswith("loss."):
                shown = any(repr(other.get(key)) != repr(value) for other in alike)
            else:
                shown = key != LR and repr(value) != usual[key]
            if shown:
                parts.append(f"{key.rpartition('.')[2]}={short(value)}")
        group.label = " ".join(parts)


def short(value: Any) -> str:
    """A configuration's value as a user types it."""
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


def _name_sections(sections: Sequence[Section]) -> None:
    """Data and model, and what tells sections of the same data and model apart."""
    names = []
    for section in sections:
        choices = section.groups[0].runs[0].choices
        ablation = [str(choices["ablation"])] if choices.get("ablation") else []
        names.append(" · ".join([*ablation, choices["data"], choices["model"]]))
    told = [*names]
    for i, (section, name) in enumerate(zip(sections, names, strict=True)):
        if len({other.kind for other, own in zip(sections, names, strict=True) if own == name}) > 1:
            told[i] = f"{name} · {section.kind}"
    for section, name in zip(sections, told, strict=True):
        alike = [other.groups[0].settings for other, own in zip(sections, told, strict=True) if own == name]
        mine = section.groups[0].settings
        apart = [
            f"{key.rpartition('.')[2]}={short(value)}"
            for key, value in mine.items()
            if key.startswith(("data.", "model.")) and any(repr(other.get(key)) != repr(value) for other in alike)
        ]
        section.title = " · ".join([name, *apart])
    for title, times in Counter(section.title for section in sections).items():
        if times > 1:  # what differs is in no key: the content of the data, or the judge
            for section in sections:
                if section.title == title:
                    first = section.groups[0].runs[0]
                    content = first.config["identity_facts"]["fingerprint"]
                    judge = f" · judge {_judge(first)[:8]}" if _judge(first) else ""
                    section.title += f" · data {str(content)[:8]}{judge}"


def differences_of_origin(runs: Sequence[Run]) -> list[str]:
    """Warnings where runs that are compared were trained by different code, libraries or machines."""
    warnings = []
    for name in ("commit", "device", "threads"):
        found = Counter(str(run.result["run"].get(name)) for run in runs)
        if len(found) > 1:
            names = {value: value[:12] + "+" * value.endswith("+") if name == "commit" else value for value in found}
            shown = ", ".join(f"{names[value]} ({n})" for value, n in found.most_common())
            warnings.append(f"the runs differ in {name}: {shown} runs")
    packages = sorted({package for run in runs for package in run.result["run"].get("versions", {})})
    for package in packages:
        found = Counter(str(run.result["run"].get("versions", {}).get(package)) for run in runs)
        if len(found) > 1:
            shown = ", ".join(f"{version} ({n})" for version, n in found.most_common())
            warnings.append(f"the runs differ in the version of {package}: {shown} runs")
    return warnings
