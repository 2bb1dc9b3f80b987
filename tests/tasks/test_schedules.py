"""Learning-rate schedules against closed forms, nanoGPT's function and torch's own schedulers."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch.optim import lr_scheduler

from src.tasks.schedules import Constant, Cosine, Schedule, Step

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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Constant(total=5, warmup_steps=6),
            "warmup_steps must be an integer <= 5, the steps of this run",
        ),
        (lambda: Constant(total=5, warmup_steps=-1), "warmup_steps must be an integer >= 0, got -1"),
        (lambda: Cosine(total=5, warmup_steps=0, final_factor=2), "final_factor must be a number >= 0 and <= 1, got 2"),
        (lambda: Step(total=5, warmup_steps=0, milestones=[0.5], gamma=0), "gamma must be a number > 0 and <= 1"),
        (lambda: Step(total=5, warmup_steps=0, milestones=[2], gamma=0.1), "milestones must be a number >= 0 and <= 1"),
        (lambda: Step(total=5, warmup_steps=0, milestones="a", gamma=0.1), "milestones must be a list"),  # type: ignore[arg-type]
        (lambda: Step(total=5, warmup_steps=0, milestones=0.5, gamma=0.1), "milestones must be a list"),  # type: ignore[arg-type]
    ],
)
def test_bad_argument(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
