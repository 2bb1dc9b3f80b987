"""The link that opens TensorBoard. That a browser opens it on the pinned curves: tests/test_tensorboard.py."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from src.folder.folder import RunFolder
from src.folder.links import how_to_look, tensorboard_link
from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION, LANGUAGE


def query(folder: Path) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(tensorboard_link(folder)).query))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("mnist_losses/ce-4df5977d/seed0", "ce"),
        ("ce-4df5977d/seed12", "ce"),
        ("focal-gamma1-0123abcd/seed0", "focal-gamma1"),
        ("a/b/focal-gamma3-lr1e-3-0123abcd/seed0", "focal-gamma3-lr1e-3"),
        ("lr_study-deadbeef/ce-4df5977d/seed0", "ce"),
        ("a/focal-etc-0123abcd/seed0", "focal-etc-0123abcd"),
        ("seed3", None),
        (".", None),
    ],
)
def test_runs_of_one_loss_have_one_colour(name: str, loss: str | None, tmp_path: Path) -> None:
    asked = query(tmp_path)
    assert re.search(asked["runFilter"], name, re.IGNORECASE)
    found = re.search(asked["runColorGroup"].removeprefix("regex:"), name)
    assert found and found[1] == loss


@pytest.mark.parametrize("name", ["ce-4df5977d/seed0/figures", "debug/x/ce-4df5977d/seed0", "report/tensorboard/ce"])
def test_only_results_are_shown(name: str, tmp_path: Path) -> None:
    assert not re.search(query(tmp_path)["runFilter"], name, re.IGNORECASE)


OWN = Family("own", (Column("crps"), Column("rmse")), ("crps",), "crps", shown=("crps",), charts=("rmse", "crps"))


def pinned(folder: Path) -> list[str]:
    pins = json.loads(query(folder)["pinnedCards"])
    assert {pin["plugin"] for pin in pins} == {"scalars"}
    return [pin["tag"] for pin in pins]


@pytest.mark.parametrize("family", [CLASSIFICATION, LANGUAGE, OWN], ids=lambda family: family.name)
def test_the_charts_of_what_the_runs_measure_are_pinned(family: Family, tmp_path: Path) -> None:
    """Also while the first of them still trains."""
    run = tmp_path / "some/ce-4df5977d/seed0"
    run.mkdir(parents=True)
    RunFolder(run).write_result({"status": "running", "family": family.plain()})
    assert pinned(tmp_path) == [f"val/{name}" for name in family.charts]


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"family": {"name": "x"}}', '{"family": 3}'])
def test_what_says_nothing_is_passed_over(content: str, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"a{i}").mkdir()
        (tmp_path / f"a{i}/result.json").write_text(content)
    assert pinned(tmp_path) == ["val/nll", "val/accuracy", "val/ece", "val/brier"]
    (tmp_path / "b").mkdir()
    RunFolder(tmp_path / "b").write_result({"status": "running", "family": OWN.plain()})
    assert pinned(tmp_path) == ["val/rmse", "val/crps"]


def test_how_to_look_can_be_pasted(tmp_path: Path) -> None:
    """A damaged folder must not keep a run from telling its end."""
    (tmp_path / "my runs" / "result.json").mkdir(parents=True)
    start, link = how_to_look(tmp_path / "my runs", 6007).splitlines()
    assert start.endswith(f"tensorboard --logdir '{tmp_path}/my runs' --port 6007")
    assert re.fullmatch(r"then open: +http://localhost:6007/[\w?=%&.+*#-]+#timeseries", link)
