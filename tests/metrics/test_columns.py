"""A family's columns, as whoever reads runs has them."""

import json
import math

import pytest

from src.metrics.columns import Column, Family, family_of
from src.metrics.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_is_read_as_it_was_written(family: Family) -> None:
    assert family_of(json.loads(json.dumps(family.plain()))) == family


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_names_only_columns_that_it_has(family: Family) -> None:
    own = {column.name for column in family.columns}
    assert {*family.chooses, family.keeps, *family.shown, *family.charts, *(family.against or ())} <= own
    for column in family.columns:
        assert column.after in own | {""}
        assert column.source in own | {""}
        assert column.better in (-1, 0, 1)
        assert column.better or not column.judged
        assert len(own) == len(family.columns)


def test_what_chooses_is_the_first_that_a_run_has() -> None:
    family = FAMILIES["classification"]
    column, value = family.choice({"accuracy": 0.5, "nll": 2.0}) or (None, math.nan)
    assert column is not None
    assert (column.name, column.better, value) == ("nll", -1, 2.0)
    column, value = family.choice({"accuracy": 0.5, "nll": None}) or (None, math.nan)
    assert column is not None
    assert (column.name, column.better, value) == ("accuracy", 1, 0.5)
    assert family.choice({"loss": 1.0}) is None


def test_a_column_that_no_family_has_is_only_shown() -> None:
    column = FAMILIES["language"].column("kl")
    assert (column.better, column.judged, column.title) == (0, False, "kl")


def test_which_of_two_values_is_better() -> None:
    up, down, neither = (Column("score", better) for better in (1, -1, 0))
    assert up.is_better(2.0, 1.0) and not up.is_better(1.0, 1.0) and not up.is_better(1.0, 2.0)
    assert down.is_better(1.0, 2.0) and not down.is_better(1.0, 1.0) and not down.is_better(2.0, 1.0)
    assert not any(neither.is_better(value, 1.0) for value in (0.0, 1.0, 2.0))
    assert not any(column.is_better(math.nan, 1.0) for column in (up, down, neither))


@pytest.mark.parametrize(
    "change",
    [
        {"columns": None},
        {"columns": [3]},
        {"columns": [{}]},
        {"columns": []},
        {"columns": [{"name": "nll", "factor": "2"}]},
        {"columns": [{"name": "nll", "better": True}]},
        {"columns": [{"name": "nll", "better": 2}]},
        {"columns": [{"name": "nll", "judged": 1}]},
        {"columns": [{"name": "nll", "gap": ["a"]}]},
        {"columns": [{"name": "nll", "phrase": ["a", "b", 3]}]},
        {"columns": [{"name": "\x1b[2J"}]},
        {"columns": [{"name": "val/nll"}]},
        {"columns": [{"name": "n" * 41}]},
        {"columns": [{"name": "nll"}, {"name": "nll"}]},
        {"columns": [{"name": "nll", "source": "<b>"}]},
        {"columns": [{"name": "nll", "gap": ["a", "../b"]}]},
        {"columns": [{"name": "nll", "ratio": ["a"]}]},
        {"columns": [{"name": "nll", "ratio": ["a", "a"]}]},
        {"columns": [{"name": "nll", "ratio": ["a", "<b>"]}]},
        {"columns": [{"name": "nll", "ratio": ["a", "b"], "source": "c"}]},
        {"columns": [{"name": "nll", "ratio": ["a", "b"], "root": True}]},
        {"columns": [{"name": "nll", "unit": "u" * 61}]},
        {"columns": [{"name": "nll", "phrase": ["be", "x" * 61, "y"]}]},
        {"columns": [{"name": "nll", "low": 2, "high": 1}]},
        {"columns": [{"name": "nll", "low": math.nan}]},
        {"columns": [{"name": "nll", "high": 10**400}]},
        {"columns": [{"name": "nll", "factor": 0}]},
        {"columns": [{"name": "nll", "factor": 10**400}]},
        {"columns": [{"name": "nll", "better": 0, "judged": True}]},
        {"name": "one\ntwo"},
        {"baseline": "b" * 61},
        {"columns": [{"name": "nll", "colour": "red"}]},
        {"chooses": []},
        {"chooses": ["nll", "unknown"]},
        {"keeps": "unknown"},
        {"shown": "nll"},
        {"against": ["nll"]},
        {"other": 1},
    ],
    ids=str,
)
def test_what_no_run_writes_is_refused(change: dict[str, object]) -> None:
    plain = {"name": "one", "columns": [{"name": "nll"}], "chooses": ["nll"], "keeps": "nll", "shown": [], "charts": []}
    assert family_of(plain).column("nll").better == -1
    with pytest.raises(ValueError, match=r"column|family|keeps|shown|against"):
        family_of(plain | change)


@pytest.mark.parametrize("plain", [None, 3, "family", [], {}, [["name", "one"]]], ids=str)
def test_what_is_no_family_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="no family"):
        family_of(plain)
