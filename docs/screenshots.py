"""Takes the pictures of tensorboard.md: a real TensorBoard on real runs, in a headless Chromium.

python docs/screenshots.py runs/mnist_5k-mlp    # a folder of finished runs; needs chromium and chromedriver
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.folder.links import tensorboard_link

PICTURES = Path(__file__).with_name("tensorboard")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SVG = {"forceSVG": "true"}  # as query: lines as SVG, so that a test can count them
PICTURE = "#main-image-container img"
# All text that a page shows, through the shadow roots of its elements.
WORDS = """
const words = [];
const visit = (node) => {
    if (node.nodeType === Node.TEXT_NODE && node.textContent.trim()) words.push(node.textContent.trim());
    if (node.shadowRoot) visit(node.shadowRoot);
    for (const child of node.childNodes) if (!["STYLE", "SCRIPT", "NOSCRIPT"].includes(child.nodeName)) visit(child);
};
visit(document.body);
return words;
"""
# All elements that match a selector, also inside shadow roots.
ELEMENTS = """
const found = [];
const visit = (root) => {
    found.push(...root.querySelectorAll(arguments[0]));
    for (const element of root.querySelectorAll("*")) if (element.shadowRoot) visit(element.shadowRoot);
};
visit(document);
return found;
"""
# The texts of a table's row: its cells are slots that hold them.
CELLS = """
const slots = arguments[0].querySelectorAll("th slot, td:not([part~=details-cell]) slot");
const cells = [...slots].flatMap((slot) => slot.assignedElements());
return cells.map((cell) => cell.innerText.trim());
"""


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """A TensorBoard that has read the runs below ``logdir``; its address."""
    viewer = [sys.executable, "-P", "-m", "tensorboard.main"]  # -P: this file is no package of that name
    command = [*viewer, "--logdir", str(logdir), "--port", "0", "--load_fast=false"]
    once = ["--reload_interval", "0", "--reload_task", "blocking"]
    server = subprocess.Popen([*command, *once], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    try:
        lines = []
        for line in server.stderr:
            lines.append(line)
            if address := re.search(r"http://\S+/", line):
                break
        else:
            raise RuntimeError("".join(lines))
        yield address[0]
    finally:
        server.terminate()
        server.communicate()


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A headless browser with a profile of its own."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def visit(driver: Chrome, address: str, tab: str, size: tuple[int, int] = (1400, 1000), **query: str) -> None:
    """Open a tab of TensorBoard afresh."""
    driver.set_window_size(*size)
    driver.get("about:blank")
    driver.get(f"{address}?{urlencode(query)}#{tab}")


def follow(driver: Chrome, address: str, runs: Path, size: tuple[int, int] = (1400, 1000), **query: str) -> None:
    """Open the link that the project prints for a folder of runs, at this TensorBoard."""
    link = urlsplit(tensorboard_link(runs))
    visit(driver, address, link.fragment, size, **dict(parse_qsl(link.query)), **query)


def words(driver: Chrome) -> list[str]:
    return driver.execute_script(WORDS)


def until(driver: Chrome, condition: Callable[[], object]) -> None:
    WebDriverWait(driver, 300, 0.2).until(lambda _: condition())


def type_filter(driver: Chrome, pattern: str) -> None:
    """Type into the tag filter of the images' page, once it is there; the other field, of runs, is narrow."""

    def fields() -> list[WebElement]:
        every: list[WebElement] = driver.execute_script(ELEMENTS, "input")
        return [field for field in every if field.is_displayed() and field.rect["width"] > 500]

    until(driver, fields)
    fields()[0].send_keys(pattern)


def shows(driver: Chrome, *texts: str) -> None:
    """Wait until each text is on the page."""
    until(driver, lambda: set(texts) <= set(words(driver)))


def table(driver: Chrome) -> list[dict[str, str]]:
    """The rows of the HParams table by column title; none until it is there."""
    rows = [driver.execute_script(CELLS, row) for row in driver.execute_script(ELEMENTS, "tr:not([hidden])")]
    titles, *body = [row for row in rows if row] or [[]]
    return [dict(zip(titles, row, strict=True)) for row in body]


def main(runs: Path) -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tensorboard(runs) as address, chromium() as driver:
        follow(driver, address, runs, (1280, 900))
        shows(driver, "Pinned", "/brier")
        shoot(driver, "scalars")
        visit(driver, address, "hparams", (2340, 500))
        until(driver, lambda: table(driver))
        shoot(driver, "hparams", element="vaadin-grid")
        visit(driver, address, "images", (1900, 1110))
        type_filter(driver, "reliability")
        until(driver, lambda: driver.execute_script(ELEMENTS, PICTURE))
        shoot(driver, "images")


def shoot(driver: Chrome, name: str, folder: Path = PICTURES, element: str = "body") -> None:
    """Save a picture of the page, or of an element, a moment later, when lines are drawn to their ends."""
    driver.execute_async_script("setTimeout(arguments[0], 1500)")
    (seen,) = driver.execute_script(ELEMENTS, element)
    seen.screenshot(str(folder / f"{name}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
