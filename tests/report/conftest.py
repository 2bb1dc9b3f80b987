"""What tests of a report's words share."""

from collections.abc import Iterator
from unittest import mock

import pytest

from src.report import page


@pytest.fixture(scope="module")
def no_pictures() -> Iterator[None]:
    """They take most of a report's time and say nothing in words."""
    with mock.patch.object(page, "pictures", return_value=[]):
        yield
