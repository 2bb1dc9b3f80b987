"""The page about TensorBoard and its pictures."""

import re

from docs.screenshots import PICTURES
from src.runs.events import CHARTS, PAGE


def test_page_shows_every_picture_and_each_is_small() -> None:
    page = PICTURES.with_suffix(".md").read_text()
    sizes = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert set(re.findall(r"\(tensorboard/([\w.-]+)\)", page)) == sizes.keys()
    assert len(sizes) == 4
    assert max(sizes.values()) < 300_000
    assert f"`{PAGE}`: {', '.join(CHARTS[:-1])} and {CHARTS[-1]}" in page.replace("\n", " ")
