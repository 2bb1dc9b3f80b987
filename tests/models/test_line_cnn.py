"""The network of lines: its frames, what each of them sees, and that it learns."""

from typing import Any

import pytest
import torch
import yaml
from torch import nn

from src.losses.ctc import CTCLoss
from src.models.line_cnn import LineCNN
from tests.conftest import ROOT


def built(columns: int = 64, **changes: Any) -> LineCNN:
    options = yaml.safe_load((ROOT / "conf/model/line_cnn.yaml").read_text())
    assert options.pop("_target_") == "src.models.line_cnn.LineCNN" and options.keys() >= changes.keys()
    torch.manual_seed(0)
    return LineCNN(input_shape=(1, 28, columns), outputs=11, **{**options, "widths": [4, 6, 8, 10], **changes})


@pytest.mark.parametrize("columns", [4, 63, 64, 192])
@pytest.mark.parametrize("gru", [0, 5])
def test_frames(columns: int, gru: int) -> None:
    model = built(columns, gru=gru)
    out = model(torch.randn(2, 1, 28, columns))
    assert out.shape == (2, model.frames, 11) and model.frames == columns // 4
    out.square().sum().backward()
    if columns > 4:  # of one frame a recurrent layer learns nothing
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("gru", [0, 5])
def test_weights_that_do_not_learn_give_the_same_bits(gru: int) -> None:
    """As those that are read from a run's folder, so that its test can be repeated."""
    options = {"widths": [16, 32, 64, 128]}
    model, x = built(192, gru=gru, **options), torch.randn(250, 1, 28, 192)
    with torch.no_grad():
        before = model(x)
        assert torch.equal(model.requires_grad_(False)(x), before)


def test_number_of_weights() -> None:
    """Nine taps a channel pair, seven of the column, five of the frames, and a bias each."""
    expected = 4 * 10 + 6 * (4 * 9 + 1) + 8 * (6 * 9 + 1) + 10 * (8 * 7 + 1) + 10 * (10 * 5 + 1) + 11 * 11
    assert sum(p.numel() for p in built().parameters()) == expected
    recurrent = sum(p.numel() for p in nn.GRU(10, 5, bidirectional=True).parameters())
    assert sum(p.numel() for p in built(gru=5).parameters()) == expected + recurrent


def test_a_frame_sees_34_columns_and_with_a_gru_the_whole_line() -> None:
    for gru in (0, 5):
        x = torch.randn(1, 1, 28, 160, requires_grad=True)
        built(160, gru=gru).eval()(x)[0, 20].square().sum().backward()
        assert x.grad is not None
        seen = x.grad[0, 0].abs().sum(0).nonzero().flatten()
        if gru:
            assert (seen[0], seen[-1]) == (0, 159)
        else:  # frame 20 is that of columns 80 to 83
            assert seen[0] >= 65 and seen[-1] <= 98 and len(seen) > 20


def test_all_frames_start_near_uniform() -> None:
    """Else the loss of a start would be far from its value at uniform frames."""
    log_p = built(192)(torch.randn(4, 1, 28, 192)).log_softmax(-1)
    assert (log_p.exp() - 1 / 11).abs().max() < 0.03


@pytest.mark.parametrize(("gru", "steps"), [(0, 150), pytest.param(16, 600, marks=pytest.mark.slow)])
def test_learns_eight_lines_by_heart(gru: int, steps: int) -> None:
    model, loss = built(gru=gru), CTCLoss(reduction="line")
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 1, 28, 64, generator=g), torch.randint(10, (8, 3), generator=g)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(x), y).mean()
        value.backward()
        optimizer.step()
    assert value.item() < 0.5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("widths", [1, 2, 3], "a list of 4 integers >= 1"),
        ("widths", "1234", "a list of integers >= 1"),
        ("widths", [1, 2, 3, 0], "an integer >= 1"),
        ("gru", -1, "an integer >= 0"),
        ("gru", 1.5, "an integer >= 0"),
        ("dropout", 1.0, "<= 0.99"),
    ],
)
def test_bad_options_are_refused_by_name(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be .*{message}"):
        built(**{key: value})


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="widths need images of 4 x 4 pixels or more, got 28 x 3"):
        built(3)
