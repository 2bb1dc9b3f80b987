"""Processes are timed from outside; bench.py writes what it measured."""

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench, cases
from benchmarks.measure import Finished, sweep, weights
from tests.commands import composed
from tests.conftest import ROOT


def test_a_process_and_its_peak_memory() -> None:
    """In a small process: a peak is at least that of whoever started it."""
    work = "x = bytearray(400 * 2**20); import time; time.sleep(0.2); print('first'); print('last 1')"
    code = f"""
from benchmarks.measure import Finished
done = Finished(["-c", {work!r}])
print(done.line("last"), done.seconds, done.peak_bytes)
"""
    outer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    last, one, seconds, peak = outer.stdout.split()
    assert (last, one) == ("last", "1")
    assert float(seconds) >= 0.2
    assert 400 * 2**20 < int(peak) < 500 * 2**20


def test_a_process_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="status 3\nwhy"):
        Finished(["-c", "print('why'); raise SystemExit(3)"])


def test_runs_are_compared_by_identity_and_seed(tmp_path: Path) -> None:
    for name, content in (("one/ce-0a", b"1"), ("other/loss_ce-0a", b"1"), ("odd/ce-0a", b"2")):
        folder = tmp_path / Path(name).parts[0] / "family" / Path(name).parts[1] / "seed0"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "metrics.csv").write_bytes(b"step")
    one, other, odd = (weights(str(tmp_path / name)) for name in ("one", "other", "odd"))
    assert one == other == {("0a", "seed0"): b"1step"}
    assert one != odd


@pytest.mark.parametrize("name", cases.CASES)
def test_words_of_a_gpu_win(name: str) -> None:
    given = argparse.Namespace(device="cuda", data=Path("DATA"))
    words = bench.train_words(cases.CASES[name], given)
    keys = [word.partition("=")[0] for word in words]
    assert len(keys) == len(set(keys))
    assert {"trainer=gpu", "trainer.precision=bf16-mixed", "compile=reduce-overhead"} < set(words)
    composed("trainer.max_steps=1", *words)


@pytest.mark.slow
def test_a_sweep_and_a_loop_give_the_same() -> None:
    fixed = ["trainer=smoke", "trainer.max_steps=2", "figures=false"]
    jobs = [[f"loss={loss}", *fixed, "trainer.threads=1"] for loss in ("ce", "brier")]
    found = sweep(["-m", "loss=ce,brier", *fixed], jobs)
    assert (found["runs"], found["equal"]) == (2, True)
    assert found["together"] > 0 < found["apart"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist_mlp", "shakespeare_gpt"])
def test_bench_measures_a_case_and_writes_its_page(
    name: str, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    case = cases.CASES[name]
    words = tuple(word for word in case.words if word != "compile=true")
    words += ("trainer.threads=1", *(["optimizer=adamw_gpt", "scheduler.warmup_steps=2"] if "gpt" in name else []))
    short = dataclasses.replace(
        case, steps=4, measured_from=2, log_every=2, words=words, bare=(), workers=case.workers[:1], val_batches=1
    )
    monkeypatch.setitem(cases.CASES, name, short)
    bench.main(["--data", str(real_data), "--rounds", "2", "--parts", name, "--into", str(tmp_path)])
    stored = json.loads((tmp_path / "benchmarks.json").read_text())["cpu"]
    rounds = stored[name]["figures"]["rounds"]
    assert len(rounds) == 2
    for each in rounds:
        assert {side: figures["steps"] for side, figures in each.items()} == {"bare": 2, "usual": 2, "xent": 2}
        assert all(0 < figures["seconds"] < figures["whole"] for figures in each.values())
        nlls = [figures["val_nll"] for figures in each.values()]
        assert max(nlls) - min(nlls) < 0.5
    text = (tmp_path / "benchmarks.md").read_text()
    assert case.title in text
    assert str(real_data) not in text + json.dumps(stored)


@pytest.mark.slow
def test_start_and_imports_are_timed(tmp_path: Path) -> None:
    bench.main(["--rounds", "1", "--parts", "start", "--into", str(tmp_path)])
    (each,) = json.loads((tmp_path / "benchmarks.json").read_text())["cpu"]["start"]["figures"]["rounds"]
    assert each["imports"] > 0 < each["first_step"]
