"""What a judge says of made images: of which pairs, against scikit-learn and SciPy's eigenvalues, and its floor."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.linalg import eigvals
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from src.data.base import Batch, Chance, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.elbo import NegativeELBOLoss
from src.metrics.families import PAIRS
from src.models.base import LatentNetwork
from src.tasks.base import joined
from src.tasks.judge import Judge
from src.tasks.latent import LatentTask

SPEC = Spec("image", (1, 2, 2), tuple("abc"), (9, 9, 9), mean=(0.25,), std=(0.5,))


class Decoder(LatentNetwork):
    """Four pixels of four latents."""

    inputs, latents = "image", 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.flatten(1), torch.zeros_like(inputs.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        return (z * self.scale).unflatten(-1, (1, 2, 2))


class Sparing(LatentTask):
    apart: ClassVar[int] = 3


def judge() -> Judge:
    g = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    for weight in model.parameters():
        nn.init.normal_(weight, generator=g)
    return Judge(model=model, loss=CrossEntropyLoss(), scale=torch.tensor(1.0), shift=torch.tensor(0.0))


def task(kind: type[LatentTask] = LatentTask, reconstruction: str = "gaussian") -> LatentTask:
    loss = NegativeELBOLoss(reconstruction=reconstruction, beta=1.0, free_bits=0.0)
    parts: dict[str, Any] = {"model": Decoder(), "loss": loss, "spec": SPEC, "judge": judge()}
    return kind(**parts, val_samples=1, test_samples=1).eval()


def batches(count: int, n: int = 30) -> list[Batch]:
    g = torch.Generator().manual_seed(1)
    pixels = [torch.rand(n, 1, 2, 2, generator=g, dtype=torch.float64) for _ in range(count)]
    return [Batch((x - 0.25) / 0.5, torch.arange(n) % 3, Chance("test", i, size=n)) for i, x in enumerate(pixels)]


def compared(one: LatentTask, of: list[Batch]) -> dict[str, Tensor]:
    looker = one.looker
    assert looker
    with torch.no_grad():
        return one.combined(joined([one.examples(one.look(b)[1] | one._pairs(b, looker)) for b in of]))


def test_all_batches_are_compared_at_once() -> None:
    """Against scikit-learn's neighbours and SciPy's eigenvalues, on features that NumPy computes."""
    one, of = task(), batches(3)
    found = compared(one, of)
    first, _, _ = one.looker.model[1:]  # type: ignore[union-attr]
    w, b = (value.numpy() for value in (first.weight, first.bias))
    real = np.maximum(torch.cat([x.inputs.flatten(1) for x in of]).numpy() @ w.T + b, 0)
    z = torch.cat([x.chance.normal("latents", 4) for x in of]).double().numpy()
    images = np.clip(0.7 * z * 0.5 + 0.25, 0, 1)  # unit pixels of the decoder's means
    made = np.maximum((images - 0.25) / 0.5 @ w.T + b, 0)
    radius = NearestNeighbors(n_neighbors=5).fit(real).kneighbors()[0][:, -1]
    between = np.linalg.norm(real[:, None] - made[None], axis=-1)
    assert found["covered"].tolist() == (between.min(1) <= radius).tolist()
    assert found["precise"].tolist() == (between <= radius[:, None]).any(0).tolist()
    metrics = one.conclude(found)["metrics"]
    assert metrics["coverage"] == pytest.approx((between.min(1) <= radius).mean())
    c, d = np.cov(real.T), np.cov(made.T)
    shared = np.sqrt(eigvals(c @ d).real.clip(0)).sum()  # the trace of the root of their product
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + np.trace(c + d) - 2 * shared
    assert metrics["frechet_distance"] == pytest.approx(expected, rel=1e-6)
    assert "memorised" not in metrics and {*PAIRS} <= {*found}


def test_only_some_images_are_made_where_they_are_costly() -> None:
    whole, some = compared(task(), batches(2)), compared(task(Sparing), batches(2))
    rows = torch.arange(60) % 30 % 3 == 0
    assert torch.equal(some["compared_pairs"], rows.double())
    assert torch.equal(some["made_features"][rows], whole["made_features"][rows])
    for name in ("covered", "precise", "kernel_gap", "made_features"):
        assert not some[name][~rows].any()
    one = task(Sparing)
    metrics = one.conclude(some)["metrics"]
    assert metrics["coverage"] == pytest.approx(some["covered"].sum().item() / 20)
    assert metrics["kernel_distance"] == pytest.approx(some["kernel_gap"].sum().item() / 20)


def test_the_floor_is_of_as_many_training_images() -> None:
    """Training images that are the test images: all are covered, and each is as near as can be. Other ones less."""
    one, of = task(), batches(2)
    train = batches(4)
    found = compared(one, of)
    with torch.no_grad():
        one.learn(iter([one.predict_step(b, 0) for b in train]))
    assert one.learnt["pixels"].dtype == torch.uint8
    unit = torch.cat([b.inputs for b in train]) * 0.5 + 0.25
    assert (one.learnt["pixels"] / 255 - unit).abs().max() <= 0.5 / 255 + 1e-6
    concluded = one.conclude(found)
    floor = concluded["floors"]["real images"]
    assert floor.keys() == concluded["metrics"].keys()
    assert floor["coverage"] > concluded["metrics"]["coverage"] and floor["memorised"] == 1
    one.learnt = {name: rows[:59] for name, rows in one.learnt.items()}
    assert one.conclude(found)["floors"]["real images"].keys() == {"memorised"}  # there are too few to compare with


def test_binary_pixels_are_drawn() -> None:
    one = task(reconstruction="bernoulli")
    (of,) = batches(1, n=400)
    z = one.drawn(of.chance).double()
    drawn, mean = one.sampled(z, of), one.made(z)
    assert set(drawn.unique().tolist()) == {0, 1} and not set(mean.unique().tolist()) <= {0, 1}
    assert (drawn - mean).mean().abs() < 4 * 0.5 / 1600**0.5
    assert torch.equal(one.sampled(z, of), drawn)
    assert torch.equal(task().sampled(z, of), task().made(z))


def test_without_a_judge_nothing_is_compared() -> None:
    one = task()
    one._unregistered, one.learns = [None], 0
    (of,) = batches(1)
    answer = one.test_step(of, 0)
    assert not {*PAIRS} & {*answer} and one.conclude(one.combined(one.examples(answer)))["metrics"] == {}


def test_one_image_is_compared_with_nothing() -> None:
    one = task()
    found = compared(one, batches(1, n=1))
    assert not any(found[name].any() for name in PAIRS)
    assert one.conclude(found)["metrics"] == {}
