"""report.py --list: what ran, in lines that fit."""

import os
import sys
import time
from pathlib import Path

import pytest

from src.commands import report
from src.config.errors import UserError
from src.report.listing import age, cut, listing
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, Kind, ended, finished, started
from tests.report.test_damage import EVIL
from tests.report.test_read import sweep


def touch(run: Path, seconds_ago: float) -> Path:
    for path in run.iterdir():
        os.utime(path, (time.time() - seconds_ago,) * 2)
    return run


def test_newest_first_with_status_values_and_reason(tmp_path: Path) -> None:
    touch(finished(tmp_path, CE, 0), 7200)
    touch(finished(tmp_path, HINGE, 1), 60)
    touch(ended(tmp_path, FOCAL, 0, "failed", error="the loss is not finite"), 86400 * 3)
    damaged = touch(started(tmp_path, BRIER, 0), 300)
    (damaged / "config.yaml").write_text("[")
    sweep(tmp_path, [("poly1", 4, None)], "ce")
    header, *lines = listing([tmp_path], None)
    assert header.split() == ["age", "status", "metric", "val", "test", "what", "folder"]
    assert len(lines) == 5 + 3, "three of the five runs have a reason"
    text = "\n".join(lines)
    order = [text.index(word) for word in ("hinge seed 1", "ce seed 0", "focal seed 0", "poly1 seed 4")]
    assert order == sorted(order)
    (ce,) = [line for line in lines if "ce seed 0" in line]
    assert ce.split()[:4] == ["2", "h", "finished", "nll"] and all(len(v) == 6 for v in ce.split()[4:6])
    assert ce.endswith(str(next(tmp_path.glob("ce-*/seed0"))))
    (hinge,) = [line for line in lines if "hinge seed 1" in line]
    assert hinge.split()[:4] == ["1", "min", "finished", "accuracy"], "it gives no probabilities"
    assert (
        lines[next(i for i, line in enumerate(lines) if "focal seed 0" in line) + 1].strip() == "the loss is not finite"
    )
    assert "config.yaml: " in text and "missing" in text


def test_it_fits_a_narrow_terminal(tmp_path: Path) -> None:
    finished(tmp_path / ("deep" * 20), Kind("a_loss_with_a_very_long_name_indeed"), 0)
    ended(tmp_path, FOCAL, 0, "failed", error=EVIL * 9)
    lines = list(listing([tmp_path], 80))
    assert len(lines) == 4 and all(len(line) <= 80 and line.isprintable() for line in lines)
    assert any("seed0" in line for line in lines), "the end of a long folder stays"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "runs", CE, 0)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["report.py", "--list", str(tmp_path)])
    assert report.main() == 0
    assert "finished" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"
    for words, message in (
        (["--list"], "which runs?"),
        (["--list", str(tmp_path), "baseline=ce"], "--list compares nothing: leave out baseline="),
        (["--lits", str(tmp_path)], "unknown key '--lits'"),
    ):
        monkeypatch.setattr(sys, "argv", ["report.py", *words])
        with pytest.raises(UserError, match=message):
            report.main()


def test_short_texts_stay() -> None:
    assert [age(s) for s in (0, 59, 60, 3599, 3600, 86399, 86400, 1e9 + 1)] == [
        *("now", "now", "1 min", "59 min", "1 h", "23 h", "1 d", "—"),
    ]
    assert (cut("abcdef", 6), cut("abcdefg", 6), cut("abcdefg", 6, middle=False)) == ("abcdef", "abc…fg", "abcde…")
