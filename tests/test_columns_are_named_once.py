"""Whoever shows, compares or chooses among runs reads the columns of their family and names none himself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.metrics.families import FAMILIES
from tests.conftest import ROOT

READERS = ("callbacks", "folder", "report", "runs", "sweep", "tune")
LOSSES = {path.stem for path in (ROOT / "conf" / "loss").glob("*.yaml")}
COLUMNS = {column.name for family in FAMILIES.values() for column in family.columns}
COLUMNS |= {name for family in FAMILIES.values() for name in family.undrawn}
COLUMNS |= {name for family in FAMILIES.values() for column in family.columns for name in column.gap or ()}
# what has the name of a column and is none
OTHERS = {
    ("callbacks/samples.py", "temperature"),  # of the sampling of text
    ("report/report.html", "width"),  # of the screen
    ("report/report.html", "quantile"),  # of Student's t
    ("runs/teacher.py", "characters"),  # of a text that another network knows
    ("runs/trained.py", "temperature"),  # by which a classifier's probabilities are calibrated
}
FILES = [path for folder in READERS for path in sorted((ROOT / "src" / folder).rglob("*.*"))]


def texts(path: Path) -> Iterator[str]:
    """The texts in a file of source, but for its docstrings; of any other file the words outside of its tags."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from re.findall(r"\w+", re.sub(r"<[^>]*>", " ", content))
        return
    tree = ast.parse(content)
    said = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said:
            yield node.value


def named(path: Path) -> set[str]:
    """The columns and losses that a file names: "nll", "val/nll"."""
    return {word for text in texts(path) for word in re.split(r"[/,]", text)} & (COLUMNS | LOSSES)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix in (".py", ".html", ".md", ".js")], ids=lambda p: p.name)
def test_no_column_and_no_loss_is_named(path: Path) -> None:
    place = str(path.relative_to(ROOT / "src"))
    assert not {(place, name) for name in named(path)} - OTHERS


def test_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""nll"""\nx = ["nll", "val/ece", f"test/{1}"]\ny = f"train/accuracy,{x}"\n')
    (tmp_path / "a.html").write_text("<p>Best accuracy</p>")
    assert named(tmp_path / "a.py") == {"nll", "ece", "accuracy"}
    assert named(tmp_path / "a.html") == {"accuracy"}
