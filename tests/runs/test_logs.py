"""The lines of a run: on the screen as long as they can be shown there, in train.log whatever happens to it."""

import logging
import sys
from pathlib import Path

import pytest

from src.runs.logs import logging_to


def test_a_full_disk_below_stdout_is_told_once_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python train.py > /full/disk/output``"""
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        with logging_to(tmp_path / "train.log"):
            for number in range(3):
                logging.getLogger("xent").info("line %d", number)
        print("what is printed later fails no more", file=full)
    assert capsys.readouterr().err == (
        "xent: nothing more can be shown (No space left on device); the run goes on, and train.log has its lines\n"
    )
    assert [line[-6:] for line in (tmp_path / "train.log").read_text().splitlines()] == ["line 0", "line 1", "line 2"]
