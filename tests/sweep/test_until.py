"""until=verdict with real runs: killed twice or not, its decisions are the same, and its runs are those of a sweep."""

import signal
from pathlib import Path

import pytest
import yaml

from src.config.errors import UserError
from src.config.until import Until, until_of
from src.sweep.ablation import first_seeds
from tests.commands import process
from tests.processes import wait_for
from tests.runs.test_exactness import assert_same_run

WORDS = (
    *("ablation=mnist_losses", "logger=csv", "figures=false", "trainer=cpu", "model.widths=[16]"),
    *("trainer.max_epochs=1", "hydra.launcher.jobs=2"),
)
UNTIL = ("until=verdict", "metric=nll", "max_seeds=5")


def test_words() -> None:
    assert until_of(["ablation=a", "loss=ce"]) is None
    assert until_of(["ablation=a", "until=verdict", "metric=nll"]) == Until("nll", 20)
    assert until_of(["ablation=a", *UNTIL]) == Until("nll", 5)
    with pytest.raises(UserError, match="from 3 to 100, got '٣'"):
        until_of(["ablation=a", "until=verdict", "metric=nll", "max_seeds=٣"])


def test_seeds_are_the_ablations_own_and_then_the_next() -> None:
    assert first_seeds([0, 1], None) == [0, 1]
    assert first_seeds([0, 1, 2, 3, 4], 3) == [0, 1, 2]
    assert first_seeds([7, 1, 0], 6) == [7, 1, 0, 2, 3, 4]


def left(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.glob("*/seed*/result.json"))


@pytest.mark.slow
def test_killed_twice_it_decides_the_same(tmp_path: Path) -> None:
    """Also: its runs are those of the plain ablation, bit for bit; another plan in its folder is refused."""
    words = (*WORDS, *UNTIL, f"runs={tmp_path / 'two'}")
    killed = process(*words)
    wait_for(lambda: len(list(tmp_path.glob("two/*/*/seed*/result.json"))) > 3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    stopped = process(*words)
    wait_for(lambda: len(list(tmp_path.glob("two/*/*/seed3/config.yaml"))) > 0)
    stopped.send_signal(signal.SIGTERM)
    output, errors = stopped.communicate()
    assert stopped.returncode == 143 and "the same command resumes it" in output, output + errors
    for runs in ("two", "one"):
        whole = process(*WORDS, *UNTIL, f"runs={tmp_path / runs}")
        output, errors = whole.communicate()
        assert whole.returncode == 0, output + errors
    (home,) = (tmp_path / "one").iterdir()
    other = tmp_path / "two" / home.name
    assert left(other) == left(home)
    told = yaml.safe_load((home / "sequential.yaml").read_text())
    assert yaml.safe_load((other / "sequential.yaml").read_text()) == told
    assert [look["seeds"] for look in told["looks"]] == [3, 5][: len(told["looks"])]
    decided = {label: verdict for look in told["looks"] for label, verdict in look["losses"].items()}
    assert decided["bce"]["word"] == "worse" and set(decided) == {"smoothed_ce", "brier", "focal", "bce"}
    for label in decided:
        stop = max(look["seeds"] for look in told["looks"] if label in look["losses"])
        assert len(list(home.glob(f"{label}-*/seed*"))) == stop
    jobs = yaml.safe_load((home / "sweep.yaml").read_text())["jobs"]
    assert len(jobs) == len(left(home)) and all(job["folder"] for job in jobs)

    before = {path: path.stat().st_mtime_ns for path in other.glob("**/result.json")}
    status = process(*WORDS, "until=verdict", "metric=nll", "max_seeds=6", f"runs={tmp_path / 'two'}")
    output, errors = status.communicate()
    assert status.returncode == 2 and "was begun with other max_seeds (5, now 6)" in output + errors
    assert {path: path.stat().st_mtime_ns for path in other.glob("**/result.json")} == before

    plain = process(*WORDS, "seed=1", f"runs={tmp_path / 'plain'}")
    output, errors = plain.communicate()
    assert plain.returncode == 0, output + errors
    for run in (tmp_path / "plain").glob("*/*/seed1"):
        (same,) = home.glob(f"*{run.parent.name[-8:]}/seed1")
        assert_same_run(run, same)
    assert not list((tmp_path / "plain").glob("**/sequential.yaml"))
