"""The vision transformer: shapes, what it sees of places, and that it learns."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.transformer import Block
from src.models.vit import ViT, patches

SMALL = {"input_shape": (3, 8, 12), "outputs": 5, "patch": 4, "width": 16, "layers": 2, "heads": 2, "dropout": 0.0}


def small(**changes: Any) -> ViT:
    torch.manual_seed(0)
    return ViT(**{**SMALL, **changes})


def images(n: int = 8) -> Tensor:
    return torch.randn(n, 3, 8, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("outputs", [1, 5])
def test_shape_and_gradients(outputs: int) -> None:
    model = small(outputs=outputs)
    logits = model(images())
    assert logits.shape == (8, outputs)
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        gradient = parameter.grad.chunk(3) if name.endswith("qkv.bias") else (parameter.grad,)
        # A key's bias adds the same to all scores of a query, which softmax does not see.
        assert all(part.abs().max() > 1e-9 for i, part in enumerate(gradient) if len(gradient) == 1 or i != 1), name


def test_block_is_torchs_encoder_layer() -> None:
    block = Block(16, 2, 0.0, bias=True, causal=False)
    other = nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    names = {"norm1": "norm1", "norm2": "norm2", "out": "self_attn.out_proj", "up": "linear1", "down": "linear2"}
    state = {"self_attn.in_proj_weight": block.attention.qkv.weight, "self_attn.in_proj_bias": block.attention.qkv.bias}
    for name, value in block.state_dict().items():
        module, _, kind = name.removeprefix("attention.").rpartition(".")
        if module != "qkv":
            state[f"{names[module]}.{kind}"] = value
    other.load_state_dict(state)
    x = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), other(x))


def test_overfits_eight_examples() -> None:
    model, x, y = small(), images(), torch.arange(8) % 5
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert F.cross_entropy(model(x), y) < 0.05


def test_patches_are_squares_row_by_row() -> None:
    x = images(2)
    cut = patches(x, 4)
    assert cut.shape == (2, 6, 48)
    for row in range(2):
        for column in range(3):
            square = x[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(cut[:, 3 * row + column], square.flatten(1))


def test_patches_moved_with_their_places_are_the_same_image() -> None:
    model, x = small().double().eval(), images().double()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    squares = patches(x, 4)[:, order].view(8, 2, 3, 3, 4, 4)  # (B, rows, columns, C, p, p)
    moved = squares.permute(0, 3, 1, 4, 2, 5).reshape(8, 3, 8, 12)
    expected = model(x)
    assert (model(moved) - expected).abs().max() > 1e-4  # places matter
    model.places.data = model.places.data[order]
    torch.testing.assert_close(model(moved), expected)


def test_dropout_is_off_in_evaluation() -> None:
    model = small(dropout=0.5)
    assert not torch.equal(model(images()), model(images()))
    model.eval()
    assert torch.equal(model(images()), model(images()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 3}, "patch must divide the images' height and width, 8 x 12, got 3"),
        ({"patch": 8}, "patch must divide .* got 8"),
        ({"patch": 0}, "patch must be an integer >= 1, got 0"),
        ({"heads": 3}, "width must be a multiple of heads=3, got 16"),
        ({"heads": 0}, "heads must be an integer >= 1, got 0"),
        ({"width": 0}, "width must be an integer >= 1, got 0"),
        ({"layers": 0}, "layers must be an integer >= 1 and <= 10000, got 0"),
        ({"dropout": 1.0}, "dropout must be a number >= 0 and <= 0.99, got 1.0"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)
