"""evaluate.py on images made worse."""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from src.data.shift import AMOUNTS
from src.folder.folder import RunFolder
from src.runs import build
from src.runs.rebuild import rebuild
from tests.data.settings import examples
from tests.evaluate.runs import loaded


def test_shift(finished: Callable[[str], Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """Rows against the network on NumPy's contrast; the clean row is the run's own; the damage grows."""
    run = finished("images")
    result = loaded(run / "result.json")["metrics"]["test"]
    assert command(run, "shift=[contrast,rotate]") == 0
    said = capfd.readouterr().out
    report = loaded(run / "evaluations/shift_contrast_rotate.json")
    clean, *rows = report["shift"]
    assert clean == {"shift": "clean", "severity": 0} | {key: result[key] for key in list(clean)[2:]}
    made = rebuild(run)
    data: Any = build.build_data(RunFolder(run).read_config() | {"data": loaded_data(run)})
    data.load()
    x, y = examples(data, "test")
    pixels = x.double().numpy() / 255
    for row in rows[:5]:
        share = AMOUNTS["contrast"][row["severity"] - 1]
        means = pixels.mean((2, 3), keepdims=True)
        inputs = ((pixels - means) * share + means - made.spec.mean[0]) / made.spec.std[0]
        log_p = made.model(torch.tensor(inputs).float()).log_softmax(-1).double()
        assert row["nll"] == pytest.approx(torch.nn.functional.nll_loss(log_p, y).item(), rel=1e-4)
        assert row["accuracy"] == pytest.approx((log_p.argmax(1) == y).double().mean().item(), abs=2e-3)
    turned = [row["accuracy"] for row in (clean, *rows[5:])]
    assert all(a > b for a, b in itertools.pairwise(turned)) and turned[0] - turned[-1] > 0.3
    with (run / "evaluations/shift_contrast_rotate.csv").open() as file:
        table = [{k: v if k == "shift" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert table == report["shift"]
    assert Image.open(run / "evaluations/shift_contrast_rotate.png").size[0] > 400
    assert f"{rows[-1]['nll']:.4f}" in said and "shift_contrast_rotate.csv" in said


def loaded_data(run: Path) -> Any:
    return loaded(run / "evaluations/shift_contrast_rotate.json")["data"]


def test_shift_is_the_same_again_and_where_it_stands_in_a_list(
    finished: Callable[[str], Path], command: Callable[..., int]
) -> None:
    run = finished("images")
    rows = []
    for word, name in (("noise", "noise"), ("[blur,noise]", "blur_noise"), ("noise", "noise")):
        assert command(run, f"shift={word}", "severity=5") == 0
        rows.append(loaded(run / f"evaluations/shift_{name}-severity5.json")["shift"][-1])
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["severity"] == 5


def test_shift_of_other_data_and_without_probabilities(
    finished: Callable[[str], Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    run = finished("hinge")
    assert command(run, "data=mnist_5k", "shift=all", "severity=3") == 0
    report = loaded(run / "evaluations/mnist_5k-shift_all-severity3.json")
    assert [row["shift"] for row in report["shift"]] == ["clean", *AMOUNTS]
    assert all(row["nll"] is None for row in report["shift"])
    assert report["shift"][0]["accuracy"] == loaded(run / "result.json")["metrics"]["test"]["accuracy"]
    assert len({row["accuracy"] for row in report["shift"]}) > 2
    assert "—" in capfd.readouterr().out
