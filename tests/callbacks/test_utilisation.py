"""Counted operations against closed forms, the peak against a table's figures, and neither seen by the run."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.callbacks import utilisation
from src.callbacks.utilisation import Utilisation, count, measured, on_meta, peak
from src.data.base import Spec
from src.models.base import Network
from src.models.gpt import GPT
from src.models.mlp import MLP
from src.models.resnet import ResNet
from src.models.vit import ViT
from tests.commands import QUIET, only_run, train

IMAGES = Spec("image", (3, 32, 32), tuple("0123456789"), (1,) * 10)
TEXT = Spec("text", (64,), tuple(map(str, range(65))), (1,) * 65)
CPU = torch.device("cpu")


def counted(model: Network, spec: Spec) -> float:
    return count(on_meta(model), spec)


def test_mlp_by_hand() -> None:
    """2 operations a weight forward, 4 backward; the first layer's input needs no gradient."""
    model = MLP(input_shape=(3, 32, 32), outputs=10, widths=[256, 64], batch_norm=False, dropout=0.2, activation="relu")
    first, hidden, head = 3072 * 256, 256 * 64, 64 * 10
    assert counted(model, IMAGES) == 6 * (first + hidden + head) - 2 * first


def gpt(tied: bool, dropout: float = 0.2) -> GPT:
    return GPT(
        input_shape=(64,),
        num_classes=65,
        outputs=65,
        n_layer=4,
        n_head=4,
        n_embd=128,
        dropout=dropout,
        bias=False,
        tied=tied,
        positions=None,
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("tied", [True, False])
def test_gpt_is_6_n_t_and_attention(tied: bool, dropout: float) -> None:
    """6 N a token and 12 L H Q T for attention (Chowdhery et al. 2022, appendix B), N without what is looked up."""
    model, T, L, d = gpt(tied, dropout), 64, 4, 128  # noqa: N806
    looked_up = model.places.weight.numel() + (0 if tied else model.tokens.weight.numel())
    N = sum(p.numel() for p in model.parameters() if p.ndim == 2) - looked_up  # noqa: N806
    assert L * 12 * d * d + 65 * d == N
    assert counted(model, TEXT) == T * (6 * N + 12 * L * d * T)


def test_vit_by_hand() -> None:
    model = ViT(input_shape=(3, 32, 32), outputs=10, patch=4, width=64, layers=3, heads=2, dropout=0.1)
    T, d = 64, 64  # noqa: N806
    embed, blocks, head = 48 * d, 3 * 12 * d * d, d * 10
    assert counted(model, IMAGES) == T * (6 * (embed + blocks) - 2 * embed + 12 * 3 * d * T) + 6 * head


@pytest.mark.parametrize("depth", [8, 18])
def test_resnet_by_the_shapes_of_its_layers(depth: int) -> None:
    model = ResNet(input_shape=(3, 32, 32), outputs=10, depth=depth)
    products: dict[str, int] = {}

    def see(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            products[name] = weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(see(name))
    model(torch.zeros(1, 3, 32, 32))
    for layer in model.modules():
        layer._forward_hooks.clear()
    assert len(products) >= depth
    assert counted(model, IMAGES) == 6 * sum(products.values()) - 2 * products["stem"]


def test_counting_touches_nothing() -> None:
    """Neither weights and gradients, nor BatchNorm's statistics, nor the random state that dropout draws from."""
    model, text = ResNet(input_shape=(3, 32, 32), outputs=10, depth=8), gpt(True, dropout=0.2)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    state = torch.get_rng_state()
    assert Utilisation(model, IMAGES, "32-true").at(1000.0, CPU)
    assert Utilisation(text, TEXT, "32-true").at(1000.0, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True) if p.grad is not None)
    assert not model.training and all(p.grad is None for p in text.parameters())


def test_values() -> None:
    model = MLP(input_shape=(3, 32, 32), outputs=10, widths=[8], batch_norm=False, dropout=0.0, activation="relu")
    used = Utilisation(model, IMAGES, "32-true")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilisation, "peak", lambda device, dtype: 1e9)
        patch.setattr(utilisation.ranks, "world", lambda: 2)
        values = used.at(5000.0, CPU)
    rate = 5000.0 * (4 * 3072 * 8 + 6 * 8 * 10)
    assert values == pytest.approx({"train/flops_per_second": rate, "train/mfu": rate / 2e9})


class Stubborn(Network):
    """Looks at its values, which a tensor without data has not."""

    inputs = "image"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3072, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) * (1 if x.sum().item() > 0 else 2)


class Uncopied(Stubborn):
    def __deepcopy__(self, memo: Any) -> "Uncopied":
        raise TypeError("not this one")


@pytest.mark.parametrize("kind", [Stubborn, Uncopied])
def test_a_network_that_cannot_be_counted_records_nothing(kind: type[Network]) -> None:
    used = Utilisation(kind(), IMAGES, "32-true")
    assert used.at(1000.0, CPU) == {} == used.at(1000.0, CPU)


@pytest.mark.parametrize(
    ("name", "dtype", "precision", "expected"),
    [
        ("NVIDIA H200", torch.bfloat16, "highest", 989.4e12),
        ("NVIDIA H100 80GB HBM3", torch.float16, "highest", 989.4e12),
        ("NVIDIA A100-SXM4-80GB", torch.float32, "highest", 19.5e12),
        ("NVIDIA A100 80GB PCIe", torch.float32, "high", 156e12),
        ("NVIDIA L4", torch.bfloat16, "highest", 121e12),
        ("NVIDIA L40S", torch.bfloat16, "highest", 362e12),
        ("NVIDIA GeForce RTX 4090", torch.bfloat16, "highest", 165.2e12),
        ("NVIDIA GeForce RTX 4090 D", torch.bfloat16, "highest", 7.0),
        ("NVIDIA A10G", torch.bfloat16, "highest", 7.0),
        ("NVIDIA GH200 480GB", torch.bfloat16, "highest", 7.0),
        ("NVIDIA H200", torch.float64, "highest", 7.0),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", torch.float32, "highest", 7.0),
    ],
)
def test_peak_of_a_gpu(
    name: str, dtype: torch.dtype, precision: str, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of its data sheet; measured where there is none."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    monkeypatch.setattr(utilisation, "measured", lambda device, dtype: 7.0)
    assert peak.__wrapped__(torch.device("cuda"), dtype) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_peak_of_a_cpu_is_one_that_a_product_reaches(dtype: torch.dtype) -> None:
    assert 1e8 < measured(CPU, dtype) < 1e14
    assert peak(CPU, dtype) == peak(CPU, dtype), "measured once"


def test_recorded_beside_the_rate(tmp_path: Path) -> None:
    words = (*QUIET, "model.widths=[8]", "trainer.max_steps=6", "trainer.log_every_n_steps=2", "data.batch_size=16")
    assert train(*words, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    with (run / "timing.csv").open() as file:
        table = list(csv.DictReader(file))
    values = {(int(row["step"]), row["tag"].removeprefix("train/")): float(row["value"]) for row in table}
    for step in (2, 4, 6):
        flops = values[step, "flops_per_second"] / values[step, "examples_per_second"]
        assert flops == pytest.approx(4 * 784 * 8 + 6 * 8 * 10)
        assert 0 < values[step, "mfu"] < 1
    result = json.loads((run / "result.json").read_text())
    assert "mfu" not in result["metrics"]["train"], "what depends on the clock is no metric"
