"""The link that opens TensorBoard. That a browser opens it on the pinned curves: tests/test_tensorboard.py."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from src.folder.links import how_to_look, tensorboard_link


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


@pytest.mark.parametrize(("kind", "second"), [("image", "val/accuracy"), ("text", "val/bits_per_char")])
def test_the_scores_of_the_kind_of_data_are_pinned(kind: str, second: str, tmp_path: Path) -> None:
    run = tmp_path / "family/ce-4df5977d/seed0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(f"choices: {{}}\nfacts:\n  kind: {kind}\n")
    pins = json.loads(query(tmp_path)["pinnedCards"])
    assert [pin["tag"] for pin in pins][:2] == ["val/nll", second]
    assert {pin["plugin"] for pin in pins} == {"scalars"}


def test_how_to_look_can_be_pasted(tmp_path: Path) -> None:
    """A damaged folder must not keep a run from telling its end."""
    (tmp_path / "my runs" / "config.yaml").mkdir(parents=True)
    start, link = how_to_look(tmp_path / "my runs", 6007).splitlines()
    assert start.endswith(f"tensorboard --logdir '{tmp_path}/my runs' --port 6007")
    assert re.fullmatch(r"then open: +http://localhost:6007/[\w?=%&.+*#-]+#timeseries", link)
