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
    PICTURE,
    SVG,
    chromium,
    follow,
    shoot,
    shows,
    table,
    tensorboard,
    type_filter,
    until,
    visit,
)
from src.callbacks.events import PICTURES, EventFiles, curves, ticked
from src.metrics.families import CLASSIFICATION
from tests.callbacks.test_events import png
from tests.commands import train

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
LOSSES = (
    ("loss=ce",),
    ("loss=ce", "seed=1"),
    ("loss=focal", "loss.gamma=1"),
    ("loss=focal", "loss.gamma=3"),
    ("loss=hinge",),
)
TAG = "synthetic"
SIZES = "return arguments[0].map(image => [image.naturalWidth, image.naturalHeight])"


class Runs:
    """Finished runs below one folder, by the names that TensorBoard gives them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folders = {str(path.relative_to(home)): path for path in sorted(home.glob("*/seed*"))}
        self.names = tuple(self.folders)
        self.probabilistic = tuple(name for name in self.names if not name.startswith("hinge"))
        shades = np.linspace(0, 255, 40 * 60 * 3).astype(np.uint8).reshape(40, 60, 3)
        self.pictures = {name: np.roll(shades, 30 * i, axis=1) for i, name in enumerate(self.names)}

    def curve(self, name: str, tag: str) -> list[float]:
        with (self.folders[name] / "metrics.csv").open() as file:
            return [float(line["value"]) for line in csv.DictReader(file) if line["tag"] == tag]

    def result(self, name: str) -> dict[str, dict[str, float | None]]:
        return json.loads((self.folders[name] / "result.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A short run of each loss, with two pictures beside it."""
    folder = tmp_path_factory.mktemp("shown")
    for loss in LOSSES:
        assert train(*WORDS, *loss, f"runs={folder}") == 0
    runs = Runs(folder / "mnist_5k-mlp")
    for name, path in runs.folders.items():
        later = EventFiles(path, CLASSIFICATION, unit=1, resumed_at=40)
        later.image(TAG, png(runs.pictures[name]), 41)
        later.image("another", png(runs.pictures[name][:20]), 41)
        later.save()
    return runs


@pytest.fixture(scope="module")
def address(runs: Runs) -> Iterator[str]:
    with tensorboard(runs.home) as address:
        yield address


@pytest.fixture(scope="module")
def everything(runs: Runs) -> Iterator[str]:
    """A TensorBoard on the folder of all runs."""
    with tensorboard(runs.home.parent) as address:
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


def rows_of(driver: Chrome, card: object) -> list[tuple[str, str, float]]:
    """Name, colour and value of each run in the table of a time series card."""
    rows = driver.execute_script("return [...arguments[0].querySelectorAll('tb-data-table-content-row')]", card)
    dot = "return getComputedStyle(arguments[0].querySelector('.row-circle > *')).backgroundColor"
    return [(row.text.split("\n")[0], driver.execute_script(dot, row), float(row.text.split("\n")[1])) for row in rows]


@pytest.mark.parametrize("below", ["home", "all"])
def test_the_link_opens_on_pinned_scores_in_a_colour_a_loss(
    page: Chrome, address: str, everything: str, runs: Runs, below: str
) -> None:
    """Read from a folder of runs, or from that of all."""
    root, prefix = (runs.home, "") if below == "home" else (runs.home.parent, f"{runs.home.name}/")
    follow(page, address if below == "home" else everything, root, (1400, 2000), **SVG)
    pinned = "metrics-pinned-view scalar-card"
    until(page, lambda: len(page.execute_script(ELEMENTS, f"{pinned} tb-data-table-content-row")) == 4 + 5 + 4 + 4)
    cards = {title(page, card): card for card in page.execute_script(ELEMENTS, pinned)}
    assert list(cards) == ["val/nll", "val/accuracy", "val/ece", "val/brier"]
    until(page, lambda: strokes(page, cards["val/accuracy"]) == [4] * 5)
    for tag, card in cards.items():
        shown = rows_of(page, card)
        values = {prefix + name: curve[-1] for name in runs.names if (curve := runs.curve(name, tag))}
        assert {name: value for name, _, value in shown} == pytest.approx(values, abs=1e-4)
    colours = {(loss_of(name), colour) for name, colour, _ in rows_of(page, cards["val/accuracy"])}
    assert {loss for loss, _ in colours} == {"ce", "focal-gamma1", "focal-gamma3", "hinge"}
    assert len(colours) == len({colour for _, colour in colours}) == 4
    groups = [group.text.split("\n")[0] for group in page.execute_script(ELEMENTS, ".group-title")]
    assert groups == ["Pinned", "train", "val", PICTURES], "curves come before pictures, and there are no dots"


def title(driver: Chrome, card: object) -> str:
    return driver.execute_script("return arguments[0].querySelector('.tag').title", card)


def loss_of(name: str) -> str:
    """The loss and its gamma in the name of a run."""
    return "-".join(name.split("/")[-2].split("-")[: 2 if "gamma" in name else 1])


def test_a_row_a_run(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "hparams", (2000, 600))
    until(page, lambda: len(table(page)) == len(runs.names))
    rows = {row["Trial ID"]: row for row in table(page)}
    settings, metrics = ticked(CLASSIFICATION), curves(CLASSIFICATION)
    assert rows.keys() == set(runs.names)
    assert {row["loss"] for row in rows.values()} == {"ce", "focal", "hinge"}
    for name, row in rows.items():
        assert set(row) == {"Trial ID", "Show Metrics", *settings, *metrics}
        assert float(row["lr"]) == 0.002
        for tag in (*metrics, *(key for key in settings if "/" in key)):
            split, _, metric = tag.partition("/")
            value = runs.result(name)[split].get(metric)
            if value is None:
                assert row[tag] == "", (name, tag)
            else:
                assert float(row[tag]) == pytest.approx(value, rel=5e-5), (name, tag)
    assert {name for name, row in rows.items() if row["test/nll"] == ""} == set(runs.names) - set(runs.probabilistic)


def test_pictures_are_shown_as_they_are(page: Chrome, address: str, runs: Runs) -> None:
    visit(page, address, "images")
    type_filter(page, TAG)
    shows(page, f"{PICTURES}/{TAG}", *runs.names)

    def seen() -> bool:
        sources = {image.get_attribute("src") for image in page.execute_script(ELEMENTS, PICTURE)}
        drawn = [picture_at(source) for source in sources if source]
        return all(any(np.array_equal(picture, other) for other in drawn) for picture in runs.pictures.values())

    until(page, seen)
    until(page, lambda: page.execute_script(SIZES, page.execute_script(ELEMENTS, PICTURE)).count([60, 40]) >= 5)


def picture_at(source: str) -> np.ndarray:
    with urllib.request.urlopen(source) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())))
