"""Learning-rate schedules against closed forms, nanoGPT's function and torch's own schedulers."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch.optim import lr_scheduler

from src.optim.schedules import Constant, Cosine, Schedule, Step, WarmupStableDecay

LENGTHS = [(10, 0), (10, 3), (1, 0), (1, 1), (7, 7), (1000, 100), (1000, 0)]


def factors(schedule: Schedule) -> list[float]:
    return [schedule(step) for step in range(schedule.total)]


def torchs(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], total: int) -> list[float]:
    """The rate at each step when torch's scheduler drives an optimizer of rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warm(optimizer: torch.optim.Optimizer, warmup: int, then: lr_scheduler.LRScheduler) -> lr_scheduler.LRScheduler:
    if not warmup:
        return then
    ramp = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [ramp, then], [warmup])


@pytest.mark.parametrize(("total", "warmup"), LENGTHS)
def test_constant(total: int, warmup: int) -> None:
    expected = [min(1.0, float(Fraction(step + 1, warmup + 1))) for step in range(total)]
    assert factors(Constant(total=total, warmup_steps=warmup)) == pytest.approx(expected, rel=1e-15)


def nanogpt_lr(it: int, learning_rate: float, min_lr: float, warmup_iters: int, lr_decay_iters: int) -> float:
    """get_lr of nanoGPT's train.py."""
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


def test_cosine_is_that_of_nanogpt() -> None:
    schedule = Cosine(total=5000, warmup_steps=100, final_factor=0.1)
    for it in range(5000):
        assert 1e-3 * schedule(it) == pytest.approx(nanogpt_lr(it, 1e-3, 1e-4, 100, 5000), rel=1e-12)


@pytest.mark.parametrize(("total", "warmup"), [pair for pair in LENGTHS if pair[0] <= 1000])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_is_that_of_torch(total: int, warmup: int, final: float) -> None:
    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, max(1, total - warmup), eta_min=final)
        return warm(optimizer, warmup, cosine)

    expected = torchs(make, total)
    assert factors(Cosine(total=total, warmup_steps=warmup, final_factor=final)) == pytest.approx(expected, abs=1e-9)


def test_cosine_starts_at_one_and_would_end_at_the_final_factor() -> None:
    schedule = Cosine(total=100, warmup_steps=20, final_factor=0.25)
    assert schedule(20) == 1
    assert schedule(60) == pytest.approx((1 + 0.25) / 2)
    assert schedule(100) == pytest.approx(0.25)
    assert all(a > b for a, b in zip(factors(schedule)[20:], factors(schedule)[21:], strict=False))


@pytest.mark.parametrize(("total", "warmup"), [pair for pair in LENGTHS if pair[0] <= 1000])
def test_step_is_that_of_torch(total: int, warmup: int) -> None:
    shares = [Fraction(3, 10), Fraction(1, 2), Fraction(3, 4)]
    steps = [math.ceil(share * max(1, total - warmup)) for share in shares]

    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        return warm(optimizer, warmup, lr_scheduler.MultiStepLR(optimizer, steps, gamma=0.1))

    schedule = Step(total=total, warmup_steps=warmup, milestones=[float(share) for share in shares], gamma=0.1)
    assert factors(schedule) == pytest.approx(torchs(make, total), rel=1e-12)


def test_step_is_that_of_the_paper() -> None:
    """He et al. 2016, section 4.2: 64,000 steps, a tenth at 32,000 and at 48,000."""
    schedule = Step(total=64_000, warmup_steps=0, milestones=[0.5, 0.75], gamma=0.1)
    drops = {step: schedule(step) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)}
    assert drops == pytest.approx({0: 1, 31_999: 1, 32_000: 0.1, 47_999: 0.1, 48_000: 0.01, 63_999: 0.01})


def wsd(total: int, decay: float, shape: str = "one_minus_sqrt", final: float = 0.0, warmup: int = 0) -> Schedule:
    return WarmupStableDecay(total=total, warmup_steps=warmup, decay=decay, shape=shape, final_factor=final)


def test_wsd_is_that_of_the_paper() -> None:
    """Haegele et al. 2024, section 3: eta (1 - sqrt((n - (N - N_decay)) / N_decay)) for the last N_decay of N steps."""
    N, N_decay, warm_up = 10_000, 2_000, 300  # noqa: N806  the paper's names
    schedule = wsd(N, N_decay / (N - warm_up), warmup=warm_up)
    for n in range(N):
        if n < warm_up:
            expected = (n + 1) / (warm_up + 1)
        elif n <= N - N_decay:
            expected = 1.0
        else:
            expected = 1 - math.sqrt((n - (N - N_decay)) / N_decay)
        assert schedule(n) == pytest.approx(expected, abs=1e-7), n  # sqrt is steep where the decay begins


def test_wsd_with_a_linear_decay_is_that_of_torch() -> None:
    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        ramp = lr_scheduler.LinearLR(optimizer, start_factor=1 / 11, total_iters=10)
        stable = lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)
        decay = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=25)
        return lr_scheduler.SequentialLR(optimizer, [ramp, stable, decay], [10, 85])

    schedule = wsd(110, 0.25, "linear", final=0.1, warmup=10)
    assert factors(schedule) == pytest.approx(torchs(make, 110), rel=1e-12)


@pytest.mark.parametrize("shape", ["one_minus_sqrt", "linear"])
def test_wsd_at_the_edges(shape: str) -> None:
    assert factors(wsd(50, 0.0, shape)) == [1.0] * 50, "no decay: constant"
    all_the_way = factors(wsd(50, 1.0, shape, final=0.25))
    assert all_the_way[0] == 1 and all(a > b > 0.25 for a, b in itertools.pairwise(all_the_way))
    schedule = wsd(100, 0.2, shape, final=0.25)
    assert schedule(80) == 1 > schedule(81)
    assert schedule(85) == pytest.approx(0.25 + 0.75 * (0.5 if shape == "one_minus_sqrt" else 0.75))  # a quarter of it
    assert schedule(100) == pytest.approx(0.25)
    for total, warmup in LENGTHS:
        assert all(0 < factor <= 1 for factor in factors(wsd(total, 0.3, shape, warmup=warmup)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Constant(total=5, warmup_steps=6),
            "warmup_steps must be an integer <= 5, the steps of this run",
        ),
        (lambda: Constant(total=5, warmup_steps=-1), "warmup_steps must be an integer >= 0, got -1"),
        (lambda: Cosine(total=5, warmup_steps=0, final_factor=2), "final_factor must be a number >= 0 and <= 1, got 2"),
        (lambda: wsd(5, 1.1), "decay must be a number >= 0 and <= 1, got 1.1"),
        (lambda: wsd(5, 0.2, "cosine"), "shape must be one of one_minus_sqrt, linear, got 'cosine'"),
        (lambda: wsd(5, 0.2, final=-1), "final_factor must be a number >= 0 and <= 1, got -1"),
        (lambda: Step(total=5, warmup_steps=0, milestones=[0.5], gamma=0), "gamma must be a number > 0 and <= 1"),
        (lambda: Step(total=5, warmup_steps=0, milestones=[2], gamma=0.1), "milestones must be a number >= 0 and <= 1"),
        (lambda: Step(total=5, warmup_steps=0, milestones="a", gamma=0.1), "milestones must be a list"),  # type: ignore[arg-type]
        (lambda: Step(total=5, warmup_steps=0, milestones=0.5, gamma=0.1), "milestones must be a list"),  # type: ignore[arg-type]
    ],
)
def test_bad_argument(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
