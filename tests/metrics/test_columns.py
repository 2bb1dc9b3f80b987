"""A family's columns, as whoever reads runs has them."""

import json
import math

import pytest

from src.metrics.columns import FAMILIES, Family, family_of


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
