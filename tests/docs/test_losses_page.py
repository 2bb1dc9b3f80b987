"""The page of the losses is what its script makes of them today."""

import re

import pytest
import torch

from docs.losses import INTRO, OTHER, PAGE, PICTURES, Entry, curve, entries, page
from src.losses.base import LogitLoss

ENTRIES = entries()


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run 'python docs/losses.py'"


def test_every_loss_is_on_it() -> None:
    assert {entry.name for entry in ENTRIES} == {
        entry.name for family in (LogitLoss, *OTHER) for entry in entries(family)
    }
    headings = re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert {*headings} >= {entry.name for entry in ENTRIES}


def test_figures_of_the_chooser_are_those_of_the_page_that_it_names() -> None:
    rows = [row for row in INTRO.splitlines() if row.startswith("| ") and ".md)" in row]
    assert len(rows) >= 4
    for row in rows:
        (name,) = set(re.findall(r"\((\w+\.md)\)", row))
        figures = re.findall(r"\d\.\d{2,}(?: ± \d\.\d+)?", row)
        assert figures
        assert [figure for figure in figures if figure not in PAGE.with_name(name).read_text()] == [], row


def test_one_small_picture_a_loss() -> None:
    pictures = {path.stem: path.stat().st_size for path in PICTURES.iterdir()}
    assert pictures.keys() == {entry.name for entry in entries(LogitLoss)}
    assert max(pictures.values()) < 40_000


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_docstring_says_what_when_and_whence(entry: Entry) -> None:
    assert entry.when.endswith(".")
    assert entry.part(r"\nSource:", r"\Z")
    assert entry.part(r"\A", r"\n\n").partition(": ")[2], "the first paragraph is 'Name: formula'"


def test_curve_of_cross_entropy() -> None:
    ce = next(entry.loss for entry in ENTRIES if entry.name == "ce")
    value, gradient = curve(ce, torch.tensor([1.0], dtype=torch.float64))
    p = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).softmax(-1)[0]
    torch.testing.assert_close((value[0], gradient[0]), (-p.log(), p - 1))
