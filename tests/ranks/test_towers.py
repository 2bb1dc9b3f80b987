"""Two ranks that train two towers: the gradient of one process, also of the scale, and ways that only look like it."""

from src.system import torchvision_cpu  # noqa: F401  before Lightning, in the processes that the test starts too

# isort: split
import functools
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.functional import normalize

from src.losses.clip import ContrastiveLanguageImageLoss
from src.losses.siglip import SigmoidLanguageImageLoss
from src.losses.towers import TowerLoss
from src.ranks.gather import gathered, own_rows

WORLD, PAIRS = 2, 8
WAYS = ("right", "local", "local loss without gradient", "whole loss, own gradient", "whole loss, own gradient, x W")
LOSSES = {
    "clip": ContrastiveLanguageImageLoss(duplicates="negatives", fixed_scale=None),
    "soft": ContrastiveLanguageImageLoss(duplicates="soft", fixed_scale=None),
    "siglip": SigmoidLanguageImageLoss(duplicates="masked", fixed_scale=None),
}
CAPTIONS = torch.tensor([0, 1, 2, 0, 3, 4, 5, 1])


class Towers(nn.Module):
    def __init__(self, loss: TowerLoss) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.image, self.text = nn.Linear(5, 4).double(), nn.Linear(3, 4).double()
        self.scalars = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor([one.start]).double()) for name, one in loss.scalars(PAIRS).items()}
        )

    def forward(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        x, y = (torch.randn(PAIRS, n, generator=g, dtype=torch.float64)[rows] for n in (5, 3))
        return normalize(self.image(x), dim=-1), normalize(self.text(y), dim=-1), CAPTIONS[rows]


def loss_of_rank(model: Towers, loss: TowerLoss, way: str) -> Tensor:
    """The right way and the wrong ones that are in use: open_clip's flags, and a factor that is to mend them."""
    compare = functools.partial(loss, **model.scalars)
    a, b, captions = model(own_rows())
    if way == "local":
        return compare(a, b, captions).mean()
    of_all = gathered(captions)
    if way == "right":
        return compare(gathered(a), gathered(b), of_all, rows=own_rows()).mean()
    all_a, all_b = gathered(a).detach().clone(), gathered(b).detach().clone()
    if way == "local loss without gradient":  # candidates are constants, anchors are not
        z = [
            compare(put(all_a, a), all_b, of_all, rows=own_rows()),
            compare(all_a, put(all_b, b), of_all, rows=own_rows()),
        ]
        return (z[0] + z[1]).mean() / 2
    whole = compare(put(all_a, a), put(all_b, b), of_all).mean()
    return whole * WORLD if way.endswith("x W") else whole


def put(everything: Tensor, own: Tensor) -> Tensor:
    """A copy, in which this rank's rows are its own, with their gradient."""
    copy = everything.clone()
    copy[own_rows()] = own
    return copy


def gradients(model: Towers) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def in_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    found = {}
    for name, loss in LOSSES.items():
        for way in WAYS:
            model = Towers(loss)
            loss_of_rank(model, loss, way).backward()
            for key, gradient in gradients(model).items():
                gradient /= WORLD  # as DistributedDataParallel does
                dist.all_reduce(gradient)
                found[f"{name} {way} {key}"] = gradient
    torch.save(found, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
    os._exit(0)  # without waiting for what torch leaves running


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """The averaged gradients that each of two processes has."""
    folder = tmp_path_factory.mktemp("towers")
    mp.spawn(in_rank, (str(folder),), nprocs=WORLD)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def ratios(ranks: list[dict[str, Tensor]], name: str, way: str) -> dict[str, float]:
    """Of each weight the largest difference of a rank from one process, as a part of the gradient's size."""
    model = Towers(LOSSES[name])
    LOSSES[name](*model(slice(None)), **model.scalars).mean().backward()
    return {
        key: max(((found[f"{name} {way} {key}"] - one).norm() / one.norm()).item() for found in ranks)
        for key, one in gradients(model).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_one_process(ranks: list[dict[str, Tensor]], name: str) -> None:
    found = ratios(ranks, name, "right")
    assert "scalars.log_scale" in found and max(found.values()) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("way", WAYS[1:])
def test_the_wrong_ways_fail_the_same_test(ranks: list[dict[str, Tensor]], name: str, way: str) -> None:
    assert max(ratios(ranks, name, way).values()) > 1e-3


@pytest.mark.slow
def test_where_weights_are_halved_the_scale_is_not(ranks: list[dict[str, Tensor]]) -> None:
    """So its learning rate is twice that of the weights, and a factor that mends them takes it to twice its size."""
    halved = ratios(ranks, "clip", "whole loss, own gradient")
    assert halved["image.weight"] == pytest.approx(0.5) and halved["scalars.log_scale"] < 1e-12
    mended = ratios(ranks, "clip", "whole loss, own gradient, x W")
    assert mended["image.weight"] < 1e-12 and mended["scalars.log_scale"] == pytest.approx(1)
