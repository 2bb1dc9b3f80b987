"""What the pages point to is there, every page is found from the README, and pictures are small."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = ROOT / "README.md"


def links(page: Path) -> list[tuple[str, str]]:
    """The file and the heading of each link of a page that leads into this tree."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text())
    return [(file, heading) for file, heading in found if "://" not in file]


def pages_from(page: Path) -> set[Path]:
    return {found for file, _ in links(page) if (found := (page.parent / file).resolve()) in PAGES}


def headings(page: Path) -> set[str]:
    """The headings of a page as its links name them: GitHub's rule, without repeated ones."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for file, heading in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {file}"
        assert not heading or heading in headings(target), f"{page.name}: {file}#{heading}"


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = pages_from(README)
    reached = {README} | first | {page for each in first for page in pages_from(each)}
    assert set(PAGES) - reached == set()


def test_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 900  # what `wc -w` counts: tables, code and links too


def test_files_of_the_source_tree_are_there() -> None:
    listing = (ROOT / "CONTRIBUTING.md").read_text().partition("## What is where")[2]
    folder, missing = ROOT, []
    for line in listing.splitlines():
        if found := re.match(r"([\w/]+/) ", line):
            folder = ROOT / found[1]
        missing += [name for name in re.findall(r"[\w/]+\.(?:py|yaml)", line) if not is_in(name, folder)]
    assert missing == []


def is_in(name: str, folder: Path) -> bool:
    return (folder / name).is_file() or (ROOT / name).is_file()


def test_pictures_are_small_and_used() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())
    }
    pictures = set((ROOT / "docs").rglob("*.png"))
    assert pictures - shown == set()
    assert {path.name: size for path in pictures if (size := path.stat().st_size) > 300_000} == {}
