"""The page as a browser shows it: it fits, on a phone, a screen and on paper; it can be read; its buttons copy."""

import csv
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from docs.screenshots import chromium
from src.report.write import write_report
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, Kind, ablation_of, ended
from tests.report.test_faces import runs_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromedriver"
    ),
]
PHONE, SCREEN, PAPER = 390, 1280, 703  # pixels; A4 without its margins is 186 mm, at 96 pixels an inch
# What is too wide, what a box hides, and the smallest letters.
PROBE = """
const all = (of) => [...document.querySelectorAll(of)];
return {
  page: document.documentElement.scrollWidth,
  beyond: all("svg, img, .scroll, p, h1, h2, h3, li, button").filter(
    (e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML),
  scrolling: all(".scroll").filter((e) => e.scrollWidth > e.clientWidth + 1).length,
  smallest: Math.min(...all("p, li, th, td, span, h1, h2, h3, summary, button").map(
    (e) => parseFloat(getComputedStyle(e).fontSize))),
  fetched: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:")),
};
"""
# Every text with its colour and that of what it lies on, as [text, [r, g, b], [r, g, b]]. An SVG lies on the page.
COLOURS = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const paper = rgb(getComputedStyle(document.body).backgroundColor);
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("caption, script, defs")) continue;
  const style = getComputedStyle(e), svg = e.closest("svg");
  let under = svg ? document.body : e;
  while (under !== document.body && rgb(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  const ground = rgb(getComputedStyle(under).backgroundColor);
  found.push([walk.currentNode.textContent, rgb(svg ? style.fill : style.color).slice(0, 3), ground.slice(0, 3)]);
}
return [paper, found];
"""
# A table's cells as a reader sees them: the first line, and those below it.
CELLS = """
return [...arguments[0].rows].map((row) => [...row.cells].map((cell) =>
  [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean)));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight losses with long names, one of them without probabilities, and a run that failed."""
    runs = tmp_path_factory.mktemp("report") / "runs"
    long = [Kind(f"a_loss_with_a_rather_long_name_{k}", skill=1 + k, settings={"loss.gamma": k}) for k in range(4)]
    ablation_of(runs, [CE, FOCAL, BRIER, HINGE, *long], range(3))
    ended(runs, Kind("poly1"), 0, "failed", error="x" * 300)
    return write_report([runs], None, None).out / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as driver:
        yield driver


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "a_row"), [(SCREEN, 2), (PHONE, 2)])
def test_made_pictures_are_on_the_first_screen(
    browser: Chrome, tmp_path: Path, width: int, a_row: int, scheme: str
) -> None:
    """They are drawn, though the page forbids nearly everything, and stand side by side, also on a phone."""
    page = write_report([runs_of(tmp_path / "runs", {"mse": (1, 2), "mae": (1, 2)})], None, None).out / "report.html"
    show(browser, page, width, **{"prefers-color-scheme": scheme})
    told = "(e) => [e.naturalWidth, e.getBoundingClientRect().toJSON()]"
    found = browser.execute_script(f"return [...document.querySelectorAll('.faces img')].map({told})")
    assert [natural for natural, _ in found] == [20, 20]
    boxes = [box for _, box in found]
    assert len({box["top"] for box in boxes}) == len(boxes) / a_row
    assert all(box["left"] >= 0 and box["right"] <= width and box["bottom"] < 1000 for box in boxes)
    assert not browser.execute_script(PROBE)["beyond"]


def show(browser: Chrome, page: Path, width: int, **features: str) -> None:
    """Open the page anew, this wide, every folded part open."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"media": features.pop("media", ""), "features": [{"name": k, "value": v} for k, v in features.items()]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach((e) => { e.open = true; })")


def probe(browser: Chrome) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_script(PROBE)
    return found


@pytest.mark.parametrize(("width", "scrolls"), [(PHONE, True), (SCREEN, False)])
def test_it_fits_and_fetches_nothing(width: int, scrolls: bool, page: Path, browser: Chrome) -> None:
    """On a phone wide tables scroll in their own box; on a screen none does. A fault or a fetch would be in the log."""
    show(browser, page, width)
    found = probe(browser)
    assert found["page"] <= width
    assert found["beyond"] == found["fetched"] == []
    assert bool(found["scrolling"]) is scrolls
    assert found["smallest"] >= 12
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_no_column_is_cut_on_paper(page: Path, browser: Chrome) -> None:
    show(browser, page, PAPER, media="print")
    found = probe(browser)
    assert found["page"] <= PAPER and found["beyond"] == [] and found["scrolling"] == 0
    assert not browser.find_element(By.CSS_SELECTOR, ".copy").is_displayed()


def luminance(rgb: list[float]) -> float:
    """Relative, 0 to 1. Source: WCAG 2.1."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str, page: Path, browser: Chrome) -> None:
    """In both schemes; the words in figures, too."""
    show(browser, page, SCREEN, **{"prefers-color-scheme": scheme})
    paper, texts = browser.execute_script(COLOURS)
    assert (luminance(paper[:3]) > 0.5) is (scheme == "light")
    assert len(texts) > 300
    assert {text: round(ratio, 2) for text, ink, ground in texts if (ratio := contrast(ink, ground)) < 4.5} == {}


def test_buttons_copy_what_the_table_shows(page: Path, browser: Chrome) -> None:
    show(browser, page, SCREEN)
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
    tables = browser.find_elements(By.CSS_SELECTOR, "table")
    buttons = browser.find_elements(By.CSS_SELECTOR, ".copy button")
    assert len(buttons) == 2 * len(tables) > 10
    for i, table in enumerate(tables):
        latex, as_csv = (clicked(browser, button) for button in buttons[2 * i : 2 * i + 2])
        cells = browser.execute_script(CELLS, table)
        shown = [[f"{c[0]} ({' '.join(c[1:])})" if c[1:] else "".join(c) for c in row] for row in cells]
        assert [[cell.removeprefix("'") for cell in row] for row in csv.reader(io.StringIO(as_csv))] == shown
        lines = latex.splitlines()
        assert lines[0].startswith(r"\begin{tabular}{l") and lines[-1] == r"\end{tabular}"
        assert sum(line.endswith(r" \\") for line in lines) == len(cells) + sum(
            any(c[1:] for c in row) for row in cells
        )


def clicked(browser: Chrome, button: Any) -> str:
    """What is in the clipboard after a click."""
    button.click()
    until = time.monotonic() + 5
    while button.text != "copied" and time.monotonic() < until:
        time.sleep(0.02)
    return str(browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))


def test_tables_and_figures_have_names_for_those_who_hear_them(page: Path, browser: Chrome) -> None:
    show(browser, page, SCREEN)
    names = browser.execute_script(
        "return [...document.querySelectorAll('svg[role=img], .scroll[role=region]')].map(e => e.ariaLabel)"
    )
    assert len(names) > 15 and all(names)
    headless = (
        "return [...document.querySelectorAll('table')].filter(t => !t.querySelector('tbody th[scope=row]')).length"
    )
    assert browser.execute_script(headless) == 0
    assert browser.execute_script("return document.documentElement.lang") == "en"


def test_these_probes_would_tell(tmp_path: Path, browser: Chrome) -> None:
    """A page that is too wide, fetches, and is hard to read."""
    bad = tmp_path / "bad.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    style = "background: #fff; color: #888; width: 2000px"
    bad.write_text(f"{policy}<body style='{style}'><p>pale<img src='https://x.invalid/y.png'>")
    show(browser, bad, SCREEN)
    found = probe(browser)
    assert found["page"] > SCREEN and found["beyond"]
    assert browser.get_log("browser") != []  # type: ignore[no-untyped-call]
    _, texts = browser.execute_script(COLOURS)
    assert contrast(*texts[0][1:]) < 4.5
