"""The task of denoising: its bound against NumPy and scipy, its draws, and the images that it makes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor, nn

from src.data.base import Batch, Chance, EvalLoader, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.denoising import DenoisingErrorLoss
from src.losses.diffusion import levels
from src.models.base import DenoisingNetwork
from src.models.unet import UNet
from src.tasks.denoising import DenoisingTask
from src.tasks.diffusion import Diffusion, chain

SHAPE, T = (1, 2, 2), 7
MEAN, STD = 0.3, 0.2
COLUMNS = ("bits_per_dim", "diffusion_bits", "reconstruction_bits", "prior_bits", "noise_mse")


def loss_of(**changes: Any) -> DenoisingErrorLoss:
    keys = {"distance": "mse", "predict": "noise", "weight": "simple", "gamma": 5.0, "delta": 1.0}
    return DenoisingErrorLoss(**keys | changes)


class Finder(DenoisingNetwork):
    """Finds the same image in every x, tanh(w x + time) / 2, and says it as ``predict`` wants."""

    inputs = "image"

    def __init__(self, predict: str, steps: int) -> None:
        super().__init__()
        self.predict, self.diffusion = predict, Diffusion(steps)
        self.w = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def found(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.tanh(self.w * x + time.view(-1, 1, 1, 1)) / 2

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        x0 = self.found(inputs, time)
        snr = self.diffusion.snr[(time * self.diffusion.steps).round().long()].to(inputs)
        alpha, sigma = levels(snr, inputs)
        noise = (inputs - alpha * x0) / sigma
        return {"noise": noise, "x0": x0, "v": alpha * noise - sigma * x0}[self.predict]


def spec_of(*shape: int, kind: str = "image") -> Spec:
    return Spec(kind, shape, ("a", "b"), (5, 5), (MEAN,) * shape[0], (STD,) * shape[0])


def task_of(predict: str = "noise", loss: nn.Module | None = None, **changes: Any) -> DenoisingTask:
    keys = {"steps": T, "val_steps": 3, "test_steps": T, "sampling_steps": 3} | changes
    model = keys.pop("model", None) or Finder(predict, keys["steps"])
    spec = keys.pop("spec", spec_of(*SHAPE))
    return DenoisingTask(model=model, loss=loss or loss_of(predict=predict), spec=spec, **keys)


def pixels(n: int = 6) -> Tensor:
    """(n, 1, 2, 2) values from 0 to 255, both ends among them."""
    levels = torch.randint(256, (n, *SHAPE), generator=torch.Generator().manual_seed(0))
    levels[0, 0, 0] = torch.tensor([0, 255])
    return levels


def batch_of(levels: Tensor, split: str = "test", number: int = 0) -> Batch:
    x = (levels.double() / 255 - MEAN) / STD
    return Batch(x, torch.arange(len(x)) % 2, Chance(split, number, size=len(x)))


def measured(task: DenoisingTask, batch: Batch) -> dict[str, Tensor]:
    task.eval()
    with torch.no_grad():
        return task.examples(task.look(batch)[1])


# ---- the bound ------------------------------------------------------------------------------------------------------


def cosine(steps: int) -> np.ndarray:
    """beta_1 ... beta_T, by the loop of improved-diffusion's betas_for_alpha_bar."""

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), 0.999) for i in range(steps)])


@pytest.mark.parametrize("steps", [2, 7, 200])
def test_levels_of_noise(steps: int) -> None:
    diffusion, beta = Diffusion(steps), cosine(steps)
    kept = np.cumprod(1 - beta)
    np.testing.assert_allclose(diffusion.alpha[1:].numpy() ** 2, kept, rtol=1e-9)
    np.testing.assert_allclose(diffusion.snr[1:].numpy(), kept / (1 - kept), rtol=1e-9)
    assert (diffusion.alpha[0], diffusion.sigma[0], diffusion.snr[0]) == (1, 0, math.inf)
    assert diffusion.snr[-1] > 0  # the noise still says the image


def bound_in_numpy(model: Finder, levels: np.ndarray, noises: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Image by image, step by step, from the Gaussians themselves: bits a pixel."""
    beta = cosine(steps)
    kept = np.cumprod(1 - beta)
    before = np.append(1.0, kept[:-1])
    variance = beta * (1 - before) / (1 - kept)  # of q(x_{t-1} | x_t, x0)
    total = {"diffusion_bits": [], "reconstruction_bits": [], "prior_bits": []}
    for x0, noise in zip(2 * levels / 255 - 1, noises, strict=True):
        kl = 0.0
        for t in range(1, steps + 1):
            i = t - 1
            x = np.sqrt(kept[i]) * x0 + np.sqrt(1 - kept[i]) * noise[i]
            found = np.clip(np.tanh(model.w.item() * x + t / steps) / 2, -1, 1)
            if t == 1:
                sd = np.sqrt(variance[1])
                upper = np.where(x0 > 0.999, np.inf, x0 + 1 / 255)
                lower = np.where(x0 < -0.999, -np.inf, x0 - 1 / 255)
                mass = np.where(
                    lower > found,
                    norm.sf(lower, found, sd) - norm.sf(upper, found, sd),
                    norm.cdf(upper, found, sd) - norm.cdf(lower, found, sd),
                )
                total["reconstruction_bits"].append(-np.log2(mass).mean())
                continue
            share = np.sqrt(before[i]) * beta[i] / (1 - kept[i])  # of x0 in the mean of q(x_{t-1} | x_t, x0)
            rest = np.sqrt(1 - beta[i]) * (1 - before[i]) / (1 - kept[i])
            gap = (share * x0 + rest * x) - (share * found + rest * x)
            kl += (gap**2 / (2 * variance[i])).mean() / math.log(2)
        total["diffusion_bits"].append(kl)
        end = (kept[-1] * x0**2 + (1 - kept[-1]) - 1 - np.log(1 - kept[-1])) / 2
        total["prior_bits"].append(end.mean() / math.log(2))
    return {name: np.array(values) for name, values in total.items()}


@pytest.mark.parametrize("predict", ["noise", "x0", "v"])
def test_the_bound_is_that_of_numpy(predict: str) -> None:
    """All steps, with the same noise, in float64; networks that find the same image have the same bound."""
    task, batch = task_of(predict), batch_of(pixels())
    found = measured(task, batch)
    noises = np.stack([batch.chance.normal(f"noise {k}", *SHAPE).double().numpy() for k in range(T)], 1)
    expected = bound_in_numpy(task.model, pixels().double().numpy(), noises, T)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-7, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found["bits_per_dim"].numpy(), sum(expected.values()), rtol=1e-7)


def test_the_probabilities_of_a_pixel() -> None:
    """Each is an integral over what is nearer to this value than to another, and all of them sum to 1."""
    diffusion = Diffusion(200)
    sd = math.sqrt(diffusion.variance)
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean in (-1.0, -0.987, 0.0, 0.31, 1.0):
        images, means = values.view(-1, 1), torch.full((256, 1), mean, dtype=torch.float64)
        nats = diffusion.decoded(images, means)
        assert nats.neg().exp().sum().item() == pytest.approx(1, abs=1e-12)
        for k in (0, 1, 127, 164, 254, 255):
            low = -math.inf if k == 0 else values[k].item() - 1 / 255
            high = math.inf if k == 255 else values[k].item() + 1 / 255
            mass, _ = quad(norm.pdf, (low - mean) / sd, (high - mean) / sd)
            if mass > 1e-12:
                assert nats[k].item() == pytest.approx(-math.log(mass), rel=1e-6)
    far = diffusion.decoded(torch.ones(1, 1), -torch.ones(1, 1))  # 162 standard deviations
    assert far.item() == pytest.approx(-norm.logsf((2 - 1 / 255) / sd), rel=1e-9)


def test_a_network_that_knows_the_image_pays_for_the_decoder_alone() -> None:
    class Knows(Finder):
        def found(self, x: Tensor, time: Tensor) -> Tensor:
            return (2 * pixels().to(x) / 255 - 1) + 0 * self.w

    found = measured(task_of("x0", model=Knows("x0", T)), batch_of(pixels()))
    assert found["diffusion_bits"].abs().max() < 1e-12
    middle = 2 * norm.cdf(1 / 255 / math.sqrt(Diffusion(T).variance)) - 1  # of the value at the mean itself
    inner = ((pixels() > 0) & (pixels() < 255)).flatten(1).all(1)
    np.testing.assert_allclose(found["reconstruction_bits"][inner].numpy(), -math.log2(middle), rtol=1e-9)


def test_the_squared_error_weighed_by_vlb_is_the_bound() -> None:
    """Its mean over time steps: the KL terms, in nats a pixel, and the Gaussian of the decoder without its constant."""
    loss = loss_of(predict="v", weight="vlb")
    task = task_of("v", loss)
    terms, answer = task.eval().look(batch_of(pixels()))
    given = task._noisy(batch_of(pixels()), torch.ones(6, dtype=torch.long), "noise 0")
    x = levels(given["snr"], given["x0"])[0] * given["x0"] + levels(given["snr"], given["x0"])[1] * given["noise"]
    error = given["x0"] - task.model.found(x, given["time"])
    first = (error**2).flatten(1).mean(1) / (2 * task.diffusion.variance)
    expected = answer["diffusion_bits"] * math.log(2) + first
    torch.testing.assert_close(terms["loss"], expected.detach(), rtol=1e-6, atol=0)


# ---- what is looked at ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 7, 200, 1000])
def test_looks_stand_for_all_steps(steps: int) -> None:
    for looks in {2, 3, min(20, steps), steps}:
        if looks <= steps:
            lengths = task_of(steps=steps, val_steps=2, test_steps=looks, sampling_steps=1)._lengths("test")
            assert (len(lengths), sum(lengths), lengths[0]) == (looks, steps, 1)
            assert lengths == sorted(lengths) and min(lengths) == 1
            assert looks < steps or {*lengths} == {1}


def test_fewer_looks_are_unbiased() -> None:
    """The mean over 20,000 images, all alike, is the bound of all steps, within five standard errors; and so is what
    the steps that were drawn are: one of each part, each as often as another."""
    levels_ = pixels(1).expand(20_000, *SHAPE)
    batch = batch_of(levels_)
    whole = measured(task_of(test_steps=T), batch)
    part = measured(task_of(test_steps=4), batch)
    assert task_of(test_steps=4)._lengths("test") == [1, 1, 2, 3]
    for name in COLUMNS:
        error = (whole[name].std() ** 2 + part[name].std() ** 2).sqrt().item() / math.sqrt(20_000)
        assert part[name].mean().item() == pytest.approx(whole[name].mean().item(), abs=5 * error + 1e-12), name
    assert torch.equal(whole["reconstruction_bits"], part["reconstruction_bits"])


def test_what_is_drawn() -> None:
    """By split and batch in evaluation, whatever else is drawn; by seed and step in training, however it is cut."""
    batch = batch_of(pixels())
    first = measured(task_of(), batch)
    torch.rand(5)
    for name, value in measured(task_of(), batch).items():
        assert torch.equal(value, first[name]), name
    other = measured(task_of(), batch_of(pixels(), number=1))
    assert not torch.equal(other["diffusion_bits"], first["diffusion_bits"])
    task = task_of(steps=200, val_steps=2, test_steps=2).train()
    x = batch_of(pixels(60)).inputs
    whole = task.prepare(Batch(x, torch.zeros(60), Chance(3, 7, size=60)))
    part = task.prepare(Batch(x[1::3], torch.zeros(20), Chance(3, 7, size=60, rows=slice(1, 60, 3))))
    for name, value in part.items():
        assert torch.equal(value, whole[name][1::3]), name
    assert not torch.equal(task.prepare(Batch(x, torch.zeros(60), Chance(3, 8, size=60)))["time"], whole["time"])
    steps = (whole["time"] * 200).round()
    assert (steps >= 1).all() and (steps <= 200).all()
    assert ((whole["time"] * 60).ceil() - torch.arange(1, 61)).abs().max() <= 1  # one in each sixtieth of time


def test_every_time_step_is_drawn_as_often() -> None:
    """Over 2,000 steps of 8 images, by a chi-squared test at 1e-6."""
    task = task_of()
    drawn = torch.cat([Chance(0, step, size=8).stratified("time") for step in range(2000)])
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = torch.bincount((drawn * task.diffusion.steps).long(), minlength=T).double()
    assert ((counts - 16_000 / T) ** 2 / (16_000 / T)).sum() < 37.8  # chi-squared with 6 degrees of freedom


def test_pixels_come_back_exactly() -> None:
    levels_ = torch.arange(256).view(-1, 1, 1, 1).expand(-1, *SHAPE)
    x = ((levels_.float() / 255) - MEAN) / STD
    assert torch.equal(task_of()._scaled(x), levels_.float() / 127.5 - 1)


# ---- metrics, images, and what is refused ---------------------------------------------------------------------------


def test_metrics_of_a_split_are_means_over_its_examples() -> None:
    task = task_of(spec=spec_of(*SHAPE)).eval()
    found = []
    with torch.no_grad():
        for number, part in enumerate((pixels(5), pixels(9))):
            terms, answer = task.look(batch_of(part, "val", number))
            task.score(task.val_scores, terms, answer)
            found.append(task.examples(answer))
    metrics = task.val_scores.compute()
    joined = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    assert metrics.keys() == {"loss", *COLUMNS} == {"loss", *(column.name for column in task.family.columns[:5])}
    for name in COLUMNS:
        assert metrics[name] == pytest.approx(joined[name].mean().item(), rel=1e-12)
        assert joined[name].dtype == torch.float64
    terms, answer = task.train().judge(
        task.prepare(Batch(batch_of(pixels()).inputs, torch.zeros(6), Chance(0, 0, size=6)))
    )
    task.score(task.train_scores, terms, answer)
    assert list(task.train_scores.compute()) == ["loss"]


def test_the_loss_by_time() -> None:
    """Means over the steps of each part; times their lengths they are the metrics."""
    task = task_of(steps=60, val_steps=2, test_steps=50, sampling_steps=4).eval()
    with torch.no_grad():
        terms, answer = task.look(batch_of(pixels()))
    examples = task.examples(answer)
    times = task.conclude(examples)["times"]
    lengths = np.diff([0, *times["until"]])
    assert len(lengths) == 20 and times["until"][-1] == 60
    assert (lengths * times["loss"]).sum() / 60 == pytest.approx(terms["loss"].mean().item())
    assert (lengths * times["noise_mse"]).sum() / 60 == pytest.approx(examples["noise_mse"].mean().item())
    bits = examples["diffusion_bits"] + examples["reconstruction_bits"]
    assert sum(times["bits"]) == pytest.approx(bits.mean().item())
    loader = EvalLoader(lambda index: (batch_of(pixels()).inputs, torch.zeros(6)), range(1), "test")
    result = {"times": times}
    assert [name for name, figure in task.pictures("a run\non digits", result, examples, loader) if figure.axes] == [
        "times",
        "chain",
    ]


def test_made_images_are_a_function_of_their_noise() -> None:
    task = task_of("v", steps=60, val_steps=2, test_steps=2, sampling_steps=50)
    images = task.generate(20, seed=0)
    assert images.shape == (20, *SHAPE) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(task.generate(20, seed=0), images) and torch.equal(task.generate(3, seed=0), images[:3])
    assert not torch.equal(task.generate(20, seed=1), images)


@pytest.mark.parametrize("predict", ["noise", "x0", "v"])
def test_a_perfect_network_makes_the_data(predict: str) -> None:
    """Images that are all one image: the posterior mean is that image, whatever the noise, and so is what is made.

    Also with noise, whose prediction says next to nothing of the image at the last step: alpha is 2.5e-4 there.
    """
    target = torch.linspace(-1, 1, 4, dtype=torch.float64).view(SHAPE)

    class One(Finder):
        def found(self, x: Tensor, time: Tensor) -> Tensor:
            return target.to(x).expand_as(x) + 0 * self.w

    task = task_of(predict, model=One(predict, 200), steps=200, val_steps=2, test_steps=2, sampling_steps=50)
    made = task.generate(5, seed=0)
    torch.testing.assert_close(made, ((target + 1) / 2).float().expand(5, *SHAPE), rtol=0, atol=1e-6)


def test_the_way_back_keeps_a_gaussian() -> None:
    """Pixels from N(0, s^2): the posterior mean is alpha s^2 x / (alpha^2 s^2 + sigma^2), and many small steps of DDIM
    take N(0, 1) to N(0, s^2): x is scaled by s."""
    s, diffusion = 0.25, Diffusion(1000)

    def mean(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = diffusion.alpha[t][:, None], diffusion.sigma[t][:, None]
        return alpha * s**2 * x / (alpha**2 * s**2 + sigma**2)

    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    times, images = zip(*chain(diffusion, mean, noise, 1000), strict=True)
    assert times == tuple(range(1000, -1, -1))
    torch.testing.assert_close(images[-1], s * noise, rtol=0.02, atol=0)
    assert Diffusion(200).times(50) == list(range(200, -1, -4))


def test_a_wild_prediction_at_the_last_step_does_no_harm() -> None:
    """What is off there by 0.1 of the noise is off by 400 of the image. Clipped, it moves what is made by little."""

    class Off(Finder):
        def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
            return super().forward(inputs, time) + 0.1 * (time == 1).view(-1, 1, 1, 1)

    made = []
    for model in (Finder("noise", 200), Off("noise", 200)):
        task = task_of(model=model, steps=200, val_steps=2, test_steps=2, sampling_steps=50)
        made.append(task.generate(5, seed=0))
    assert (made[0] - made[1]).abs().max() < 0.02


def test_rows_that_only_keep_company_are_not_measured() -> None:
    """A rank without examples of its own computes along with the others, on a batch without targets."""
    task = task_of().eval()
    with torch.no_grad():
        terms, answer = task.look(batch_of(pixels())._replace(targets=torch.zeros(0)))
    assert all(len(value) == 0 for value in (*terms.values(), *task.examples(answer).values()))


@pytest.mark.slow
def test_compiled_steps_are_the_same() -> None:
    """Each a whole graph: of training, and of each look of an evaluation."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = UNet(input_shape=(1, 4, 4), patch=1, widths=[8, 8])
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.2)
    task = task_of("v", model=model, spec=spec_of(1, 4, 4), test_steps=3).eval()
    levels_ = torch.randint(256, (6, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    batch = batch_of(levels_)._replace(inputs=(levels_ / 255 - MEAN) / STD)
    expected = measured(task, batch)
    trained = task.judge(task.prepare(batch))[0]["loss"]
    for name in ("examine", "judge"):
        setattr(task, name, torch.compile(getattr(task, name), backend="aot_eager", fullgraph=True))
    for name, value in measured(task, batch).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(task.judge(task.prepare(batch))[0]["loss"], trained)


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        *(("steps", value, ">= 2") for value in (0, 1, -1, 2.5, "many", None, True)),
        *(("val_steps", value, f">= 2 and <= {T}") for value in (1, T + 1, 2.5, None)),
        *(("test_steps", value, f">= 2 and <= {T}") for value in (1, T + 1, "all")),
        *(("sampling_steps", value, f">= 1 and <= {T}") for value in (0, T + 1, None)),
    ],
)
def test_bad_number_of_steps(name: str, value: object, bounds: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be an integer {bounds}.*, got "):
        task_of(model=Finder("noise", T), **{name: value})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="CrossEntropyLoss is no DenoisingLoss, which this task minimises"):
        task_of(loss=CrossEntropyLoss(class_weights=None, effective_number_beta=None, class_counts=None))
    with pytest.raises(ValueError, match="the data are of the kind table, not image"):
        task_of(spec=spec_of(4, kind="table"))
