"""The headline says which loss to take, by the words of the table: a winner, who is ahead, or the baseline."""

from dataclasses import replace
from pathlib import Path

import pytest

from src.report.compare import Comparison, compare
from src.report.groups import sections_of
from src.report.headline import Headline, headline
from src.report.read import find_runs
from src.report.words import BETTER, WORSE
from tests.report.fabricated import Kind, ablation_of

SURE = "At most one such report in twenty calls any loss better or worse without cause."


def of(folder: Path, *kinds: Kind, seeds: int = 4, baseline: str = "ce") -> Comparison:
    ablation_of(folder, kinds, range(seeds))
    (section,) = sections_of(find_runs([folder]))
    return compare(section, next(iter(section.find(baseline)), None))


def of_words(comparison: Comparison, **words: dict[str, str]) -> Headline:
    """The headline where the corrected tests say this: metric -> label -> better or worse, and nothing else."""
    comparison.best.clear()
    comparison.told_apart.clear()
    for (label, name), cell in comparison.cells.items():
        (metric,) = (metric for metric in comparison.metrics if metric.name == name)
        if cell.difference is not None:
            size = abs(cell.difference.value) or 0.1
            word = words.get(name, {}).get(label, "")
            value = size * metric.better * (-1 if word == WORSE else 1)
            ends = (value - 0.1 * size, value + 0.1 * size) if word else (value - 2 * size, value + 2 * size)
            cell.difference = replace(cell.difference, value=value, low=ends[0], high=ends[1])
            cell.adjusted, cell.plan = 0.001 if word else 0.9, None
    found = headline(comparison)
    assert found is not None
    return found


def test_the_winner_is_to_be_taken(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("good", 2.5), Kind("bad", 0.5))
    assert comparison.best["accuracy"] == comparison.best["nll"] == "good"
    text = headline(comparison)
    assert text is not None
    assert text.answer.startswith("Take good: it is more accurate and has a lower nll")
    assert text.answer.endswith("than every other loss.") and "bad" not in text.answer
    assert text.sure == f"4 seeds a loss. {SURE}"


def test_a_baseline_that_wins_is_kept(tmp_path: Path) -> None:
    text = headline(of(tmp_path, Kind("ce", 2.5), Kind("alike"), Kind("bad", 0.5)))
    assert text is not None and text.answer.startswith("Keep ce: it is more accurate and has a lower nll")


def test_a_loss_that_could_not_be_compared_is_no_part_of_every_other(tmp_path: Path) -> None:
    ablation_of(tmp_path, [Kind("young")], range(2))
    text = headline(of(tmp_path, Kind("ce"), Kind("good", 2.5)))
    assert text is not None and "than every other loss that could be compared." in text.answer
    assert text.sure.startswith("2 to 4 seeds a loss. ")


def test_without_a_winner_who_is_better_and_nowhere_worse_is_to_be_taken(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("a"), Kind("b"), Kind("c"))
    text = of_words(comparison, accuracy={"a": BETTER, "b": BETTER}, nll={"c": WORSE}, ece={"c": BETTER})
    assert text.answer == "Take a or b: better than ce in accuracy."
    assert text.rest.startswith("In ece, c is better than ce. ")  # that c is worse in nll waits for the sentences below
    text = of_words(comparison, accuracy={"a": BETTER}, nll={"a": BETTER, "b": BETTER})
    assert text.answer == "Take a or b: a is better than ce in accuracy and nll; b is better than ce in nll."


def test_it_depends_where_one_metric_speaks_for_a_loss_and_another_against_it(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("a"), Kind("b"))
    text = of_words(comparison, accuracy={"a": BETTER}, nll={"a": WORSE, "b": WORSE})
    assert text.answer == "It depends: a is better than ce in accuracy, and worse in nll."
    words = {"accuracy": {"a": BETTER}, "nll": {"a": WORSE}}
    of_words(comparison, **words)
    comparison.best["accuracy"] = "a"
    text = headline(comparison)  # type: ignore[assignment]
    assert text.answer == "It depends: a is more accurate than every other loss; a is worse than ce in nll."
    of_words(comparison, nll={"b": BETTER})
    comparison.best["accuracy"] = "ce"
    text = headline(comparison)  # type: ignore[assignment]
    assert text.answer == "It depends: ce is more accurate than every other loss; b is better than ce in nll."
    comparison.best |= {"accuracy": "a", "nll": "b"}
    text = headline(comparison)  # type: ignore[assignment]
    assert text.answer.startswith("It depends: a is more accurate than every other loss; b has a lower nll than every")


def test_the_baseline_stays_where_nothing_is_better(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("a"), Kind("b"))
    text = of_words(comparison, nll={"a": WORSE}, ece={"a": WORSE})
    assert text.answer == "Keep ce: no loss is shown to be better, and a is worse in nll and ece."
    assert text.rest == "In accuracy and ece after temperature scaling, nothing separates the three losses."
    assert text.sure.endswith(SURE)
    text = of_words(comparison, nll={"a": WORSE}, ece={"b": WORSE})
    assert text.answer == "Keep ce: no loss is shown to be better, and a and b are worse in nll or ece."


def test_what_nothing_separates_is_not_called_equal(tmp_path: Path) -> None:
    text = headline(of(tmp_path, Kind("ce"), Kind("alike"), Kind("same"), seeds=3))
    assert text is not None and text.answer == "Keep ce: nothing separates the three losses."
    assert "nothing separates" not in text.rest
    assert text.sure.startswith("3 seeds a loss.") and text.sure.endswith("does not say that the losses are equal.")


def test_without_a_baseline_nobody_is_kept(tmp_path: Path) -> None:
    text = headline(of(tmp_path, Kind("ce"), Kind("alike"), Kind("same"), seeds=3, baseline="mae"))
    assert text is not None and text.answer == "Nothing separates the three losses." and "ce" not in text.rest


@pytest.mark.parametrize(("more", "said"), [(3, "About 3 more seeds would show that a differs from ce in"), (400, "")])
def test_the_next_step_is_told_if_anybody_would_take_it(more: int, said: str, tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("a"), Kind("b"))
    plan = comparison.cells["a", "nll"].plan
    assert plan is not None
    for cell in comparison.cells.values():
        cell.plan = None
    comparison.cells["a", "nll"].plan = replace(plan, n=4, seeds=4.0 + more)
    text = headline(comparison)
    assert text is not None and text.rest.startswith(said) and ("seeds" in text.rest) is bool(said)


def test_nothing_compared_is_nothing_said(tmp_path: Path) -> None:
    assert headline(of(tmp_path, Kind("ce"), seeds=1)) is None


def test_of_very_many_losses_only_the_number_is_said(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), *(Kind(f"a{i}") for i in range(9)), seeds=3)
    text = of_words(comparison, nll={f"a{i}": WORSE for i in range(9)})
    assert text.answer == "Keep ce: no loss is shown to be better, and 9 others are worse in nll."


def test_of_two_losses_the_other_is_named_and_nothing_is_told_twice(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("a"))
    of_words(comparison, nll={"a": BETTER}, ece={"a": WORSE})
    comparison.best |= {"nll": "a", "ece": "ce"}
    text = headline(comparison)
    assert text is not None
    assert text.answer == "It depends: a has a lower nll than ce; ce is better calibrated than a."
