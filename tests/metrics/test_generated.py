"""Comparisons of two sets of images: against loops, SciPy, and what is known of them."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from src.data.mnist import MNIST
from src.metrics import generated
from src.metrics.generated import coverage, frechet_distance, kernel_distance, precision
from tests.data.settings import examples, image_settings


def drawn(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.parametrize("held", [2**24, 7])
def test_nearest_neighbours_are_those_of_scikit_learn(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "AT_ONCE", held)
    real, made = drawn(40), drawn(30, shift=0.7, seed=1)
    radius = NearestNeighbors(n_neighbors=5).fit(real).kneighbors()[0][:, -1]  # without the point itself
    between = np.linalg.norm(real.numpy()[:, None] - made.numpy()[None], axis=-1)  # (real, made)
    assert coverage(real, made).tolist() == (between.min(1) <= radius).tolist()
    assert precision(real, made).tolist() == (between <= radius[:, None]).any(0).tolist()
    assert 0 < coverage(real, made).double().mean() < 1 and 0 < precision(real, made).double().mean() < 1


def test_coverage_of_as_many_draws_of_the_same_is_one_less_two_to_the_minus_k() -> None:
    """The nearest of 2k + ... points is as often real as made: all k nearest are real with probability 2^-k."""
    for k in (1, 3):
        found = [coverage(drawn(400, seed=2 * i), drawn(400, seed=2 * i + 1), k).double().mean() for i in range(10)]
        assert torch.stack(found).mean().item() == pytest.approx(1 - 2**-k, abs=0.02)


def test_copies_are_covered_by_themselves_only() -> None:
    """Ten images, forty times each: almost all real ones have nearer real neighbours. None is far from a real one."""
    real = drawn(400)
    copies = real[:10].repeat(40, 1)
    assert coverage(real, copies).double().mean() < 0.2 and precision(real, copies).all()


def test_kernel_distance_by_loops() -> None:
    real, made = drawn(7).numpy(), drawn(6, shift=0.5, seed=1).numpy()
    scale = math.sqrt((real**2).mean())

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / scale**2 / 5 + 1) ** 3)

    own = np.mean([k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j])
    own += np.mean([k(x, y) for i, x in enumerate(made) for j, y in enumerate(made) if i != j])
    expected = own - 2 * np.mean([k(x, y) for x in real for y in made])
    assert kernel_distance(torch.from_numpy(real), torch.from_numpy(made)) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_has_no_bias_and_no_unit() -> None:
    values = [kernel_distance(drawn(50, seed=2 * i), drawn(50, seed=2 * i + 1)) for i in range(200)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error and min(values) < 0
    a, b = drawn(20), drawn(20, shift=1.0, seed=1)
    assert kernel_distance(a, b) > 0.1 and kernel_distance(9 * a, 9 * b) == pytest.approx(kernel_distance(a, b))


def test_frechet_distance_is_scipys() -> None:
    real, made = drawn(60), drawn(50, shift=0.4, seed=1) * torch.arange(1.0, 6.0)
    a, b = np.cov(real.numpy().T), np.cov(made.numpy().T)
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(real, made) == pytest.approx(expected.item(), rel=1e-9)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    few = drawn(4)  # fewer than there are features
    assert math.isfinite(frechet_distance(few, drawn(4, seed=1)))


def blurred(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1)), 3, 1)


@pytest.mark.slow
def test_what_each_sees_of_known_distortions(real_data: Path) -> None:
    """Real digits in the place of made ones, and a judge of two convolutions: docs/gan.md has the table.

    Coverage sees all that is done to them but blur, which the kernel distance sees.
    """
    data = MNIST(root=str(real_data), **image_settings())
    data.load()
    images, labels = examples(data, "train")
    x = images.float() / 255
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, labels = x[order], labels[order]
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, 2, 1), torch.nn.ReLU()]
    body = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(32 * 49, 64), torch.nn.ReLU())
    head = torch.nn.Linear(64, 10)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 1e-3)
    for start in range(0, 20_000, 100):
        rows = slice(start, start + 100)
        loss = torch.nn.functional.cross_entropy(head(body(x[rows])), labels[rows].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    n = 1000
    judged, labels = x[20_000:], labels[20_000:]
    pool, classes = judged[n:], labels[n:]
    noise = torch.randn(pool[:n].shape, generator=torch.Generator().manual_seed(1))
    ones = torch.cat([pool[classes == 1][: n // 2], pool[classes != 1][: n // 2]])
    made: dict[str, Tensor] = {
        "real": pool[:n],
        "no nines": pool[classes != 9][:n],
        "half are ones": ones,
        "noise": pool[:n] + 0.5 * noise,
        "blur": blurred(pool[:n]),
        "copies": pool[: n // 10].repeat(10, 1, 1, 1),
    }
    found: dict[str, list[float]] = {}
    with torch.no_grad():
        real = body(judged[:n])
        for name, images in made.items():
            features = body(images)
            kinds: list[Callable[[Tensor, Tensor], Tensor]] = [coverage, precision]
            found[name] = [kind(real, features).double().mean().item() for kind in kinds]
            found[name] += [kernel_distance(real, features), frechet_distance(real, features)]
    print("\n".join(f"{name:15} " + " ".join(f"{value:8.4f}" for value in values) for name, values in found.items()))
    floor = found["real"]
    assert floor[0] > 0.93 and abs(floor[2]) < 0.01
    assert all(found[name][0] < floor[0] - 0.03 for name in ("no nines", "half are ones", "noise", "copies"))
    assert found["copies"][0] < 0.6 and found["copies"][1] > floor[1] - 0.1
    assert found["blur"][1] > floor[1] - 0.05 and found["no nines"][1] > floor[1] - 0.05
    assert all(found[name][2] > 4 * abs(floor[2]) for name in ("half are ones", "noise", "blur"))
