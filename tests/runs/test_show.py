"""What a command says at its end."""

from pathlib import Path

import pytest

from src.config.errors import UserError
from src.metrics.columns import Column, Family
from src.runs.show import ending, side_by_side

OWN = Family("own", (Column("crps", unit="degrees"), Column("hits", 1)), ("crps",), "crps", ("crps",), ("crps",))


def test_each_metric_has_the_unit_of_its_column() -> None:
    splits = {"test": {"crps": 1.5, "hits": None, "loss": 2.0}, "validation": {"crps": 2.25}}
    assert side_by_side(splits, OWN).splitlines() == [
        "                            test    validation",
        "crps                      1.5000        2.2500  degrees",
        "hits                           —",
        "loss                      2.0000",
    ]


def test_the_end_of_a_run_is_safe_to_show_whatever_its_result_holds(tmp_path: Path) -> None:
    metrics = {"test": {"crps": 1.5, "\x1b[2J": 1.0}, "val": {}}
    result = {"family": OWN.plain(), "metrics": metrics, "notes": ["a \x1b]0;title\x07"]}
    told = ending(tmp_path / "own/mse-1234/seed0", result, "csv")
    assert "crps                      1.5000" in told and "\x1b" not in told
    with pytest.raises(UserError, match=r"result\.json does not say what is measured .*another version of xent"):
        ending(tmp_path, {"metrics": metrics, "notes": []}, "csv")
