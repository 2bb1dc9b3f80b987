"""Writes docs/reproductions.md: what ablations claim of published tables, and what came out.

Run from anywhere: python docs/reproductions.py [FOLDER...]

The claims stand in conf/ablation/. What came out is taken from the folders of finished sweeps, by the report's own
numbers, and kept in docs/reproductions.json for the next time. An ablation of which nothing is kept is not run. The
script writes what stands between two marks of the page; the sentences around them are written by hand.
"""

import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.reference import head  # noqa: E402
from src.config.errors import UserError  # noqa: E402
from src.metrics.claims import Claim, claims_of  # noqa: E402
from src.metrics.columns import Column  # noqa: E402
from src.metrics.families import FAMILIES  # noqa: E402
from src.report import claims as report  # noqa: E402
from src.report.claims import Outcome  # noqa: E402
from src.report.escape import markdown  # noqa: E402
from src.report.groups import Section, sections_of  # noqa: E402
from src.report.measure import UNKNOWN, Measurements, Span  # noqa: E402
from src.report.read import find_runs  # noqa: E402

CONF, PAGE, STORED = ROOT / "conf/ablation", ROOT / "docs/reproductions.md", ROOT / "docs/reproductions.json"
MARK = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
SUMMARY = "summary"
Stored = dict[str, dict[str, Any]]


def claimed() -> dict[str, dict[str, Any]]:
    """The ablations that claim something: name -> what conf/ablation/NAME.yaml says below "ablation"."""
    files = {path.stem: yaml.safe_load(path.read_text())["ablation"] for path in sorted(CONF.glob("*.yaml"))}
    return {name: ablation for name, ablation in files.items() if ablation.get("claims")}


def key(claim: Claim) -> dict[str, Any]:
    """What a number was measured for, the band among it: who moves the band has to measure again."""
    ends = [None if math.isinf(end) else end for end in (claim.low, claim.high)]
    return {"loss": claim.loss, "against": claim.against, "metric": claim.metric, "expected": ends}


def measured(folders: Sequence[Path]) -> Stored:
    """What came of the claims in the sweeps below ``folders``. Raises UserError."""
    runs = [run for run in find_runs(folders) if not run.debugging]
    by_name: dict[str, list[Section]] = {}
    for section in sections_of(runs):
        if section.runs:
            by_name.setdefault(section.groups[0].runs[0].choices.get("ablation") or "", []).append(section)
    known = claimed()
    if not by_name.keys() & known.keys():
        raise UserError(f"no finished run of an ablation with claims; there are {', '.join(known)}")
    found: Stored = {}
    for name in by_name.keys() & known.keys():
        sections, claims = by_name[name], claims_of(known[name]["claims"])
        told = [report.outcomes(claims, section, Measurements(section.runs)) for section in sections]
        best = [max(of_one, key=lambda one: one.span.n) for of_one in zip(*told, strict=True)]
        finished = [run for section in sections for run in trained(section)]
        seconds = round(sum(run.result["run"]["seconds"] for run in finished))
        numbers = [{**key(one.claim), **values(one.span)} for one in best]
        found[name] = {"runs": len(finished), "seconds": seconds, "measured": numbers}
    return found


def trained(section: Section) -> list[Any]:
    """Its finished runs, those at learning rates that were passed over among them."""
    return [run for group in [*section.groups, *section.passed_over] for run in group.finished.values()]


def values(span: Span) -> dict[str, Any]:
    ends = {name: value for name in ("value", "low", "high") if math.isfinite(value := getattr(span, name))}
    return {"n": span.n, **ends}


def outcome(claim: Claim, entry: dict[str, Any] | None) -> Outcome:
    """What came of a claim, of what is kept of its ablation."""
    columns = (column for family in FAMILIES.values() for column in family.columns if column.name == claim.metric)
    kept = next((one for one in (entry or {"measured": []})["measured"] if key(claim).items() <= one.items()), None)
    span = UNKNOWN
    if kept and kept["n"]:
        span = Span(*(kept.get(name, math.nan) for name in ("value", "low", "high")), kept["n"], math.nan)
    return Outcome(claim, next(columns, Column(claim.metric, 0)), span)


def table(name: str, ablation: dict[str, Any], entry: dict[str, Any] | None) -> str:
    """What stands between the marks of an ablation."""
    needs = [f"{word}={word.upper()}" for word in ablation.get("needs", [])]
    command = f"`python train.py {' '.join([f'ablation={name}', *needs])}`"
    cost = "not run" if entry is None else f"{entry['runs']} runs, {entry['seconds']:,} seconds of training in all"
    lines = [f"{command}: {cost}.", "", "| claim | expected | came out | verdict |", "| --- | --- | --- | --- |"]
    for claim in claims_of(ablation["claims"]):
        one = outcome(claim, entry)
        came = f"{one.came_out}, n = {one.span.n}" if one.span.n else one.came_out
        said = f"{markdown(claim.claim)}<br>{markdown(claim.source)}"
        lines.append(f"| {said} | {one.expected}<br>`{one.what}` | {came} | **{one.verdict}** |")
    return "\n".join(lines)


def summary(claims: dict[str, dict[str, Any]], stored: Stored) -> str:
    """The first table: each ablation, what it asks first, and how many of its claims have which verdict."""
    lines = ["| table | asks | claims |", "| --- | --- | --- |"]
    for name, ablation in sorted(claims.items(), key=lambda item: item[0] not in stored):  # what was run comes first
        asked = re.match(r".*?(?<!al)[?.](?=\s|$)", head((CONF / f"{name}.yaml").read_text()))
        told = report.counted([outcome(claim, stored.get(name)) for claim in claims_of(ablation["claims"])])
        lines.append(f"| [{name}](#{name}) | {markdown(asked[0] if asked else '')} | {told} |")
    return "\n".join(lines)


def page(text: str, stored: Stored) -> str:
    """The page's ``text`` with its marked parts made anew, and a part for each ablation that has none."""
    claims = claimed()
    there = {found[2] for found in MARK.finditer(text)}
    for name in [name for name in claims if name not in there]:
        text += f"\n## {name}\n\n<!-- made: {name} -->\n<!-- end -->\n"
    made = {name: table(name, ablation, stored.get(name)) for name, ablation in claims.items()}
    made[SUMMARY] = summary(claims, stored)
    return MARK.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)


def main(folders: Sequence[str]) -> int:
    """Take in the sweeps below ``folders``, and write the page; the exit status."""
    stored: Stored = json.loads(STORED.read_text())
    try:
        stored |= measured([Path(folder) for folder in folders]) if folders else {}
    except UserError as error:
        print(f"reproductions: {error}", file=sys.stderr)
        return 2
    STORED.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(PAGE.read_text(), stored))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
