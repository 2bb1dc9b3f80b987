"""What a sweep shows."""

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION
from src.sweep.jobs import Job
from src.sweep.outcome import Outcome
from src.sweep.screen import duration, means_table, values_line
from tests.conftest import ROOT
from tests.sweep.test_launch import LAUNCHED


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 m 00 s"), (205, "3 m 25 s"), (7500, "2 h 05 m")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def job(row: str) -> Job:
    made = Job([])
    made.row = row
    return made


def finished(accuracy: float, nll: float | None) -> Outcome:
    return Outcome("finished", result={"metrics": {"test": {"accuracy": accuracy, "nll": nll}}}, family=CLASSIFICATION)


def test_table_has_means_over_what_is_finished() -> None:
    jobs = [job("ce"), job("hinge"), job("ce"), job("brier")]
    outcomes = [finished(0.5, 1.0), finished(0.25, None), finished(1.0, 4.0), Outcome("failed", "why")]
    head, *rows = (line.split() for line in means_table(jobs, outcomes).splitlines())
    assert head == ["runs", "accuracy", "nll", "(test,", "means", "over", "seeds)"]
    assert rows == [["ce", "2/2", "0.7500", "2.5000"], ["hinge", "1/1", "0.2500", "—"], ["brier", "0/1", "—", "—"]]


def test_table_of_another_family_has_its_metrics() -> None:
    columns = (Column("rmse", -1), Column("share_within_ten_degrees", 1), Column("crps", -1))
    few = ("crps", "share_within_ten_degrees")
    family = Family("angles", columns, chooses=("crps",), keeps="crps", shown=few, charts=few)
    test = {"rmse": 1.5, "share_within_ten_degrees": 0.25, "crps": 0.75}
    one = Outcome("finished", result={"metrics": {"test": test}}, family=family)
    assert values_line(one) == "crps 0.7500  share_within_ten_degrees 0.2500"
    lines = means_table([job("mse"), job("mae")], [one, Outcome("failed", "why")]).splitlines()
    assert lines == [
        "        runs      crps   share_within_ten_degrees   (test, means over seeds)",
        "mse      1/1    0.7500                     0.2500",
        "mae      0/1         —                          —",
    ]


def test_where_none_is_finished_there_is_nothing_to_average() -> None:
    assert means_table([job("ce")], [Outcome("failed", "why")]).splitlines() == ["       runs", "ce      0/1"]


def test_a_terminal_shows_the_running_jobs_below_the_lines_that_stay(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    words = ("-m", "seed=0,1", "trainer.max_steps=1", f"runs={tmp_path}", "hydra.launcher.jobs=1")
    gate = tmp_path / "gate"
    environment = {**os.environ, "GATE": str(gate)}
    command = [sys.executable, "-c", LAUNCHED, *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    seen = b""
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        try:
            seen += os.read(master, 10_000)
        except OSError:  # its end
            break
        if b"epoch 1" in seen:  # of the first job
            gate.touch()
    assert process.wait() == 0
    text = seen.decode().replace("\r\n", "\n")
    assert re.search(r"0 of 2 ended, 1 running\n  ce seed=0  [\d ms]+ s  epoch 1  step 0/9 ce\n\x1b\[2F\x1b\[J", text)
    left = re.sub(r"(?:[^\n]*\n){2}\x1b\[2F\x1b\[J", "", text)  # what the redrawing erases
    left = re.sub(r"(?:[^\n]*\n){1}\x1b\[1F\x1b\[J", "", left)
    assert [line[:25] for line in left.splitlines() if line.startswith("job ")] == [
        "job 1/2 started   ce seed",
        "job 1/2 finished  ce seed",
        "job 2/2 started   ce seed",
        "job 2/2 finished  ce seed",
    ]
    os.close(master)
