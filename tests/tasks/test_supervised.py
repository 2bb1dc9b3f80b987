"""The task: what is fed to what, and which parameters decay."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD

from src.config.entry import resolve
from src.data.base import Batch, Chance, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.distillation import KnowledgeDistillationLoss
from src.losses.focal import FocalLoss
from src.optim.parameters import parameter_groups
from src.optim.schedules import Constant
from src.runs import build
from src.tasks.distillation import DistillationTask, Teacher
from src.tasks.stepping import Player, Stepping
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, composed, only_run, train

PLAIN_CE = CrossEntropyLoss(class_weights=None, effective_number_beta=None)


def task_of(model: nn.Module, loss: nn.Module = PLAIN_CE, text: bool = False, classes: int = 4) -> SupervisedTask:
    kind, names = ("text" if text else "image"), tuple(map(str, range(classes)))
    spec = Spec(kind, (1,), names, (1,) * classes)
    return SupervisedTask(model=model, loss=loss, spec=spec)


def batch_of(inputs: Tensor, targets: Tensor) -> Batch:
    return Batch(inputs, targets, Chance("test", 0, size=len(inputs)))


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    """Four batches of 8 a step against one of 32, in float64: the same weights after three epochs of 320 of 340."""
    words = (
        *QUIET,
        *("data.train_examples=340", "model.widths=[16]", "model.dropout=0", "optimizer=sgd", "trainer.max_epochs=3"),
        *("trainer.precision=64-true", "trainer.gradient_clip_val=1", "trainer.log_every_n_steps=1"),
    )
    runs = {}
    for batch_size, accumulate in ((32, 1), (8, 4)):
        extra = (f"data.batch_size={batch_size}", f"trainer.accumulate_grad_batches={accumulate}")
        assert train(*words, *extra, f"runs={tmp_path / str(batch_size)}") == 0
        runs[batch_size] = only_run(tmp_path / str(batch_size))
    whole, parts = (load_file(runs[size] / "weights.safetensors") for size in (32, 8))
    assert whole["layers.1.weight"].dtype == torch.float64
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-12)
    tables = [np.genfromtxt(runs[size] / "metrics.csv", delimiter=",", names=True, dtype=None) for size in (32, 8)]
    np.testing.assert_array_equal(tables[0]["tag"], tables[1]["tag"])
    np.testing.assert_array_equal(tables[0]["samples_seen"], tables[1]["samples_seen"])
    np.testing.assert_allclose(tables[0]["value"], tables[1]["value"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("words", "shape"),
    [(("model=mlp",), (1, 8, 8)), (("model=resnet", "model.depth=8"), (3, 8, 8))]
    + [(("data=python_docs", "model=gpt", f"model.tied={tied}"), (64,)) for tied in (True, False)],
)
def test_matrices_decay_and_vectors_do_not(words: tuple[str, ...], shape: tuple[int, ...]) -> None:
    cfg = resolve(composed(*words, "optimizer.weight_decay=0.3").cfg)
    spec = Spec("image", shape, ("a", "b"), (3, 3))
    model = build.build_model(cfg, spec, PLAIN_CE)
    matrices, vectors = build.build_optimizer(cfg, model, model).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(parameter)] for parameter in matrices["params"]}
    kept = {names[id(parameter)] for parameter in vectors["params"]}
    assert decayed | kept == set(names.values()) and not decayed & kept
    assert len(matrices["params"]) + len(vectors["params"]) == len(names), "none twice"
    assert kept == {name for name in names.values() if name.endswith("bias") or "norm" in name or is_norm(model, name)}


def is_norm(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d | nn.LayerNorm)


def test_frozen_parameters_are_not_trained() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    matrices, vectors = parameter_groups(model, 0.1)
    assert [p is model.weight for p in matrices["params"]] == [True] and vectors["params"] == []


@pytest.mark.parametrize("loss", [KnowledgeDistillationLoss(alpha=0.5, temperature=2.0), nn.CrossEntropyLoss()])
def test_loss_of_another_family(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"{type(loss).__name__} is no ClassificationLoss"):
        task_of(nn.Linear(2, 2), loss)


class Fixed(nn.Module):
    """A model that answers with its own parameter, whatever it is fed."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.logits


@pytest.mark.parametrize("shape", [(6, 4), (3, 5, 4)])
def test_loss_is_the_mean_over_all_examples(shape: tuple[int, ...]) -> None:
    """(B, K) for images, (B, T, K) for text; each position of a text is an example of its own."""
    torch.manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64)
    targets = torch.randint(4, shape[:-1])
    task = task_of(Fixed(logits), FocalLoss(gamma=2.0), text=len(shape) == 3)
    loss = task.training_step(batch_of(torch.zeros(1), targets), 0)
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
    total, gradient, right = 0.0, np.zeros(shape), 0
    for place in np.ndindex(shape[:-1]):
        z, y = logits[place].numpy(), int(targets[place])
        p = np.exp(z) / np.exp(z).sum()
        total += -((1 - p[y]) ** 2) * np.log(p[y])
        slope = 2 * (1 - p[y]) * p[y] * np.log(p[y]) - (1 - p[y]) ** 2  # of the loss in log p_y
        gradient[place] = slope * ((np.arange(4) == y) - p)
        right += int(z.argmax() == y)
    count = targets.numel()
    assert loss.item() == pytest.approx(total / count, rel=1e-12)
    assert task.model.logits.grad is not None
    np.testing.assert_allclose(task.model.logits.grad.numpy(), gradient / count, rtol=1e-10)
    scores: dict[str, Any] = task.train_scores.compute()
    assert scores["loss"] == pytest.approx(total / count, rel=1e-12)
    assert scores["accuracy"] == right / count
    assert ("bits_per_char" in scores) == (len(shape) == 3)


def test_scores_of_one_split_do_not_reach_another() -> None:
    task = task_of(Fixed(torch.eye(3)), classes=3)
    batch = batch_of(torch.zeros(1), torch.arange(3))
    task.validation_step(batch, 0)
    task.test_step(batch_of(torch.zeros(1), torch.zeros(3, dtype=torch.long)), 0)
    assert task.val_scores.compute()["accuracy"] == 1
    assert task.test_scores.compute()["accuracy"] == pytest.approx(1 / 3)
    assert int(task.train_scores.count) == 0


KINDS = ("images", "text", "distillation")
CONSTANT = Constant(total=1, warmup_steps=0)


def small_task(kind: str) -> tuple[SupervisedTask, Batch]:
    """With two batches to a step, and a batch."""
    shape = (5, 3, 6) if kind == "text" else (5, 6)
    model = nn.Linear(6, 4)
    stepping = Stepping((Player("", SGD(model.parameters()), CONSTANT),), due=bool, total=2, accumulate=2)
    spec = Spec("text" if kind == "text" else "image", shape[1:], tuple("abcd"), (1,) * 4)
    sizes: dict[str, Any] = {"model": model, "spec": spec, "stepping": stepping}
    batch = batch_of(torch.randn(shape), torch.randint(4, shape[:-1]))
    if kind != "distillation":
        return SupervisedTask(loss=PLAIN_CE, **sizes), batch
    teacher = Teacher(model=nn.Linear(6, 4), loss=PLAIN_CE, scale=torch.tensor(2.0), shift=torch.tensor(1.0))
    loss = KnowledgeDistillationLoss(alpha=0.5, temperature=2.0)
    return DistillationTask(loss=loss, teacher=teacher, **sizes), batch


@pytest.mark.parametrize("train_mode", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_network_and_loss_are_one_graph(kind: str, train_mode: bool) -> None:
    """``fullgraph`` raises where the compiler must stop; losses, logits and gradients are those without it."""
    torch._dynamo.reset()
    task, batch = small_task(kind)
    task.train(train_mode)
    seen, gradients = [], []
    for judge in (task.judge, torch.compile(task.judge, fullgraph=True, backend="aot_eager")):
        task.model.zero_grad()
        seen.append(judge(task.prepare(batch)))
        seen[-1][0]["loss"].mean().backward()
        gradients.append([p.grad for p in task.model.parameters()])
    torch.testing.assert_close(seen[1], seen[0])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_backward_pass_belongs_to_the_graph(kind: str, half: bool) -> None:
    """Both batches of a step: the second one's gradients are added. In float32 those of the objective by hand."""
    torch._dynamo.reset()
    task, batch = small_task(kind)
    batches = [task.prepare(one) for one in (batch, batch._replace(inputs=batch.inputs.flip(0)))]
    found = []
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        for step in (task.forward_backward, torch.compile(task.forward_backward, fullgraph=True, backend="aot_eager")):
            task.model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                given = [step(batch) for batch in batches]
            found.append((given, [p.grad for p in task.model.parameters()]))
    torch.testing.assert_close(found[1], found[0])
    assert not any(loss.requires_grad or seen[1]["logits"].requires_grad for loss, seen in found[1][0])
    if not half:
        objective = sum(task.batch_loss(batch)[0] for batch in batches) / 2
        by_hand = torch.autograd.grad(objective, list(task.model.parameters()))
        torch.testing.assert_close(found[1][1], list(by_hand))


def test_what_a_graph_writes_over_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a CUDA graph: it spoils what it gave for a batch when the next one comes."""
    modes: list[str | None] = []

    def compiled(function: Any, mode: str | None, fullgraph: bool) -> Any:
        task, given = function.__self__, []

        def run(*batch: Any) -> Any:
            for old in given:
                old.fill_(float("nan"))
            new = function(*batch)
            terms, answer = new if function.__name__ == "examine" else new[1]
            given[:] = [tensor.detach() for tensor in (*terms.values(), answer["logits"])]
            if function.__name__ == "forward_backward":
                given.extend(weight.grad for weight in task.model.parameters())
            return new

        modes.append(mode)
        return run

    words = (*QUIET, "data.train_examples=300", "model.widths=[8]", "trainer.max_steps=9", "loss=focal")
    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr("src.runs.machine.shutil.which", lambda name: "compiler")
    found = {}
    for how in ("false", "reduce-overhead"):
        assert train(*words, f"compile={how}", f"runs={tmp_path / how}") == 0
        found[how] = only_run(tmp_path / how)
    assert modes == ["reduce-overhead"] * 2
    for name in ("metrics.csv", "weights.safetensors"):
        assert (found["false"] / name).read_bytes() == (found["reduce-overhead"] / name).read_bytes()
