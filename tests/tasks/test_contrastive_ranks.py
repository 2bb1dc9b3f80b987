"""The contrastive task on two ranks: the gradient of one process, and of what looks like it and is not."""

from src.system import torchvision_cpu  # noqa: F401  before Lightning, in the processes that the test starts too

# isort: split
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

import src.tasks.contrastive as module
from src.data.base import Spec
from src.models.mlp import MLP
from src.ranks.gather import gathered
from src.tasks.contrastive import ContrastiveTask
from src.tasks.stepping import Named
from tests.losses.pair_rows import ROWS

WORLD, N = 2, 8
LOSSES = {row.name: row for row in ROWS}
WRONG = ("local", "without gradient", "statistics per rank")
SETTINGS = {"probe_examples": 100, "crop": 0.6, "flip": True, "jitter": 0.0, "grey": 0.0}


def task_of(name: str) -> ContrastiveTask:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MLP(input_shape=(1, 4, 4), outputs=5, widths=[12], batch_norm=False, dropout=0.0, activation="tanh")
        model = ContrastiveTask.completed(network, {"projector": [6, 5]}).double()
    spec = Spec("image", (1, 4, 4), tuple("abcde"), (4,) * 5, (0.0,), (1.0,))
    return ContrastiveTask(model=model, loss=LOSSES[name].build(), spec=spec, projector=[6, 5], **SETTINGS)


def given() -> Named:
    g = torch.Generator().manual_seed(1)
    first = torch.randn(N, 1, 4, 4, generator=g, dtype=torch.float64)
    second = first + 0.5 * torch.randn(N, 1, 4, 4, generator=g, dtype=torch.float64)
    return {"first": first, "second": second, "targets": torch.tensor([0, 1, 0, 2, 3, 1, 4, 0])}


class PerRank(nn.Module):
    """A projector that standardises each rank's share by itself."""

    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, features: Tensor) -> Tensor:
        views = features.unflatten(0, (2, -1))
        shares = [self.projector(views[:, rank::WORLD].flatten(0, 1)).unflatten(0, (2, -1)) for rank in range(WORLD)]
        return torch.stack(shares, 2).flatten(1, 2).flatten(0, 1)


def gradient(name: str, part: Named, way: str) -> Tensor:
    task = task_of(name)
    if way == "local":
        module.gathered, module.own_rows = (lambda rows: rows), (lambda: slice(None))
    if way == "without gradient":
        module.gathered = without_gradient
    if way == "statistics per rank":
        task.model.projector = PerRank(task.model.projector)
    loss, _ = task.batch_loss(part)
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in task.parameters() if weight.grad is not None])


def without_gradient(rows: Tensor) -> Tensor:
    """The rows of the other ranks are constants."""
    whole = gathered(rows).detach().clone()
    whole[dist.get_rank() :: WORLD] = rows
    return whole


def in_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    part = {name: rows[rank::WORLD] for name, rows in given().items()}
    kept = module.gathered, module.own_rows
    found = {}
    for name in LOSSES:
        for way in ("right", *WRONG):
            whole = gradient(name, part, way) / WORLD  # as DistributedDataParallel does
            module.gathered, module.own_rows = kept
            dist.all_reduce(whole)
            found[name, way] = whole
    torch.save(found, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
    os._exit(0)  # without waiting for what torch leaves running


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, str], Tensor]]:
    """The gradients that each of two processes has, by loss and way."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(in_rank, (str(folder),), nprocs=WORLD)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def error(ranks: list[dict[tuple[str, str], Tensor]], name: str, way: str) -> float:
    """The largest difference from the gradient of one process, relative to the largest entry of that."""
    one = gradient(name, given(), "right")
    return max(((found[name, way] - one).abs().max() / one.abs().max()).item() for found in ranks)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_two_ranks_have_the_gradient_of_one(ranks: list[dict[tuple[str, str], Tensor]], name: str) -> None:
    assert error(ranks, name, "right") < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("way", WRONG)
def test_the_wrong_ways_do_not(ranks: list[dict[tuple[str, str], Tensor]], name: str, way: str) -> None:
    assert error(ranks, name, way) > 1e-3
