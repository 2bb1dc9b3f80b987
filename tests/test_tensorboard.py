"""What a person sees: a real TensorBoard on real runs, in a real browser without a window."""

import csv
import io
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import Chrome

from docs.screenshots import (
    ELEMENTS,
    OVERLAY,
    PICTURE,
    chromium,
    shoot,
    shows,
    table,
    tensorboard,
    type_filter,
    until,
    visit,
    words,
)
from src.runs.events import CHARTS, METRICS, PAGE, SHOWN, EventFiles
from tests.commands import train
from tests.runs.test_events import png

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromedriver"
    ),
]
WORDS = (
    *("trainer=cpu", "trainer.threads=1", "data.train_examples=400", "data.batch_size=20", "model.widths=[16]"),
    *("trainer.max_steps=40", "trainer.log_every_n_steps=10", "trainer.val_every_n_steps=10"),
)
LOSSES = (("loss=ce",), ("loss=focal", "loss.gamma=3"), ("loss=hinge",))
TAG = "synthetic"
SIZES = "return arguments[0].map(image => [image.naturalWidth, image.naturalHeight])"


class Runs:
    """Finished runs below one folder, by the names that TensorBoard gives them."""

    def __init__(self, family: Path) -> None:
        self.family = family
        self.folders = {str(path.relative_to(family)): path for path in sorted(family.glob("*/seed*"))}
        self.names = tuple(self.folders)
        self.probabilistic = tuple(name for name in self.names if not name.startswith("hinge"))
        shades = np.linspace(0, 255, 40 * 60 * 3).astype(np.uint8).reshape(40, 60, 3)
        self.pictures = {name: np.roll(shades, 30 * i, axis=1) for i, name in enumerate(self.names)}

    def curve(self, name: str, tag: str) -> list[float]:
        with (self.folders[name] / "metrics.csv").open() as file:
            return [float(line["value"]) for line in csv.DictReader(file) if line["tag"] == tag]

    def tested(self, name: str) -> dict[str, float | None]:
        return json.loads((self.folders[name] / "result.json").read_text())["metrics"]["test"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A short run of each loss, with two pictures beside it."""
    folder = tmp_path_factory.mktemp("shown")
    for loss in LOSSES:
        assert train(*WORDS, *loss, f"runs={folder}") == 0
    runs = Runs(folder / "mnist_5k-mlp")
    for name, path in runs.folders.items():
        later = EventFiles(path, unit=1, resumed_at=40)
        later.image(TAG, png(runs.pictures[name]), 41)
        later.image("another", png(runs.pictures[name][:20]), 41)
    return runs


@pytest.fixture(scope="module")
def address(runs: Runs) -> Iterator[str]:
    with tensorboard(runs.family) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, request: pytest.FixtureRequest) -> Iterator[Chrome]:
    """The browser; after the test its picture where XENT_SCREENSHOTS names a folder, and no error in its console."""
    yield browser
    if "XENT_SCREENSHOTS" in os.environ:
        folder = Path(os.environ["XENT_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        shoot(browser, request.node.name, folder)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def strokes(driver: Chrome, card: object) -> list[int]:
    """The number of points of each line of a time series card."""
    paths = "return [...arguments[0].querySelectorAll('line-chart svg path[style*=stroke]')].map(p => [p.style.display,"
    drawn = driver.execute_script(f"{paths} p.getAttribute('d')])", card)
    return [path.count("L") + 1 for display, path in drawn if display != "none"]


def test_losses_are_overlaid(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "timeseries", tagFilter="^val/nll$", **OVERLAY)
    shows(page, "val", "/nll", *runs.names)
    until(page, lambda: len(page.execute_script(ELEMENTS, "scalar-card tb-data-table-content-row")) == 2)
    (card,) = page.execute_script(ELEMENTS, "scalar-card")
    until(page, lambda: strokes(page, card) == [4, 4])
    rows = [row.text.split("\n") for row in page.execute_script(ELEMENTS, "scalar-card tb-data-table-content-row")]
    assert {row[0]: float(row[1]) for row in rows} == {
        name: pytest.approx(runs.curve(name, "val/nll")[-1], abs=1e-4) for name in runs.probabilistic
    }


def test_one_page_compares_the_losses(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "custom_scalars")
    legend = [f"{split}/nll ({name})" for split in ("train", "val") for name in runs.probabilistic]
    shows(page, PAGE, *CHARTS, *legend, *runs.names)
    seen = words(page)
    assert seen.count(PAGE) == 1, "the pages of all runs are one"
    assert [text for text in seen if text in CHARTS] == list(CHARTS)
    cards = page.execute_script(ELEMENTS, "tf-custom-scalar-multi-line-chart-card")
    expected = {name: 2 * sum(bool(runs.curve(run, f"val/{name}")) for run in runs.names) for name in CHARTS}
    assert expected["nll"] == 4
    assert expected["accuracy"] == 6
    until(page, lambda: [f"Matches ({expected[card.text.split()[0]]})" in card.text for card in cards] == [True] * 6)


def test_a_row_a_run(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "hparams", (2000, 600))
    until(page, lambda: len(table(page)) == len(runs.names))
    rows = {row["Trial ID"]: row for row in table(page)}
    assert rows.keys() == set(runs.names)
    losses = {(row["loss"], row["loss_parameters"], row["seed"]) for row in rows.values()}
    assert {(loss, text.split(" ")[0], seed) for loss, text, seed in losses} == {
        *(("ce", "beta=0.999", "0"), ("focal", "gamma=3", "0"), ("hinge", "margin=1.0", "0")),
    }
    for name, row in rows.items():
        assert set(row) == {"Trial ID", "Show Metrics", *SHOWN, *METRICS[:5]}
        assert float(row["lr"]) == 0.002
        for tag in METRICS[:5]:
            value = runs.tested(name).get(tag.partition("/")[2])
            if value is None:
                assert row[tag] == "", (name, tag)
            else:
                assert float(row[tag]) == pytest.approx(value, rel=5e-5), (name, tag)
    assert {name for name, row in rows.items() if row["test/nll"] == ""} == set(runs.names) - set(runs.probabilistic)


def test_pictures_are_in_runs_of_their_own(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "images")
    type_filter(page, TAG)
    shows(page, TAG, *(f"{name}/figures" for name in runs.names))

    def seen() -> bool:
        sources = {image.get_attribute("src") for image in page.execute_script(ELEMENTS, PICTURE)}
        drawn = [picture_at(source) for source in sources if source]
        return all(any(np.array_equal(picture, other) for other in drawn) for picture in runs.pictures.values())

    until(page, seen)
    until(page, lambda: page.execute_script(SIZES, page.execute_script(ELEMENTS, PICTURE)).count([60, 40]) >= 3)


def picture_at(source: str) -> np.ndarray:
    with urllib.request.urlopen(source) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())))
