"""No sentence of a report contradicts the interval or the table beside it: of random results, on every surface."""

import csv
import html
import io
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from src.metrics.columns import Column
from src.metrics.families import CLASSIFICATION
from src.report.escape import line, markdown
from src.report.findings import Finding, findings
from src.report.measure import Span
from src.report.rules import rule
from src.report.tables import results
from src.report.words import difference, listed, probability
from src.report.write import told, write_report
from tests.report.fabricated import HINGE, Kind, ablation_of, ended

pytestmark = pytest.mark.usefixtures("no_pictures")

METRICS = CLASSIFICATION.columns
ACCURACY, NLL = METRICS[:2]
PERPLEXITY = next(metric for metric in METRICS if metric.exponential)
WORDS = {"": None, "no difference shown": False, "better": True, "worse": True}
WORDS |= {f"perhaps {word}": True for word in ("better", "worse")}  # whether the interval must exclude 0
PHRASES = {  # what a clause says -> the metric (before temperature scaling), the word
    "more accurate": ("accuracy", "better"),
    "less accurate": ("accuracy", "worse"),
    "a lower nll": ("nll", "better"),
    "a higher nll": ("nll", "worse"),
    "less nll after recalibration": ("nll_refinement", "better"),
    "more nll after recalibration": ("nll_refinement", "worse"),
    "better calibrated": ("ece", "better"),
    "worse calibrated": ("ece", "worse"),
}
MINUS = "\N{MINUS SIGN}"
NUMBER = rf"[+{MINUS}]?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
INTERVAL = re.compile(rf"({NUMBER}) (?:± ({NUMBER})|\[({NUMBER}), ({NUMBER})\])")
NAMES = ("alpha", "beta", "delta", "kappa")


def ends_of(text: str) -> list[tuple[float, float]]:
    """The printed intervals: "a ± b" or "a [low, high]"."""
    found = []
    for value, half, low, high in INTERVAL.findall(text):
        numbers = [float(part.replace(MINUS, "-")) if part else 0.0 for part in (value, half, low, high)]
        around = round(numbers[0] - numbers[1], 9), round(numbers[0] + numbers[1], 9)
        found.append(around if half else (numbers[2], numbers[3]))
    return found


def excludes(ends: tuple[float, float], none: float = 0.0) -> bool:
    return ends[0] > none or ends[1] < none


@given(st.floats(-2, 2), st.floats(1e-7, 1), st.floats(1e-7, 1))
@example(0.005133761, 0.005133751, 0.005153686)  # ends just above 0
@example(0.1, 0.0999999, 0.0999999)
@settings(max_examples=300, deadline=None)
def test_a_printed_interval_includes_0_just_if_the_interval_does(value: float, below: float, above: float) -> None:
    span = Span(value, value - below, value + above, 3, 0.5)
    assume(min(abs(span.low), abs(span.high)) > 1e-8)  # nine decimals are printed at most
    (ends,) = ends_of(difference(NLL, span))
    assert excludes(ends) == (span.low > 0 or span.high < 0)
    ratio = span.raised()
    (ends,) = ends_of(difference(PERPLEXITY, ratio))
    assert excludes(ends, 1.0) == (ratio.low > 1 or ratio.high < 1)


@given(st.floats(0, 1))
@example(0.0500001)
def test_a_printed_p_stays_on_its_side_of_5_percent(p: float) -> None:
    assert (float(probability(p).lstrip("< ")) <= 0.05) == (p <= 0.05)


kinds = st.builds(
    lambda name, skill, sharpness, seeds: (Kind(name, skill, sharpness), range(seeds[0], seeds[0] + seeds[1])),
    st.sampled_from(NAMES),
    st.sampled_from([0.8, 0.95, 1.0, 1.05, 1.3]),
    st.sampled_from([0.6, 1.0, 1.05, 1.5, 2.5]),
    st.tuples(st.integers(0, 1), st.integers(1, 6)),
)
ablations = st.tuples(
    st.lists(kinds, min_size=1, max_size=4, unique_by=lambda pair: pair[0].loss),
    st.integers(1, 6),  # the baseline's seeds
    st.booleans(),  # with a loss that gives no probabilities
    st.sampled_from([40, 150, 400]),  # test examples
)


@given(ablations)
@settings(max_examples=8, deadline=None)
def test_no_sentence_contradicts_the_interval_beside_it(drawn: tuple[list[tuple[Kind, range]], int, bool, int]) -> None:
    consistent(*drawn)


@pytest.mark.slow
@given(ablations)
@settings(max_examples=80, deadline=None)
def test_nor_of_many(drawn: tuple[list[tuple[Kind, range]], int, bool, int]) -> None:
    consistent(*drawn)


def consistent(others: list[tuple[Kind, range]], seeds: int, hinge: bool, n: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, own in [(Kind("ce"), range(seeds)), *others, *([(HINGE, range(seeds))] if hinge else [])]:
            ablation_of(folder, [kind], own, n=n)
        written = write_report([folder], None, None)
        (comparison,) = written.comparisons
        found = findings(comparison, written.lost[0])
        texts = {suffix: (written.out / f"report.{suffix}").read_text() for suffix in ("html", "md", "csv")}
    on_page, lines = html.unescape(texts["html"]), "\n".join(told(written))
    for finding in found:  # the same on every surface
        assert finding.text in on_page and line(finding.text) in lines and str(markdown(finding.text)) in texts["md"]
    assert on_page.count(rule(comparison)) == 1 and str(markdown(rule(comparison))) in texts["md"]
    rows = {(row["loss"], row["metric"]): row for row in csv.DictReader(io.StringIO(texts["csv"]))}
    for row in rows.values():
        check_row(row)
    table = results(comparison)
    assert {metric.name for metric in comparison.judged} <= {head.split(" ")[0] for head in table.header}
    for cells in table.rows:
        for head, cell in zip(table.header, cells, strict=True):
            name = head.split(" ")[0]
            if cell.below.startswith("Δ") and (ends := ends_of(cell.below)):
                word = rows[cells[0].text, name]["verdict"]
                assert cell.tone == word.replace("no difference shown", "")
                if word:
                    assert excludes(ends[0]) == WORDS[word], cell
    check_sentences(found, rows)


def check_row(row: dict[str, str]) -> None:
    """A row of report.csv: p, interval and word say the same."""
    none = 1.0 if row["metric"] == "perplexity" else 0.0
    tested = bool(row["common_seeds"]) and int(row["common_seeds"]) >= 3
    if not tested:
        assert row["p"] == row["p_holm"] == row["verdict"] == ""
        return
    if row["difference_low"] and row["p"]:
        ends = float(row["difference_low"]), float(row["difference_high"])
        assert excludes(ends, none) == (float(row["p"]) <= 0.05), row
    if row["p_holm"]:
        assert float(row["p"]) <= float(row["p_holm"]) and row["verdict"]
        assert (row["verdict"] in ("better", "worse")) == (float(row["p_holm"]) <= 0.05), row
        if row["difference_low"]:
            assert excludes(ends) == WORDS[row["verdict"]], row
        if WORDS[row["verdict"]]:
            up = row["metric"] == "accuracy"
            assert row["verdict"].endswith("better") == ((float(row["difference"]) > 0) == up), row
    if row["beats_every_other"] and row["p_holm"]:
        assert row["verdict"] == "better", "the pairs hold the differences to the baseline"


def check_sentences(found: list[Finding], rows: dict[tuple[str, str], dict[str, str]]) -> None:
    """Each clause against report.csv; and whatever report.csv says of a told metric is in a clause."""
    said: set[tuple[str, str, str]] = set()
    for finding in found:
        for sentence in re.split(r"\. (?=[A-Za-z])", finding.text) if not finding.remark else ():
            after = sentence.startswith("After temperature scaling")
            for clause in sentence.split("; "):
                said |= check_clause(clause, after, rows)
    told = {metric for metric, _ in PHRASES.values()} | {"ece_ts"}
    want = {(loss, metric, row["verdict"]) for (loss, metric), row in rows.items() if metric in told}
    assert said == {entry for entry in want if WORDS[entry[2]]}


def check_clause(clause: str, after: bool, rows: dict[tuple[str, str], dict[str, str]]) -> set[tuple[str, str, str]]:
    """What a clause says, as (loss, metric, word): report.csv's very words."""
    if "beats every other" in clause:
        winner = clause.removeprefix("After temperature scaling, ").split(" ")[0]
        assert any(row["beats_every_other"] for (loss, _), row in rows.items() if loss == winner)
        return set()
    if (
        "No loss" in clause
        or "no loss" in clause
        or " is not shown to " in clause
        or clause.startswith(("No ", "Only ", "At least "))
    ):
        for low, high in re.findall(rf"from ({NUMBER}) to ({NUMBER})", clause):
            assert not excludes((float(low.replace(MINUS, "-")), float(high))), clause
        return set()
    (phrase,) = [phrase for phrase in PHRASES if phrase in clause]
    metric, word = PHRASES[phrase]
    word = f"perhaps {word}" if "perhaps " in clause.lower() else word
    also = ", also after temperature scaling" in clause
    assert word.startswith("perhaps") or ends_of(clause)
    assert all(excludes(ends) for ends in ends_of(clause)), clause
    names = clause[clause.index(":") :] if "perhaps " in clause.lower() else clause.split(f" {phrase}")[0]
    losses = {loss for loss, _ in rows if re.search(rf"\b{loss}\b", names.split("(")[0])}
    assert losses
    metrics = ["ece_ts"] if after else [metric, "ece_ts"] if also else [metric]
    return {(loss, name, word) for loss in losses for name in metrics}


def test_losses_missing_runs_and_rates_have_their_sentence(tmp_path: Path) -> None:
    """A failed run, several learning rates and a loss without probabilities are each a remark."""
    ablation_of(tmp_path, [Kind("ce"), Kind("alpha", skill=1.6), HINGE], range(3))
    ablation_of(tmp_path, [Kind("alpha", skill=0.5, settings={"optimizer.lr": 0.5})], range(3))
    ended(tmp_path, Kind("ce"), 3, "failed", error="boom")
    written = write_report([tmp_path], None, tmp_path / "out")
    found = findings(written.comparisons[0], written.lost[0])
    assert [finding.text for finding in found if finding.remark] == [
        "hinge gives no probabilities: no nll, brier, ece or ece_ts.",
        "alpha: compared at the best of several learning rates, chosen on validation.",
        "1 more run is not finished or cannot be read, and may change the answer.",
    ]
    assert found[0].text.startswith("alpha is more accurate than ce (accuracy +")


def test_two_questions_have_an_answer_each(tmp_path: Path) -> None:
    ablation_of(tmp_path / "a", [Kind("ce"), Kind("alpha", skill=1.6)], range(3), ablation="a")
    ablation_of(tmp_path / "b", [Kind("ce"), Kind("beta", skill=0.5)], range(5), ablation="b")
    lines = list(told(write_report([tmp_path], None, tmp_path / "out")))
    first, second = (next(i for i, text in enumerate(lines) if text.startswith(f"{name} · ")) for name in "ab")
    assert any("alpha is more accurate than ce" in text for text in lines[first:second])
    assert any("beta is less accurate" in text for text in lines[second:])
    assert not any("beta" in text for text in lines[first:second])


def test_nothing_to_see_is_one_sentence(tmp_path: Path) -> None:
    ablation_of(tmp_path, [Kind("ce"), Kind("other"), Kind("third")], range(3), n=150)
    (comparison,) = write_report([tmp_path], None, tmp_path / "out").comparisons
    (found,) = findings(comparison)
    assert found.text.startswith("No loss is shown to differ from ce in accuracy (all intervals from \N{MINUS SIGN}0.")
    assert not found.shown and "ece after temperature scaling (" in found.text


def test_every_told_metric_has_a_phrase_that_the_tests_know() -> None:
    told: list[Column] = [metric for metric in METRICS if metric.phrase]
    assert {phrase for metric in told if metric.phrase for phrase in metric.phrase[1:]} == set(PHRASES)
    assert ACCURACY.better == 1 and all(metric.better == -1 for metric in told[1:])


def test_one_word_is_never_counted_in_place_of_being_named() -> None:
    words = ["a", "b", "c", "d"]
    assert listed(words, 4) == listed(words, 3) == "a, b, c and d"
    assert listed(words, 2) == "a, b and 2 more"
