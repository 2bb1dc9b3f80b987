"""Muon against a reference in float64 NumPy, its AdamW against torch's alone, and inside real runs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from src.config.entry import resolve
from src.config.errors import UserError
from src.data.base import Spec
from src.losses.ce import CrossEntropyLoss
from src.optim.muon import Muon
from src.optim.parameters import parameter_groups
from src.runs import build
from tests.commands import QUIET, composed, only_run, train

ARGS: dict[str, Any] = {
    "lr": 0.02,
    "adamw_lr": 0.003,
    "weight_decay": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "ns_steps": 5,
    "adjust_lr_fn": "match_rms_adamw",
    "betas": [0.8, 0.99],
    "eps": 1e-8,
    "fused": True,
}
PLAIN_CE = CrossEntropyLoss(class_weights=None, effective_number_beta=None)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 24), nn.LayerNorm(24), nn.Linear(24, 12), nn.Linear(12, 3))


def optimizer_of(model: nn.Sequential, **changes: Any) -> Muon:
    return Muon(parameter_groups(model, 0.1), hidden=[model[2].weight], **(ARGS | changes))


def give_gradients(model: nn.Module, step: int) -> None:
    g = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=g)


def newton_schulz(update: np.ndarray, steps: int) -> np.ndarray:
    """The quintic iteration of Jordan et al. 2024 on the smaller side."""
    x = update.T if update.shape[0] > update.shape[1] else update
    x = x / np.linalg.norm(x)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if update.shape[0] > update.shape[1] else x


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("shape", [(12, 24), (24, 12)])
def test_a_hidden_matrix_moves_as_the_reference_says(shape: tuple[int, int], adjust: str, nesterov: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(shape[1], shape[0])
    weight, momentum = model.weight.detach().double().numpy().copy(), np.zeros(shape)
    groups = parameter_groups(model, 0.1)
    optimizer = Muon(groups, hidden=[model.weight], **(ARGS | {"adjust_lr_fn": adjust, "nesterov": nesterov}))
    a, b = shape
    size = 0.2 * math.sqrt(max(a, b)) if adjust == "match_rms_adamw" else math.sqrt(max(1, a / b))
    for step in range(4):
        give_gradients(model, step)
        assert model.weight.grad is not None
        gradient, before = model.weight.grad.double().numpy(), model.weight.detach().double().numpy().copy()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        update = 0.1 * gradient + 0.9 * momentum if nesterov else momentum
        direction = newton_schulz(update, 5)
        weight = weight - 0.02 * (0.1 * weight + size * direction)
        after = model.weight.detach().double().numpy()
        np.testing.assert_allclose(after, weight, atol=0.02 * size * 0.03 * (step + 1))  # 3 % : bfloat16
        moved = (before * (1 - 0.02 * 0.1) - after) / (0.02 * size)
        singular = np.linalg.svd(moved, compute_uv=False)
        assert singular.min() > 0.5 and singular.max() < 1.3, "about orthogonal"
        assert np.sum(moved * direction) / np.linalg.norm(moved) / np.linalg.norm(direction) > 0.999


def test_matched_updates_are_as_large_as_those_of_adamw() -> None:
    """Root mean square 0.2 times the learning rate, whatever the shape: Liu et al. 2025, section 2.2."""
    for a, b in [(64, 64), (256, 64), (64, 256)]:
        matrix = nn.Parameter(torch.zeros(a, b))
        matrix.grad = torch.randn(a, b, generator=torch.Generator().manual_seed(0))
        Muon([{"params": [matrix, nn.Parameter(torch.zeros(1))]}], hidden=[matrix], **ARGS).step()
        assert matrix.detach().square().mean().sqrt().item() == pytest.approx(0.2 * 0.02, rel=0.15)


def test_the_rest_is_adamw_bit_for_bit() -> None:
    ours, theirs = network(), network()
    optimizer = optimizer_of(ours)
    rest = {name for name, _ in theirs.named_parameters()} - {"2.weight"}
    named = dict(theirs.named_parameters())
    reference = torch.optim.AdamW(
        [
            {"params": [named[name] for name in rest if named[name].ndim == 2], "weight_decay": 0.1},
            {"params": [named[name] for name in rest if named[name].ndim == 1], "weight_decay": 0.0},
        ],
        lr=0.003,
        betas=(0.8, 0.99),
        fused=True,
    )
    for step in range(5):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        optimizer.step()
        reference.step()
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, named[name]) == (name in rest), name


def test_one_learning_rate_where_none_is_named() -> None:
    optimizer = optimizer_of(network(), adamw_lr=None)
    assert {group["lr"] for group in optimizer.param_groups} == {0.02}


def test_a_schedule_drives_both_rates() -> None:
    model = network()
    optimizer = optimizer_of(model)
    schedule = LambdaLR(optimizer, lambda step: 1 / (step + 1))
    for step in range(3):
        rates = [[group["lr"] for group in part.param_groups] for part in (optimizer.muon, optimizer.adamw)]
        assert rates == [pytest.approx([0.02 / (step + 1)]), pytest.approx([0.003 / (step + 1)] * 2)]
        before = [parameter.detach().clone() for parameter in model.parameters()]
        give_gradients(model, step)
        optimizer.step()
        schedule.step()
        assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_goes_on_from_its_state(tmp_path: Path) -> None:
    """Through a file, as a checkpoint does; a schedule still drives the rates afterwards."""
    whole, cut = network(), network()
    one, two = optimizer_of(whole), optimizer_of(cut)
    for step in range(3):
        for model, optimizer in ((whole, one), (cut, two)):
            give_gradients(model, step)
            optimizer.step()
    torch.save(two.state_dict(), tmp_path / "state")
    two = optimizer_of(cut, lr=7.0, adamw_lr=7.0, momentum=0.1)  # all of it is in the state
    two.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for step in range(3, 6):
        for model, optimizer in ((whole, one), (cut, two)):
            give_gradients(model, step)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
            optimizer.step()
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b)


def test_closure_has_gradients() -> None:
    model = network()
    optimizer = optimizer_of(model)

    def closure() -> float:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 6)).square().mean()
        loss.backward()
        return float(loss.detach())

    losses = [optimizer.step(closure) for _ in range(20)]
    assert losses[-1] < losses[0]  # type: ignore[operator]


@pytest.mark.slow
def test_a_compiled_step_is_the_same_step() -> None:
    plain, compiled = network(), network()
    one, two = optimizer_of(plain), optimizer_of(compiled)
    step = torch.compile(two.step, backend="eager")
    for k in range(3):
        give_gradients(plain, k)
        give_gradients(compiled, k)
        one.step()
        step()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": -1.0}, "lr must be a number >= 0, got -1"),
        ({"adamw_lr": "a"}, "adamw_lr must be a number >= 0, got 'a'"),
        ({"weight_decay": -1.0}, "weight_decay must be a number >= 0"),
        ({"momentum": 1.0}, "momentum must be a number >= 0 and < 1, got 1"),
        ({"ns_steps": 0}, "ns_steps must be an integer >= 1 and <= 99, got 0"),
        ({"adjust_lr_fn": "none"}, "adjust_lr_fn must be one of match_rms_adamw, original, got 'none'"),
        ({"betas": [0.9]}, r"betas must be two numbers, got \[0.9\]"),
        ({"betas": [0.9, 1.0]}, "betas must be a number >= 0 and < 1, got 1"),
        ({"hidden": []}, "this one has none: take optimizer=adamw"),
    ],
)
def test_bad_argument(changes: dict[str, Any], message: str) -> None:
    model = network()
    with pytest.raises(ValueError, match=message):
        Muon(parameter_groups(model, 0.1), **({"hidden": [model[2].weight]} | ARGS | changes))


BLOCK = {f"blocks.{i}.{name}.weight" for i in range(4) for name in ("attention.qkv", "attention.out", "up", "down")}


@pytest.mark.parametrize(
    ("words", "spec", "expected"),
    [
        (("model=mlp", "model.widths=[8,7,6]"), Spec("image", (1, 8, 8), ("a", "b"), (3, 3)), {4, 7}),
        (("model=vit",), Spec("image", (1, 8, 8), ("a", "b"), (3, 3)), BLOCK),
        (("data=python_docs", "model=gpt"), Spec("text", (16,), ("a", "b"), (3, 3)), BLOCK),
        (("data=python_docs", "model=gpt", "model.tied=false"), Spec("text", (16,), ("a", "b"), (3, 3)), BLOCK),
    ],
)
def test_who_is_hidden(words: tuple[str, ...], spec: Spec, expected: set[Any]) -> None:
    """Never embedding, input layer or head."""
    cfg = resolve(composed(*words, "optimizer=muon").cfg)
    model = build.build_model(cfg, spec, PLAIN_CE)
    optimizer = build.build_optimizer(cfg, model, model)
    assert isinstance(optimizer, Muon)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    hidden = [names[id(p)] for group in optimizer.muon.param_groups for p in group["params"]]
    rest = [names[id(p)] for group in optimizer.adamw.param_groups for p in group["params"]]
    assert set(hidden) == {f"layers.{name}.weight" if isinstance(name, int) else name for name in expected}
    assert sorted(hidden + rest) == sorted(names.values()), "each once"


SHORT = (
    *("trainer.max_steps=2", "trainer.limit_eval_batches=1", "trainer.log_every_n_steps=1", "data.batch_size=8"),
    "data.eval_batch_size=8",
)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
@pytest.mark.parametrize(
    "words", [("model=mlp",), ("model=vit", "model.layers=1"), ("data=python_docs", "model=gpt", "samples.count=0")]
)
def test_two_steps(words: tuple[str, ...], precision: str, tmp_path: Path) -> None:
    extras = ("trainer.gradient_clip_val=0.5", "ema.decay=0.9", f"trainer.precision={precision}")
    assert train(*QUIET, *words, *SHORT, *extras, "optimizer=muon", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert json.loads((run / "result.json").read_text())["steps"] == 2
    rates = [line for line in (run / "metrics.csv").read_text().splitlines() if "train/lr" in line]
    assert rates[0].endswith(",0.002"), "train/lr is that of the hidden matrices"


@pytest.mark.parametrize("words", [("model=resnet", "model.depth=8"), ("model.widths=[32]",)])
def test_a_network_without_hidden_matrices(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this one has none: take optimizer=adamw or optimizer=sgd"):
        train(*QUIET, *words, "optimizer=muon", f"runs={tmp_path}")
    assert list(tmp_path.iterdir()) == []
