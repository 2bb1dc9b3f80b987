"""Learning-rate schedules: the factor on the learning rate as a function of the step alone.

``Schedule(steps)`` is called with the number of the optimizer step, counted from 0. Warm-up is linear and reaches the
full rate at step ``warmup_steps``: (step + 1) / (warmup_steps + 1), as in nanoGPT.
"""

import math

from ..checks import choice, integer, number


class Schedule:
    """Warm-up, then ``after_warmup``. ``total`` is the number of optimizer steps of the run."""

    def __init__(self, *, total: int, warmup_steps: int) -> None:
        self.total = total
        self.warmup_steps = integer("warmup_steps", warmup_steps, low=0)
        if self.warmup_steps > total:
            raise ValueError(f"warmup_steps must be an integer <= {total}, the steps of this run, got {warmup_steps}")

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        return self.after_warmup((step - self.warmup_steps) / max(1, self.total - self.warmup_steps))

    def after_warmup(self, progress: float) -> float:
        """The factor at ``progress`` in [0, 1] of what follows the warm-up."""
        raise NotImplementedError


class Constant(Schedule):
    """1 all the way."""

    def after_warmup(self, progress: float) -> float:
        return 1.0


class Cosine(Schedule):
    """Half a cosine from 1 to ``final_factor``. Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5."""

    def __init__(self, *, total: int, warmup_steps: int, final_factor: float) -> None:
        super().__init__(total=total, warmup_steps=warmup_steps)
        self.final_factor = number("final_factor", final_factor, low=0, high=1)

    def after_warmup(self, progress: float) -> float:
        return self.final_factor + (1 - self.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))


class Step(Schedule):
    """1, times ``gamma`` at each of the ``milestones``, given as shares of the run after warm-up.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2 (a tenth at 1/2 and at 3/4 of training).
    """

    def __init__(self, *, total: int, warmup_steps: int, milestones: list[float], gamma: float) -> None:
        super().__init__(total=total, warmup_steps=warmup_steps)
        self.gamma = number("gamma", gamma, above=0, high=1)
        if isinstance(milestones, str) or not hasattr(milestones, "__iter__"):
            raise ValueError(f"milestones must be a list of numbers in [0, 1], got {milestones!r}")
        self.milestones = [number("milestones", value, low=0, high=1) for value in milestones]

    def after_warmup(self, progress: float) -> float:
        return self.gamma ** sum(progress >= milestone for milestone in self.milestones)


class WarmupStableDecay(Schedule):
    """1, then over the last ``decay`` of the run after warm-up (a share) down to ``final_factor``.

    At the share x of the decay, the way down is 1 - sqrt(x) for ``shape`` one_minus_sqrt, 1 - x for linear.
    Sources: Hu et al. 2024, arXiv:2404.06395, section 4; Haegele et al. 2024, arXiv:2405.18392, section 3 (1 - sqrt).
    """

    def __init__(self, *, total: int, warmup_steps: int, decay: float, shape: str, final_factor: float) -> None:
        super().__init__(total=total, warmup_steps=warmup_steps)
        self.decay = number("decay", decay, low=0, high=1)
        self.shape = choice("shape", shape, ("one_minus_sqrt", "linear"))
        self.final_factor = number("final_factor", final_factor, low=0, high=1)

    def after_warmup(self, progress: float) -> float:
        if progress <= 1 - self.decay:
            return 1.0
        share = (progress - (1 - self.decay)) / self.decay
        way = 1 - (math.sqrt(share) if self.shape == "one_minus_sqrt" else share)
        return self.final_factor + (1 - self.final_factor) * way
