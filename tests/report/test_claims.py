"""Published claims: the verdict by the words of its rule, the numbers by the report's own, and every surface."""

import csv
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.metrics.claims import Claim
from src.metrics.families import CLASSIFICATION
from src.report.claims import Outcome, claims_in
from src.report.compare import compare
from src.report.groups import sections_of
from src.report.headline import headline
from src.report.measure import Span
from src.report.read import find_runs
from src.report.words import MINUS
from src.report.write import write_report
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, ablation_of

pytestmark = pytest.mark.usefixtures("no_pictures")

INF = math.inf
NLL = CLASSIFICATION.column("nll")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ablation_of(tmp_path_factory.mktemp("claims"), [CE, FOCAL, BRIER], range(4), n=150, ablation="mine")


def claim(low: float, high: float, against: str | None = "ce", **more: Any) -> Claim:
    return Claim("It is so.", "table 1", "focal", more.pop("metric", "nll"), low, high, against)


def verdict(band: tuple[float, float], value: float, low: float, high: float, against: str | None = "ce") -> str:
    return Outcome(claim(*band, against), NLL, Span(value, low, high, 5, 0.1)).verdict


@pytest.mark.parametrize(
    ("band", "value", "low", "high", "word"),
    [
        ((1, 3), 2, 0.5, 3.5, "reproduced"),  # in the band, and 0 is excluded
        ((1, 3), 4, 3.5, 4.5, "in direction"),  # beyond the band, on its side
        ((1, 3), 0.5, 0.1, 0.9, "in direction"),  # short of it
        ((1, 3), 2, -0.5, 4.5, "not reproduced"),  # 0 is not excluded
        ((1, 3), -2, -3, -1, "not reproduced"),  # on the other side
        ((-3, -1), -2, -3.5, -0.5, "reproduced"),
        ((-3, -1), -4, -5, -3, "in direction"),
        ((-INF, -1), -9, -10, -8, "reproduced"),
        ((1, INF), 0.5, 0.1, 0.9, "in direction"),
        ((-1, 1), 0.2, -0.5, 0.9, "reproduced"),  # the whole interval is in the band
        ((-1, 1), 0.6, 0.4, 0.8, "reproduced"),  # also where 0 is excluded: so small a difference is claimed
        ((-1, 1), 0.2, -1.5, 1.9, "in direction"),  # it reaches out, and no difference is shown
        ((-1, 1), 0.9, 0.2, 1.6, "not reproduced"),  # it reaches out, and a difference is shown
        ((-1, 1), 2, -1, 5, "not reproduced"),  # the value is outside
        ((0, 1), 0.5, -0.1, 1.1, "in direction"),  # a band that ends at 0 includes it
    ],
)
def test_verdict_of_a_difference(band: tuple[float, float], value: float, low: float, high: float, word: str) -> None:
    assert verdict(band, value, low, high) == word
    mirrored = (-band[1], -band[0])
    assert verdict(mirrored, -value, -high, -low) == word


def test_verdict_on_a_grid_by_the_words_of_the_rule() -> None:
    """Of all bands and intervals with ends among nine numbers, told in sets of points."""
    ends = [k / 2 for k in range(-4, 5)]
    found = set()
    for a, b in itertools.combinations(ends, 2):
        band = {k / 4 for k in range(-8, 9) if a <= k / 4 <= b}
        for low, value, high in itertools.combinations(ends, 3):
            interval = {k / 4 for k in range(-8, 9) if low <= k / 4 <= high}
            if 0 not in band:
                side = {k for k in (-1, 1) if all(k * point > 0 for point in band)}
                shown = side == {k for k in (-1, 1) if all(k * point > 0 for point in interval)}
                word = ("reproduced" if value in band else "in direction") if shown else "not reproduced"
            elif interval <= band:
                word = "reproduced"
            else:
                word = "in direction" if value in band and 0 in interval else "not reproduced"
            assert verdict((a, b), value, low, high) == word, (a, b, low, value, high)
            found.add((word, 0 in band))
    assert len(found) == 6


def test_verdict_of_a_mean_and_of_too_little() -> None:
    assert [verdict((1, 3), value, 0, 9, None) for value in (1, 2, 3, 0.9, 3.1)] == [
        *["reproduced"] * 3,
        *["not reproduced"] * 2,
    ]
    one = Outcome(claim(1, 3), NLL, Span(2, 1.5, 2.5, 2, math.nan))
    assert one.verdict == "too few seeds"
    assert replace(one, claim=claim(1, 3, None)).verdict == "reproduced", "a mean asks for no seeds"
    assert replace(one, span=replace(one.span, n=0)).verdict == "not run"


def test_the_numbers_are_those_of_the_report(runs: Path) -> None:
    """Against the baseline, against another, and where nothing is."""
    (section,) = sections_of(find_runs([runs]))
    wanted = [
        claim(0, 1),
        claim(0, 1, metric="nll_ts"),
        claim(0, 1, metric="ece"),
        claim(0, 1, "brier"),
        claim(0, 1, None),
        claim(0, 1, None, metric="perplexity"),
    ]
    found = compare(section, section.find("ce")[0], {}, wanted)
    spans = [one.span for one in found.outcomes]
    cells = [found.cells["focal", name] for name in ("nll", "nll_ts", "ece")]
    assert spans[:3] == [cell.difference for cell in cells]
    assert spans[3] == found.pairs["nll", "focal", "brier"]
    assert spans[4:] == [found.cells["focal", name].mean for name in ("nll", "perplexity")]
    gone = [claim(0, 1, "hinge"), claim(0, 1, metric="perplexity"), claim(0, 1, metric="nothing")]
    assert [one.verdict for one in compare(section, None, {}, gone).outcomes] == ["not run"] * 3


def told(home: Path, claims: list[dict[str, Any]]) -> None:
    """Write the sweep.yaml that brings them."""
    paths = sorted(home.glob("*/seed*"))
    jobs: list[dict[str, Any]] = [
        {"label": path.parent.name.split("-")[0], "seed": int(path.name[4:]), "folder": str(path.relative_to(home))}
        for path in paths
    ]
    rows = [{**job, "overrides": ["a=b"]} for job in jobs]
    (home / "sweep.yaml").write_text(yaml.safe_dump({"baseline": "ce", "claims": claims, "jobs": rows}))


def plain(of: Claim) -> dict[str, Any]:
    ends = [None if math.isinf(end) else end for end in (of.low, of.high)]
    return {**{key: getattr(of, key) for key in ("claim", "source", "loss", "metric", "against")}, "expected": ends}


def test_every_surface_tells_them(runs: Path, tmp_path: Path) -> None:
    told(runs, [plain(claim(-0.5, INF)), plain(claim(5, 6, None)), plain(claim(-1, -0.5, "hinge"))])
    (comparison,) = write_report([runs], None, tmp_path).comparisons
    verdicts = [one.verdict for one in comparison.outcomes]
    assert verdicts[1:] == ["not reproduced", "not run"]
    for suffix in ("html", "md"):
        text = (tmp_path / f"report.{suffix}").read_text()
        table = text[text.index(">Published claims</h3>" if suffix == "html" else "### Published claims") :]
        for words in ("It is so.", "table 1", f"at least {MINUS}0.5", "nll of focal minus ce", "4 seeds", *verdicts):
            assert words in table, words
    with (tmp_path / "report.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["claim"]]
    assert [row["verdict"] for row in rows] == verdicts
    assert [(row["expected_low"], row["expected_high"]) for row in rows] == [
        ("-0.5", ""),
        ("5.0", "6.0"),
        ("-1.0", "-0.5"),
    ]
    difference = comparison.cells["focal", "nll"].difference
    assert difference is not None
    assert [float(rows[0][key]) for key in ("difference", "difference_low", "difference_high")] == [
        difference.value,
        difference.low,
        difference.high,
    ]
    counts = ", ".join(
        f"{verdicts.count(word)} {word}" for word in ("reproduced", "not reproduced", "not run") if word in verdicts
    )
    first = headline(comparison)
    assert first is not None and f"Published claims: {counts}." in first.rest
    told(runs, [])
    write_report([runs], None, tmp_path)
    assert "Published claims" not in (tmp_path / "report.md").read_text()


def test_claims_that_are_none_are_told_and_nothing_is_lost(runs: Path, tmp_path: Path) -> None:
    told(runs, [{"claim": "x"}])
    written = write_report([runs], None, tmp_path)
    assert len(written.comparisons[0].groups) == 3
    assert "sweep.yaml: claims[0].source must be a text, got None" in (tmp_path / "report.md").read_text()


def test_a_claim_stands_in_the_section_of_its_losses(tmp_path: Path) -> None:
    """An ablation of two data sets has two sections; a claim whose losses are in none stands in both."""
    ablation_of(tmp_path, [CE, FOCAL], range(3), n=50, ablation="mine")
    ablation_of(tmp_path, [HINGE], range(3), n=50, ablation="mine")
    for path in tmp_path.glob("hinge-*/seed*/config.yaml"):
        path.write_text(path.read_text().replace("fingerprint: '0000", "fingerprint: '1111"))
    told(tmp_path, [plain(claim(0, 1)), plain(replace(claim(0, 1, None), loss="hinge")), plain(claim(0, 1, "gone"))])
    sections = sections_of(find_runs([tmp_path]))
    found = {section.groups[0].label: [one.labels for one in claims_in(section, sections)] for section in sections}
    assert found == {"ce": [["focal", "ce"], ["focal", "gone"]], "hinge": [["hinge"], ["focal", "gone"]]}
