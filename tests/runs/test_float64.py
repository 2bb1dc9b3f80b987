"""trainer.precision=64-true: every constant on the way to the weights is float64, too."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from src.config.entry import resolve
from src.data.base import Spec
from src.losses.ce import CrossEntropyLoss
from src.models.mlp import MLP
from src.runs import build
from src.runs.rebuild import Rebuilt
from src.runs.teacher import fitted
from tests.commands import QUIET, composed, only_run, train

WORDS = (
    *("trainer.precision=64-true", "trainer.max_steps=12", "data.train_examples=300", "data.batch_size=20"),
    *("data.imbalance=10", "data.mixup=mixup", "loss.class_weights=balanced", "optimizer=sgd", "optimizer.lr=0.1"),
    *("optimizer.momentum=0", "optimizer.weight_decay=0", "optimizer.nesterov=false", "scheduler=constant"),
    *("model.widths=[16]", "model.dropout=0", "model.batch_norm=false", "model.activation=relu"),
)


def test_a_run_is_a_numpy_loop_to_fourteen_digits(tmp_path: Path) -> None:
    """Mixed images of a long tail, weighted classes: pixels, lambdas, weights and gradients in plain NumPy."""
    assert train(*QUIET, *WORDS, f"runs={tmp_path}") == 0
    cfg = resolve(composed(*QUIET, *WORDS).cfg) | {"choices": {"model": "mlp", "loss": "ce"}}
    data: Any = build.build_data(cfg)
    spec = build.load(data)
    model = build.build_model(cfg, spec, build.build_loss(cfg, spec))
    w1, b1, w2, b2 = (weight.detach().double().numpy() for weight in model.parameters())
    n = np.array(spec.class_counts)
    of_class = n.sum() / (len(n) * n)
    for step in range(12):
        pixels, labels = (part.numpy() for part in data._take(0, step, 0, 1))
        x = (pixels.reshape(20, -1) / 255 - spec.mean[0]) / spec.std[0]
        rng = np.random.default_rng(build.generator("mixing", 0, step).initial_seed())
        share, partner = rng.beta(1.0, 1.0), rng.permutation(20)
        x = share * x + (1 - share) * x[partner]
        q = share * np.eye(10)[labels] + (1 - share) * np.eye(10)[labels[partner]]
        hidden = np.maximum(0, x @ w1.T + b1)
        z = hidden @ w2.T + b2
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        weighted = q * of_class
        dz = (weighted.sum(1, keepdims=True) * p - weighted) / 20
        dh = dz @ w2 * (hidden > 0)
        w2, b2 = w2 - 0.1 * dz.T @ hidden, b2 - 0.1 * dz.sum(0)
        w1, b1 = w1 - 0.1 * dh.T @ x, b1 - 0.1 * dh.sum(0)
    weights = load_file(only_run(tmp_path) / "weights.safetensors")
    for (name, found), expected in zip(sorted_like(model, weights), (w1, b1, w2, b2), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14, err_msg=name)


def sorted_like(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    return [(name, weights[name]) for name, _ in model.named_parameters()]


def test_a_teacher_reads_what_it_would_have_read_itself() -> None:
    theirs = Spec("image", (1, 4, 4), ("a", "b"), (3, 3), mean=(0.13,), std=(0.31,))
    own = replace(theirs, mean=(0.2,), std=(0.3,))
    network = MLP(input_shape=(1, 4, 4), outputs=2, widths=[2], activation="relu", dropout=0.0, batch_norm=False)
    loss = CrossEntropyLoss(class_weights=None, effective_number_beta=None)
    teacher = fitted(Rebuilt(network.double().eval(), loss, theirs, ""), own, "teacher", "RUN").double()
    pixels = np.random.default_rng(0).random((5, 1, 4, 4))
    mine, its = (torch.from_numpy((pixels - spec.mean[0]) / spec.std[0]) for spec in (own, theirs))
    torch.testing.assert_close(teacher(mine), loss.log_probs(network(its)), rtol=1e-14, atol=1e-14)
