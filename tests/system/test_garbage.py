"""Imports without the collector, and the collector afterwards."""

import gc
import weakref

import pytest

from src.system.garbage import uncollected


class Ring:
    """Refers to itself, so that only the collector can end it."""

    def __init__(self) -> None:
        self.own = self


def test_what_came_inside_is_kept_and_what_comes_later_is_collected() -> None:
    before = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
            inside = weakref.ref(Ring())
        after = weakref.ref(Ring())
        assert gc.isenabled() and gc.get_freeze_count() > before
        gc.collect()
        assert inside() is not None and after() is None
    finally:
        gc.unfreeze()


def test_a_failed_import_leaves_the_collector_on() -> None:
    try:
        with pytest.raises(ModuleNotFoundError), uncollected():
            import no_such_module  # noqa: F401
        assert gc.isenabled()
    finally:
        gc.unfreeze()
