"""A batch gathered from several ranks: what one process would have, values and gradients."""

from src.system import torchvision_cpu  # noqa: F401  before Lightning, in the processes that the test starts too

# isort: split
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from src.ranks.gather import gathered, own_rows

WORLD, ROWS = 2, 3
WAYS = ("right", "local", "without gradient", "own gradient", "whole loss")


def test_one_process_has_the_whole_batch() -> None:
    rows = torch.randn(4, 2)
    assert gathered(rows) is rows and rows[own_rows()].equal(rows)


def batch() -> Tensor:
    return torch.randn(WORLD * ROWS, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network() -> nn.Module:
    """Features, an activation, embeddings: gradients must pass through the gathered rows into weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()


def per_anchor(anchors: Tensor, candidates: Tensor) -> Tensor:
    """(n, D), (M, D) -> (n,): a loss of each anchor against all candidates, a softmax's normaliser."""
    return (anchors @ candidates.T).logsumexp(1)


def loss_of_rank(z: Tensor, way: str, rank: int) -> Tensor:
    """The loss of a rank with embeddings (n, D), one right way and the wrong ones that are in use."""
    if way == "right":
        whole = gathered(z)
        return per_anchor(whole[own_rows()], whole).mean()
    if way == "local":
        return per_anchor(z, z).mean()
    if way == "without gradient":
        return per_anchor(z, gathered(z).detach()).mean()
    if way == "own gradient":
        whole = gathered(z).detach().clone()
        whole[rank::WORLD] = z
        return per_anchor(z, whole).mean()
    whole = gathered(z).detach().clone()
    whole[rank::WORLD] = z
    return per_anchor(whole, whole).mean()


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def in_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    found: dict[str, Any] = {"rows": gathered(batch()[rank::WORLD]), "numbers": gathered(torch.arange(6)[rank::WORLD])}
    found["half"] = gathered(batch()[rank::WORLD].bfloat16())
    for way in WAYS:
        model = network()
        loss_of_rank(model(batch()[rank::WORLD]), way, rank).backward()
        whole = gradient(model) / WORLD  # as DistributedDataParallel does
        dist.all_reduce(whole)
        found[way] = whole
    torch.save(found, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
    os._exit(0)  # without waiting for what torch leaves running


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("gather")
    mp.spawn(in_rank, (str(folder),), nprocs=WORLD)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.slow
def test_rows_are_in_the_order_of_one_process(ranks: list[dict[str, Tensor]]) -> None:
    for found in ranks:
        assert found["rows"].equal(batch())
        assert found["numbers"].equal(torch.arange(6))
        assert found["half"].equal(batch().bfloat16())


def exact(ranks: list[dict[str, Tensor]], way: str) -> bool:
    """Whether the gradient of two ranks is that of one process to 1e-12."""
    model = network()
    z = model(batch())
    per_anchor(z, z).mean().backward()
    return all(torch.allclose(found[way], gradient(model), rtol=1e-12, atol=1e-14) for found in ranks)


@pytest.mark.slow
def test_gradients_are_those_of_one_process(ranks: list[dict[str, Tensor]]) -> None:
    assert exact(ranks, "right")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[1:])
def test_the_wrong_ways_fail_the_same_test(ranks: list[dict[str, Tensor]], way: str) -> None:
    assert not exact(ranks, way)
