"""Every network: one row each, and what must hold for all of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from torch import Tensor, nn
from torchvision.models import resnet18

from src.models.base import Network
from src.models.convnet import ConvNet
from src.models.gpt import GPT
from src.models.llama import Llama
from src.models.mlp import MLP
from src.models.resnet import BasicBlock, ResNet
from src.models.resnet9 import ResNet9
from src.models.transformer import Block
from src.models.vit import ViT
from src.models.zoo import TimmModel, TorchvisionModel
from src.package import CONF
from tests.conftest import ROOT
from tests.models.causal import assert_it_does_not_look_ahead

GPT_ARGS: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 16, "dropout": 0.0, "bias": True, "positions": None}

LLAMA_ARGS: dict[str, Any] = {
    **{"n_layer": 2, "n_head": 2, "n_kv_head": 1, "n_embd": 16, "dropout": 0.0, "norm": "rms", "position": "rotary"},
    **{"rotary_base": 1e4, "mlp": "swiglu", "tied": True},
}
OF_TEXT = (GPT, Llama)
IMAGES = ((1, 8, 8), (3, 8, 8))


def mlp_count(shape: tuple[int, ...], outputs: int) -> int:
    """Weights and biases of inputs -> 32 -> 16 -> outputs."""
    return (math.prod(shape) + 1) * 32 + (32 + 1) * 16 + (16 + 1) * outputs


def normed_mlp_count(shape: tuple[int, ...], outputs: int) -> int:
    """BatchNorm's scale and shift in the place of the biases of inputs -> 32 -> 16."""
    return mlp_count(shape, outputs) + 32 + 16


def cifar_resnet_count(depth: int) -> Callable[[tuple[int, ...], int], int]:
    """He et al. 2016, section 4.2: 6n + 2 layers, of 16, 32 and 64 channels, shortcuts without weights."""
    n = (depth - 2) // 6

    def count(shape: tuple[int, ...], outputs: int) -> int:
        convolutions = 9 * (shape[0] * 16 + 2 * n * 16 * 16)
        convolutions += 9 * (16 * 32 + (2 * n - 1) * 32 * 32 + 32 * 64 + (2 * n - 1) * 64 * 64)
        norms = 2 * ((2 * n + 1) * 16 + 2 * n * 32 + 2 * n * 64)
        return convolutions + norms + 65 * outputs

    return count


def resnet18_count(shape: tuple[int, ...], outputs: int) -> int:
    """torchvision's, with a 3x3 convolution in the place of its first."""
    reference = resnet18(num_classes=outputs)
    reference.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    return sum(p.numel() for p in reference.parameters())


def torchvision_count(shape: tuple[int, ...], outputs: int) -> int:
    """The library's ResNet-18 for ImageNet, 11,689,512 weights, with another head; three channels in any case."""
    return 11_689_512 - 513 * 1000 + 513 * outputs


def timm_count(shape: tuple[int, ...], outputs: int) -> int:
    """The library's own count, for ImageNet, with another first convolution (3x3, 16 wide) and another head."""
    reference = timm.create_model("mobilenetv2_035")
    return sum(p.numel() for p in reference.parameters()) - 9 * 16 * (3 - shape[0]) - 1281 * (1000 - outputs)


def convnet_count(shape: tuple[int, ...], outputs: int) -> int:
    """Convolutions without a bias and BatchNorm, inputs -> 8 -> 16, and a linear layer."""
    return 9 * (shape[0] * 8 + 8 * 16) + 2 * (8 + 16) + (16 + 1) * outputs


def resnet9_count(shape: tuple[int, ...], outputs: int) -> int:
    """Page 2018: eight 3x3 convolutions without bias, each with a norm, and a linear layer without bias."""
    sizes = [(shape[0], 64), (64, 128), *[(128, 128)] * 2, (128, 256), (256, 512), *[(512, 512)] * 2]
    return sum(9 * a * b + 2 * b for a, b in sizes) + 512 * outputs


def gpt_count(tied: bool) -> Callable[[tuple[int, ...], int], int]:
    def count(shape: tuple[int, ...], outputs: int) -> int:
        layers, d = GPT_ARGS["n_layer"], GPT_ARGS["n_embd"]
        block = (3 * d * d + 3 * d) + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
        return outputs * d * (1 if tied else 2) + shape[0] * d + layers * block + 2 * d

    return count


def vit_count(shape: tuple[int, ...], outputs: int) -> int:
    """Patches of 4x4, 16 wide, 2 layers."""
    d, tokens = 16, (shape[1] // 4) * (shape[2] // 4)
    block = (3 * d * d + 3 * d) + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
    return (shape[0] * 16 + 1) * d + tokens * d + 2 * block + 2 * d + (d + 1) * outputs


def llama_count(shape: tuple[int, ...], outputs: int) -> int:
    """Two layers, 16 wide, two heads of queries and one of keys and values, an MLP 48 wide (8/3 of 16, rounded up)."""
    return outputs * 16 + 2 * ((16 + 2 * 8) * 16 + 16 * 16 + 3 * 16 * 48 + 2 * 16) + 16


@dataclass(frozen=True)
class Row:
    cls: type[Network]
    keys: dict[str, Any]
    count: Callable[[tuple[int, ...], int], int]


ROWS = {
    "mlp": Row(MLP, {"widths": [32, 16], "batch_norm": False, "dropout": 0.0, "activation": "relu"}, mlp_count),
    "mlp-norm": Row(
        MLP, {"widths": [32, 16], "batch_norm": True, "dropout": 0.0, "activation": "relu"}, normed_mlp_count
    ),
    "mlp-gelu": Row(MLP, {"widths": [32, 16], "batch_norm": False, "dropout": 0.0, "activation": "gelu"}, mlp_count),
    "mlp-tanh": Row(MLP, {"widths": [32, 16], "batch_norm": False, "dropout": 0.0, "activation": "tanh"}, mlp_count),
    "mlp-silu": Row(MLP, {"widths": [32, 16], "batch_norm": False, "dropout": 0.0, "activation": "silu"}, mlp_count),
    **{f"resnet{d}": Row(ResNet, {"depth": d}, cifar_resnet_count(d)) for d in (8, 20, 32, 56)},
    "resnet18": Row(ResNet, {"depth": 18}, resnet18_count),
    "torchvision": Row(TorchvisionModel, {"name": "resnet18"}, torchvision_count),
    "timm": Row(TimmModel, {"name": "mobilenetv2_035"}, timm_count),
    "resnet9": Row(ResNet9, {}, resnet9_count),
    "convnet": Row(ConvNet, {"widths": [8, 16]}, convnet_count),
    "vit": Row(ViT, {"patch": 4, "width": 16, "layers": 2, "heads": 2, "dropout": 0.0}, vit_count),
    "llama": Row(Llama, LLAMA_ARGS, llama_count),
    "gpt-tied": Row(GPT, GPT_ARGS | {"tied": True}, gpt_count(tied=True)),
    "gpt-untied": Row(GPT, GPT_ARGS | {"tied": False}, gpt_count(tied=False)),
}
CASES = [
    (name, shape)
    for name, row in ROWS.items()
    for shape in (((12,),) if row.cls in OF_TEXT else ((1, 8, 8), (3, 8, 8)))
]
IDS = [f"{name}-{'x'.join(map(str, shape))}" for name, shape in CASES]


def build(name: str, shape: tuple[int, ...], classes: int = 5, outputs: int | None = None, **changes: Any) -> Network:
    row = ROWS[name]
    sizes = {"input_shape": shape, "outputs": outputs or classes}
    if row.cls in OF_TEXT:
        sizes["num_classes"] = classes
    torch.manual_seed(0)
    return row.cls(**sizes, **row.keys | changes)


def batch(row: Row, shape: tuple[int, ...], examples: int = 8, classes: int = 5) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    if row.cls in OF_TEXT:
        ids = torch.randint(classes, (examples, shape[0] + 1), generator=g)
        ids[:, 0] = torch.arange(examples) % classes  # with 8 classes no two texts begin alike: all can be learnt
        return ids[:, :-1], ids[:, 1:]
    return torch.randn(examples, *shape, generator=g), torch.arange(examples) % classes


def test_rows_options_and_files_are_one_list() -> None:
    shared = {"base", "projected", "transformer"}
    # without logits: they have own tests
    others = {"VAE": "vae", "TwoTowers": "two_towers", "LineCNN": "line_cnn", "UNet": "unet", "DCGAN": "dcgan"}
    files = {path.stem for path in (ROOT / "src/models").glob("*.py")} - shared - {*others.values()}
    targets = {yaml.safe_load(path.read_text()).get("_target_") for path in CONF.glob("model/*.yaml")}
    targets -= {None, *(f"src.models.{file}.{name}" for name, file in others.items())}
    assert {f"src.models.{path}" for path in files} == {target.rpartition(".")[0] for target in targets}
    assert {f"{row.cls.__module__}.{row.cls.__name__}" for row in ROWS.values()} == targets
    option = (CONF / "model/resnet.yaml").read_text()
    depths = {row.keys["depth"] for row in ROWS.values() if row.cls is ResNet}
    assert all(str(depth) in option for depth in depths)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=IDS)
class TestEveryNetwork:
    def test_shape(self, name: str, shape: tuple[int, ...]) -> None:
        x, y = batch(ROWS[name], shape)
        assert build(name, shape)(x).shape == (*y.shape, 5)

    def test_size(self, name: str, shape: tuple[int, ...]) -> None:
        model = build(name, shape)
        assert sum(p.numel() for p in model.parameters()) == ROWS[name].count(shape, 5)

    def test_every_parameter_gets_a_gradient(self, name: str, shape: tuple[int, ...]) -> None:
        model = build(name, shape)
        x, y = batch(ROWS[name], shape)
        nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key

    def test_evaluation_is_deterministic(self, name: str, shape: tuple[int, ...]) -> None:
        dropout = {"dropout": 0.5} if "dropout" in ROWS[name].keys else {}
        model = build(name, shape, **dropout).eval()
        x, _ = batch(ROWS[name], shape)
        with torch.no_grad():
            before = model(x)
            assert torch.equal(model(x), before)
            assert torch.equal(model.requires_grad_(False)(x), before), "as read from a folder, where nothing learns"
            if dropout:
                model.train()
                assert not torch.equal(model(x), model(x)), "dropout is on in training"


@pytest.mark.parametrize(("name", "shape"), [case for case in CASES if case[1] != (1, 8, 8)])
def test_learns_eight_examples_by_heart(name: str, shape: tuple[int, ...]) -> None:
    row = ROWS[name]
    model = build(name, shape, classes=8)
    x, y = batch(row, shape, classes=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2 if row.cls in OF_TEXT else 3e-3)
    for step in range(300):
        loss = nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        if step == 0:
            assert loss > 1
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


# ---- the sizes that the literature gives -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "millions"), [("resnet20", 0.27), ("resnet32", 0.46), ("resnet56", 0.85)])
def test_size_in_the_paper(name: str, millions: float) -> None:
    """He et al. 2016, table 6."""
    count = sum(p.numel() for p in build(name, (3, 32, 32), 10).parameters())
    assert round(count / 1e6, 2) == millions


def test_size_of_resnet18() -> None:
    """11.17 million for CIFAR-10, as in common CIFAR repositories (ImageNet's is 11.69 million)."""
    assert sum(p.numel() for p in build("resnet18", (3, 32, 32), 10).parameters()) == 11_173_962


def test_size_of_resnet9() -> None:
    """6.57 million, as in the common copies of Page's network; theirs has 10 more where the linear layer has biases."""
    assert sum(p.numel() for p in build("resnet9", (3, 32, 32), 10).parameters()) == 6_573_120


def test_size_that_nanogpt_tells() -> None:
    """ "number of parameters: 10.65M" for its Shakespeare model; its count leaves out the positions."""
    sizes = {"n_layer": 6, "n_head": 6, "n_embd": 384, "bias": False, "positions": 256}
    model = build("gpt-tied", (256,), 65, **sizes)
    assert isinstance(model, GPT)
    count = sum(p.numel() for p in model.parameters()) - model.places.weight.numel()
    assert count == 6 * 12 * 384**2 + 65 * 384 + (2 * 6 + 1) * 384
    assert f"{count / 1e6:.2f}M" == "10.65M"


# ---- residual networks ---------------------------------------------------------------------------------------------


def test_resnet18_computes_what_torchvisions_does() -> None:
    """The same weights, in order, in torchvision's network with a small stem and without its pooling."""
    reference = resnet18(num_classes=10)
    reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    model = build("resnet18", (3, 32, 32), 10)
    own = model.state_dict()
    shapes = [(key, tuple(value.shape)) for key, value in reference.state_dict().items()]
    assert [shape for _, shape in shapes] == [tuple(value.shape) for value in own.values()]
    reference.load_state_dict(dict(zip(reference.state_dict(), own.values(), strict=True)))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.eval()(x), reference.eval()(x), rtol=1e-4, atol=1e-4)


def test_shortcut_without_weights() -> None:
    """Where the residual branch is 0: every second pixel, then channels of zeros."""
    block = BasicBlock(2, 5, stride=2, projection=False)
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(3, 2, 6, 6)
    y = block(x).detach().numpy()
    expected = np.zeros((3, 5, 3, 3), np.float32)
    for i in range(3):
        for j in range(3):
            expected[:, :2, i, j] = np.maximum(x[:, :, 2 * i, 2 * j].numpy(), 0)
    np.testing.assert_array_equal(y, expected)


def test_resnet_sees_images_of_any_size() -> None:
    for size in (8, 28, 32, 33):
        assert build("resnet8", (3, size, size))(torch.randn(2, 3, size, size)).shape == (2, 5)


def resnet9_by_hand(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network in float64 from functions alone, in the order of its weights, with a training batch's statistics."""
    values = [value.double() for value in weights.values() if value.is_floating_point()]
    *layers, head = [values[i : i + 5] for i in range(0, len(values), 5)]  # convolution, norm's weight, bias, mean, var

    def convolution(x: Tensor, layer: list[Tensor], pool: bool = False) -> Tensor:
        x = nn.functional.conv2d(x, layer[0], padding=1)
        if pool:
            x = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        mean, variance = (statistic(x, (0, 2, 3), keepdim=True) for statistic in (torch.mean, torch.var))
        biased = variance * (1 - 1 / (x.numel() / x.shape[1]))
        scale, shift = (value[:, None, None] for value in layer[1:3])
        return ((x - mean) / (biased + 1e-5).sqrt() * scale + shift).clamp_min(0)

    x = convolution(x.double(), layers[0])
    x = convolution(x, layers[1], pool=True)
    x = x + convolution(convolution(x, layers[2]), layers[3])
    x = convolution(x, layers[4], pool=True)
    x = convolution(x, layers[5], pool=True)
    x = x + convolution(convolution(x, layers[6]), layers[7])
    return x.flatten(2).max(2).values @ head[0].T / 8


def test_resnet9_by_hand() -> None:
    model = build("resnet9", (3, 32, 32), 10)
    x = torch.randn(4, 3, 32, 32)
    expected = resnet9_by_hand(model.state_dict(), x)
    assert next(model.parameters()).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x).double(), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):  # eight bits a number, through nine layers
        half = model(x)
    assert half.dtype == torch.bfloat16
    assert (half.double() - expected).norm() < 0.02 * expected.norm()


def test_resnet9_sees_images_of_any_size() -> None:
    for shape in ((3, 8, 9), (1, 28, 28), (3, 33, 40)):
        assert build("resnet9", shape)(torch.randn(2, *shape)).shape == (2, 5)
    with pytest.raises(ValueError, match="images must be at least 8 x 8 pixels, got 32 x 7"):
        build("resnet9", (3, 32, 7))


def test_resnet9_is_one_graph() -> None:
    model = build("resnet9", (3, 16, 16))
    x = torch.randn(4, 3, 16, 16)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


# ---- initial weights -----------------------------------------------------------------------------------------------


def assert_drawn_from_normal(weight: Tensor, std: float) -> None:
    """Mean 0 and this standard deviation, to five standard errors."""
    weight, n = weight.detach(), weight.numel()
    assert abs(float(weight.mean())) < 5 * std / math.sqrt(n)
    assert abs(float(weight.std()) / std - 1) < 5 / math.sqrt(2 * n)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2), ("gelu", 2), ("silu", 2), ("tanh", 1)])
def test_initial_weights_of_the_mlp(activation: str, gain: float) -> None:
    model = build("mlp", (3, 16, 16), 50, widths=[400, 300], activation=activation)
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for linear, variance in zip(linears, (gain / 768, gain / 400, 0.01**2), strict=True):
        assert_drawn_from_normal(linear.weight, math.sqrt(variance))
        assert not linear.bias.any()


def test_initial_weights_of_the_resnet() -> None:
    for name in ("resnet20", "resnet18"):
        model = build(name, (3, 32, 32))
        for conv in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
            assert_drawn_from_normal(conv.weight, math.sqrt(2 / (conv.kernel_size[0] ** 2 * conv.out_channels)))


def test_initial_weights_of_resnet9() -> None:
    for layer in build("resnet9", (3, 32, 32)).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            highest = 1 / math.sqrt(layer.weight[0].numel())
            assert 0.95 * highest < layer.weight.abs().max() <= highest
            assert_drawn_from_normal(layer.weight, highest / math.sqrt(3))


def test_initial_weights_of_the_gpt() -> None:
    model = build("gpt-untied", (64,), 65, n_layer=3, n_embd=128)
    assert isinstance(model, GPT)
    small = 0.02 / math.sqrt(6)
    for block in model.blocks:
        assert isinstance(block, Block)
        for linear, std in (
            (block.attention.qkv, 0.02),
            (block.attention.out, small),
            (block.up, 0.02),
            (block.down, small),
        ):
            assert_drawn_from_normal(linear.weight, std)
            assert not linear.bias.any()
    for layer in (model.tokens, model.places, model.head):
        assert_drawn_from_normal(layer.weight, 0.02)


# ---- GPT -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_no_logits_depend_on_later_tokens(tied: bool) -> None:
    assert_it_does_not_look_ahead(build("gpt-untied", (12,), tied=tied).eval(), torch.randint(5, (3, 12)))


def test_shorter_sequences_are_the_beginning_of_longer_ones() -> None:
    model = build("gpt-tied", (8,), positions=12).eval()
    x = torch.randint(5, (3, 12))
    with torch.no_grad():
        whole = model(x)
        for t in range(1, 13):
            torch.testing.assert_close(model(x[:, :t]), whole[:, :t])


def test_tied_weight_is_one_tensor() -> None:
    tied, untied = build("gpt-tied", (12,)), build("gpt-untied", (12,))
    assert isinstance(tied, GPT) and isinstance(untied, GPT)
    assert tied.head.weight is tied.tokens.weight
    assert untied.head.weight is not untied.tokens.weight
    torch.optim.SGD(tied.parameters(), lr=1).param_groups[0]["params"][0].data.fill_(3)
    assert (tied.head.weight == 3).all() and (tied.tokens.weight == 3).all()


def layer_norm(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = x - x.mean()
    normal = centred / np.sqrt((centred**2).mean() + 1e-5)
    return normal * norm.weight.detach().numpy() + (0 if norm.bias is None else norm.bias.detach().numpy())


def linear(x: np.ndarray, layer: nn.Linear) -> np.ndarray:
    return layer.weight.detach().numpy() @ x + (0 if layer.bias is None else layer.bias.detach().numpy())


def block_by_hand(block: Block, x: np.ndarray, heads: int) -> np.ndarray:
    """(T, D) -> (T, D), one position and one head at a time, in NumPy."""
    length, width = x.shape
    size = width // heads
    qkv = [linear(layer_norm(row, block.norm1), block.attention.qkv) for row in x]
    out = np.zeros_like(x)
    for t in range(length):
        mixed = np.zeros(width)
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            q = qkv[t][:width][part]
            scores = np.array([q @ qkv[s][width : 2 * width][part] / math.sqrt(size) for s in range(t + 1)])
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            mixed[part] = sum(weights[s] * qkv[s][2 * width :][part] for s in range(t + 1))
        middle = x[t] + linear(mixed, block.attention.out)
        hidden = linear(layer_norm(middle, block.norm2), block.up)
        gelu = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in hidden])
        out[t] = middle + linear(gelu, block.down)
    return out


@pytest.mark.parametrize("bias", [True, False])
def test_block_against_numpy(bias: bool) -> None:
    torch.manual_seed(0)
    block = Block(12, 3, 0.0, bias, causal=True).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    expected = np.stack([block_by_hand(block, row.numpy(), 3) for row in x])
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_gpt_is_embedding_blocks_norm_and_head() -> None:
    model = build("gpt-tied", (6,)).double()
    assert isinstance(model, GPT)
    ids = torch.randint(5, (2, 6))
    x = np.stack([model.tokens.weight.detach().numpy()[row] + model.places.weight.detach().numpy() for row in ids])
    for block in model.blocks:
        assert isinstance(block, Block)
        x = np.stack([block_by_hand(block, row, GPT_ARGS["n_head"]) for row in x])
    expected = np.array([[model.tokens.weight.detach().numpy() @ layer_norm(v, model.norm) for v in row] for row in x])
    np.testing.assert_allclose(model(ids).detach().numpy(), expected, rtol=1e-10, atol=1e-14)


# ---- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mlp", {"widths": 5}, "widths must be a list of integers >= 1, got 5"),
        ("mlp", {"widths": "abc"}, "widths must be a list of integers"),
        ("mlp", {"widths": [8, 0]}, "widths must be an integer >= 1, got 0"),
        ("mlp", {"dropout": 1}, "dropout must be a number >= 0 and <= 0.99, got 1"),
        ("mlp", {"activation": "swish"}, "activation must be one of relu, gelu, tanh, silu, got 'swish'"),
        ("resnet8", {"depth": 21}, "depth must be one of 8, 18, 20, 32, 56, got 21"),
        ("resnet8", {"depth": "20"}, "depth must be one of 8, 18, 20, 32, 56, got '20'"),
        ("gpt-tied", {"n_layer": 0}, "n_layer must be an integer >= 1 and <= 10000, got 0"),
        ("gpt-tied", {"n_head": 3}, "n_embd must be a multiple of n_head=3, got 16"),
        ("gpt-tied", {"positions": 11}, r"positions must be an integer >= 12 \(data.block_size\), got 11"),
        ("gpt-tied", {"dropout": -0.1}, "dropout must be a number >= 0"),
        ("gpt-tied", {"outputs": 6}, "tied must be false where the loss wants 6 outputs for 5 tokens, got True"),
    ],
)
def test_bad_argument(name: str, changes: dict[str, Any], message: str) -> None:
    shape = (12,) if ROWS[name].cls in OF_TEXT else (1, 8, 8)
    with pytest.raises(ValueError, match=message):
        build(name, shape, **changes)


def test_untied_head_has_the_outputs_that_the_loss_wants() -> None:
    assert build("gpt-untied", (12,), outputs=7)(torch.zeros(2, 12, dtype=torch.long)).shape == (2, 12, 7)
