"""The sentence above all others says what the table says: who wins, and what nothing separates."""

from pathlib import Path

from src.report.compare import Comparison, compare
from src.report.groups import sections_of
from src.report.headline import headline
from src.report.read import find_runs
from tests.report.fabricated import Kind, ablation_of


def of(folder: Path, *kinds: Kind, seeds: int = 4) -> Comparison:
    ablation_of(folder, kinds, range(seeds))
    (section,) = sections_of(find_runs([folder]))
    return compare(section, section.find("ce")[0])


def test_a_winner_comes_first_and_who_loses_waits(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("good", 2.5), Kind("bad", 0.5))
    text = headline(comparison)
    assert comparison.best["accuracy"] == comparison.best["nll"] == "good"
    assert text.startswith("good is more accurate and has a lower nll") and "than every other loss" in text
    assert "worse" not in text


def test_without_a_winner_who_loses_is_told(tmp_path: Path) -> None:
    comparison = of(tmp_path, Kind("ce"), Kind("alike"), Kind("bad", 0.5))
    assert not comparison.best
    assert "nothing is shown to be better than ce, and bad is worse" in headline(comparison)


def test_what_nothing_separates_is_told_with_its_seeds(tmp_path: Path) -> None:
    text = headline(of(tmp_path, Kind("ce"), Kind("alike"), Kind("same"), seeds=3))
    assert "nothing separates the three losses at 3 seeds" in text


def test_nothing_compared_is_nothing_said(tmp_path: Path) -> None:
    assert headline(of(tmp_path, Kind("ce"), seeds=1)) == ""
