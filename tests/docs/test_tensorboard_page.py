"""The page about TensorBoard and its pictures."""

import re

from docs.screenshots import PICTURES


def test_page_shows_every_picture_and_each_is_small() -> None:
    page = PICTURES.with_suffix(".md").read_text()
    sizes = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert set(re.findall(r"\(tensorboard/([\w.-]+)\)", page)) == sizes.keys()
    assert len(sizes) == 3
    assert max(sizes.values()) < 300_000
