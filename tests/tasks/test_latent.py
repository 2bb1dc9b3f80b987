"""The task of latents: its estimate of the likelihood against models in which that is known, and its draws."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor, nn

from src.data.base import Batch, Chance, EvalLoader, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.elbo import NegativeELBOLoss
from src.losses.iwae import ImportanceWeightedLoss
from src.losses.latent import divergence
from src.metrics.families import LIKENESS
from src.models.base import LatentNetwork
from src.models.vae import VAE
from src.tasks import latent
from src.tasks.latent import LatentTask

ELBO = NegativeELBOLoss(reconstruction="bernoulli", beta=1.0, free_bits=0.0)
DENSITY = NegativeELBOLoss(reconstruction="gaussian", beta=1.0, free_bits=0.0)


class Linear(LatentNetwork):
    """x = w z + noise, one pixel and one latent, in float64; q(z | x) = N(a x, e^c), exact if ``exact``."""

    inputs, latents = "image", 1

    def __init__(self, w: float, exact: bool) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))
        self.a, self.c = (w / (1 + w**2), -math.log(1 + w**2)) if exact else (0.2, -0.5)

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.a * inputs.flatten(1)
        return mu, torch.full_like(mu, self.c)

    def decode(self, z: Tensor) -> Tensor:
        return (self.w * z)[..., None, None]


def spec_of(*shape: int) -> Spec:
    return Spec("image", shape, ("a", "b"), (5, 5), (0.0,) * shape[0], (1.0,) * shape[0])


def task_of(model: nn.Module, loss: nn.Module = ELBO, shape: tuple[int, ...] = (1, 1, 1), **changes: Any) -> LatentTask:
    samples = {"val_samples": 8, "test_samples": 16} | changes
    return LatentTask(model=model, loss=loss, spec=spec_of(*shape), **samples)


def batch_of(x: Tensor, split: str = "test", number: int = 0) -> Batch:
    return Batch(x, torch.arange(len(x)) % 2, Chance(split, number, size=len(x)))


def measured(task: LatentTask, batch: Batch) -> dict[str, Tensor]:
    task.eval()
    with torch.no_grad():
        return task.examples(task.examine(task.prepare(batch))[1])


def numbers(n: int) -> Tensor:
    return torch.randn(n, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("samples", [1, 7])
def test_nll_is_exact_if_the_posterior_is(samples: int) -> None:
    """x ~ N(0, 1 + w^2), whatever was drawn."""
    x = numbers(50)
    found = measured(task_of(Linear(1.7, exact=True), DENSITY, test_samples=samples), batch_of(x))
    expected = -norm.logpdf(x.flatten().numpy(), scale=math.sqrt(1 + 1.7**2))
    np.testing.assert_allclose(found["nll"].numpy(), expected, rtol=1e-10)


def test_nll_goes_to_the_likelihood_and_the_elbo_stays_above() -> None:
    x = numbers(40)
    task = task_of(Linear(1.7, exact=False), DENSITY, test_samples=20_000)
    found = measured(task, batch_of(x))
    expected = -norm.logpdf(x.flatten().numpy(), scale=math.sqrt(1 + 1.7**2))
    np.testing.assert_allclose(found["nll"].numpy(), expected, atol=0.06)
    gap = (found["negative_elbo"] - found["nll"]).numpy()
    mean, variance = 1.7 * x.flatten().numpy() / (1 + 1.7**2), 1 / (1 + 1.7**2)
    s2, m = math.exp(-0.5), 0.2 * x.flatten().numpy()
    kl = 0.5 * (math.log(variance / s2) + (s2 + (m - mean) ** 2) / variance - 1)  # of q from the true posterior
    np.testing.assert_allclose(gap, kl, atol=0.12)
    assert (
        measured(task_of(Linear(1.7, exact=False), DENSITY, test_samples=2), batch_of(x))["nll"].mean()
        > expected.mean()
    )


def test_nll_of_binary_pixels_is_the_integral_over_the_latent() -> None:
    """Three pixels and one latent: p(x) by quadrature. The encoder is broad, or weights would be rare and large."""
    torch.manual_seed(0)
    model = VAE(input_shape=(1, 1, 3), widths=[5], latents=1, activation="tanh").double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.8)
    last = model.encoder[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight[1] = 0.0
        last.bias[1] = 1.0  # log sigma^2
    x = torch.tensor([[0, 0, 0], [1, 0, 1], [1, 1, 1]], dtype=torch.float64)[:, None, None]
    found = measured(task_of(model, shape=(1, 1, 3), test_samples=40_000), batch_of(x))

    def joint(z: float, image: Tensor) -> float:
        with torch.no_grad():
            p = model.decode(torch.tensor([[z]], dtype=torch.float64)).sigmoid()[0]
        return float(torch.where(image == 1, p, 1 - p).prod()) * norm.pdf(z)

    expected = [-math.log(quad(joint, -8, 8, args=(image,))[0]) for image in x]
    np.testing.assert_allclose(found["nll"].numpy(), expected, atol=0.03)


def model_of(dtype: torch.dtype = torch.float32) -> VAE:
    torch.manual_seed(0)
    return VAE(input_shape=(1, 4, 4), widths=[8], latents=3, activation="relu").to(dtype)


def images(n: int = 12) -> Tensor:
    return torch.randint(2, (n, 1, 4, 4), generator=torch.Generator().manual_seed(1)).float()


def test_columns_are_those_of_the_loss_at_beta_1() -> None:
    """Whatever the loss weighs them by: beta = 4 and free bits change no column."""
    batch, first = batch_of(images()), None
    for loss in (ELBO, NegativeELBOLoss(reconstruction="bernoulli", beta=4.0, free_bits=0.3)):
        found = measured(task_of(model_of(), loss, shape=(1, 4, 4)), batch)
        first = first or found
        for name, value in found.items():
            assert torch.equal(value, first[name]), name
    assert first is not None
    mu, log_var = (first[name].double() for name in ("mu", "log_var"))
    torch.testing.assert_close(first["kl"], divergence(mu, log_var).sum(-1))
    torch.testing.assert_close(first["negative_elbo"], first["reconstruction"] + first["kl"])
    assert {first[name].dtype for name in ("nll", "kl", "reconstruction", "negative_elbo")} == {torch.float64}
    assert all(len(value) == 12 for value in first.values())


@pytest.mark.parametrize("at_once", [1, 20, 10**6])
def test_parts_of_any_size_give_the_same(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task, batch = task_of(model_of(torch.float64), shape=(1, 4, 4)), batch_of(images().double())
    expected = measured(task, batch)
    monkeypatch.setattr(latent, "AT_ONCE", at_once)
    for name, value in measured(task, batch).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)


def test_what_is_drawn() -> None:
    """By split and batch in evaluation, val_samples or test_samples; by step in training, as the loss wants."""
    iwae = ImportanceWeightedLoss(reconstruction="bernoulli", k=9)
    task = task_of(model_of(), iwae, shape=(1, 4, 4)).eval()
    for split, judged in (("val", 8), ("test", 16), ("train", 8)):  # the last where a few batches are learnt by heart
        given = task.prepare(batch_of(images(), split))
        assert (given["noise"].shape, given["judged"].shape) == ((12, 9, 3), (12, judged, 3))
        assert torch.equal(given["noise"], given["judged"][:, :9]) == (judged > 9)
    one, other = (task_of(model_of(), shape=(1, 4, 4)).eval() for _ in range(2))
    first = one.prepare(batch_of(images()))["judged"]
    torch.rand(5)
    assert torch.equal(other.prepare(batch_of(images()))["judged"], first)
    for split, number in (("val", 0), ("test", 1)):
        assert not torch.equal(one.prepare(batch_of(images(), split, number))["judged"][:, :8], first[:, :8])
    task.train()
    whole = task.prepare(Batch(images(), torch.zeros(12), Chance(3, 7, size=12)))
    assert whole.keys() == {"inputs", "targets", "noise"} and whole["noise"].shape == (12, 9, 3)
    part = task.prepare(Batch(images(4), torch.zeros(4), Chance(3, 7, size=12, rows=slice(1, 12, 3))))
    assert torch.equal(part["noise"], whole["noise"][1::3])


@pytest.mark.parametrize("k", [1, 5, 40])
def test_all_losses_are_judged_by_the_same_latents(k: int) -> None:
    """Also one that draws more of them itself, whose estimate would be better otherwise."""
    batch = batch_of(images())
    expected = measured(task_of(model_of(), shape=(1, 4, 4)), batch)
    task = task_of(model_of(), ImportanceWeightedLoss(reconstruction="bernoulli", k=k), shape=(1, 4, 4))
    for name, value in measured(task, batch).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-5)


def test_in_training_the_loss_is_minimised_and_no_likelihood_estimated() -> None:
    task = task_of(model_of(), NegativeELBOLoss(reconstruction="bernoulli", beta=4.0, free_bits=0.0), shape=(1, 4, 4))
    terms, answer = task.train().judge(task.prepare(Batch(images(), torch.zeros(12), Chance(3, 7, size=12))))
    columns = task.examples(answer)
    assert "nll" not in columns
    torch.testing.assert_close(terms["loss"].double(), columns["reconstruction"] + 4 * columns["kl"], rtol=1e-5, atol=0)
    task.score(task.train_scores, terms, answer)
    assert list(task.train_scores.compute()) == ["loss", "reconstruction", "kl", "negative_elbo", "active_units"]


def test_metrics_of_a_split_are_means_over_its_examples() -> None:
    task = task_of(model_of(), shape=(1, 4, 4)).eval()
    parts = [images()[:5], images()[5:]]
    found: list[dict[str, Tensor]] = []
    with torch.no_grad():
        for number, x in enumerate(parts):
            terms, answer = task.examine(task.prepare(batch_of(x, "val", number)))
            task.score(task.val_scores, terms, answer)
            found.append(task.examples(answer))
    metrics = task.val_scores.compute()
    joined = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    for name in ("nll", "kl", "reconstruction", "negative_elbo"):
        assert metrics[name] == pytest.approx(joined[name].double().mean().item(), rel=1e-12)
    assert metrics["bits_per_dim"] == pytest.approx(joined["nll"].mean().item() / math.log(2) / 16)
    active = (joined["mu"].double().numpy().var(0) > 0.01).sum()
    assert metrics["active_units"] == active
    column = {column.name for column in task.family.columns} - {column.name for column in LIKENESS}  # of a judge
    assert metrics.keys() - {"loss"} == column


def test_a_collapse_is_told() -> None:
    """An encoder that sees nothing: KL 0."""
    for sees in (True, False):
        model = model_of()
        scale = 10.0 if sees else 0.0
        last = model.encoder[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.3) if sees else nn.init.zeros_(last.weight)
        task = task_of(model, shape=(1, 4, 4))
        concluded = task.conclude(measured(task, batch_of(scale * images())))
        assert len(concluded["latents"]["kl"]) == len(concluded["latents"]["variance"]) == 3
        if sees:
            assert concluded["notes"] == []
        else:
            (note,) = concluded["notes"]
            assert note.startswith("posterior collapse: no latent is active, and their KL is 0 nats.")


@pytest.mark.parametrize("size", [2, 3])
def test_pictures(size: int) -> None:
    torch.manual_seed(0)
    model = VAE(input_shape=(1, 4, 4), widths=[8], latents=size, activation="relu")
    task, x = task_of(model, shape=(1, 4, 4)), images(20)
    columns = measured(task, batch_of(x))
    loader = EvalLoader(lambda index: (x, torch.zeros(20)), range(1), "test")
    found: Iterator[Any] = task.pictures("a run\non digits", task.conclude(columns), columns, loader)
    names = [name for name, figure in found if figure.axes]
    assert names == ["reconstructions", "latents", "traversal", *(["map"] if size == 2 else [])]


def test_rows_that_only_keep_company_are_not_measured() -> None:
    """A rank without examples of its own computes along with the others, on a batch without targets."""
    task = task_of(model_of(), shape=(1, 4, 4)).eval()
    given = task.prepare(Batch(images(), torch.zeros(0), Chance("val", 0, size=12)))
    with torch.no_grad():
        terms, answer = task.examine(given)
    assert all(len(value) == 0 for value in (*terms.values(), *task.examples(answer).values()))


def test_compiled_evaluation_is_the_same() -> None:
    torch._dynamo.reset()
    task, batch = task_of(model_of(), shape=(1, 4, 4)).eval(), batch_of(images())
    expected = measured(task, batch)
    task.examine = torch.compile(task.examine, backend="aot_eager")  # type: ignore[method-assign]
    for name, value in measured(task, batch).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["val_samples", "test_samples"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "many", None, True])
def test_bad_number_of_samples(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be an integer >= 1, got "):
        task_of(model_of(), shape=(1, 4, 4), **{name: value})


def test_another_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="CrossEntropyLoss is no LatentLoss, which this task minimises"):
        task_of(model_of(), CrossEntropyLoss())
