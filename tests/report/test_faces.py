"""The pictures that a report shows first: which ones, that they are whole, and that a folder's files stay data."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from src.metrics.columns import Family, family_of
from src.report.write import write_report
from tests.report.test_families import MAE, MSE, VALUES, values_run

FACED = replace(VALUES, face=("made", "Images made of <b>noise</b>"))


def png(shade: int, size: tuple[int, int] = (20, 30)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full(size[::-1], shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


def runs_of(home: Path, seeds: dict[str, tuple[int, ...]], family: Family = FACED, name: str = "made") -> Path:
    """Runs of two losses, each with a picture of its own: 10 times its seed, and 100 more for the second loss."""
    for number, kind in enumerate((MSE, MAE)):
        for seed in seeds[kind.loss]:
            run = values_run(home, kind, seed, family=family)
            (run / "figures").mkdir()
            (run / "figures" / f"{name}.png").write_bytes(png(100 * number + 10 * seed))
    return home


def picture_of(runs: Path, loss: str) -> Path:
    """Of seed 1."""
    (found,) = runs.glob(f"{loss}*/seed1/figures/made.png")
    return found


def shades(text: str) -> list[int]:
    """Of the embedded pictures the shade."""
    found = re.findall(r'<img src="data:image/png;base64,([A-Za-z0-9+/=]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))).max() for one in found]


@pytest.mark.parametrize(
    ("seeds", "shown", "said"),
    [
        ({"mse": (1, 2, 3), "mae": (2, 3, 4)}, [20, 120], "by the run with seed 2 of each loss."),
        ({"mse": (1, 2), "mae": (3, 4)}, [10, 130], "by one run of each loss."),
    ],
    ids=["common", "own"],
)
def test_one_picture_of_each_loss_is_the_first_thing(
    seeds: dict[str, tuple[int, ...]], shown: list[int], said: str, tmp_path: Path
) -> None:
    """Of the lowest seed that all losses have; before every other figure, and before the tables."""
    runs = runs_of(tmp_path / "runs", seeds)
    html = write_report([runs], None, None).out / "report.html"
    text = html.read_text()
    assert shades(text) == shown, "in the order of the tables"
    assert text.index("<img ") < min(text.index("<table"), text.index("<svg"))
    assert f"Images made of &lt;b&gt;noise&lt;/b&gt;, {said}" in text and "<b>noise" not in text
    assert 'width="20" height="30"' in text
    markdown = (html.parent / "report.md").read_text()
    links = re.findall(r"!\[(\w+)\]\(([^)]+)\)", markdown)
    assert [label for label, _ in links] == ["mse", "mae"]
    for (_, link), shade in zip(links, shown, strict=True):
        assert np.asarray(Image.open(html.parent / unquote(link))).max() == shade
    assert markdown.index("![") < markdown.index("| crps")


def test_a_loss_without_a_picture_is_named(tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "runs", {"mse": (1, 2), "mae": (1, 2)})
    picture_of(runs, "mae").unlink()
    text = (write_report([runs], None, None).out / "report.html").read_text()
    assert shades(text) == [10] and "of each loss. mae drew none." in text


def test_there_is_none_where_the_family_has_none(tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "runs", {"mse": (1, 2), "mae": (1, 2)}, VALUES)
    out = write_report([runs], None, None).out
    assert "<img" not in (out / "report.html").read_text() and "![" not in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<script>alert(1)</script>", "it is no PNG file"),
        (png(1)[:20], "it is no PNG file"),
        (png(1, (5000, 1)), "it is 5000 x 1 pixels large"),
        (png(1) + bytes(2**21), "it has more than 2,097,152 bytes"),
    ],
    ids=["page", "cut", "wide", "heavy"],
)
def test_what_is_no_such_picture_is_told_and_not_shown(content: bytes, why: str, tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "runs", {"mse": (1, 2), "mae": (1, 2)})
    picture_of(runs, "mse").write_bytes(content)
    text = (write_report([runs], None, None).out / "report.html").read_text()
    assert shades(text) == [110] and "alert(1)" not in text
    assert f"mse: made.png is not shown: {why}" in text


@pytest.mark.parametrize("face", [["../x", "a"], ["a b", "c"], ["x" * 41, "a"], ["x", "a" * 61], ["x"], "x", [1, "a"]])
def test_a_face_that_no_family_has_is_refused(face: object) -> None:
    assert family_of(FACED.plain()) == FACED
    with pytest.raises(ValueError, match="face"):
        family_of(FACED.plain() | {"face": face})
