"""How often a report's plans are right where the truth is known: writes the tables of docs/power.md. Minutes of a core.

python docs/power.py 1000 1000     # repetitions, test examples
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.report.power import bounds, needed, power, smallest
from src.report.statistics import contrast, estimate, level, quantile

Floats = NDArray[np.float64]
Draw = Callable[[Generator, tuple[int, ...]], Floats]
ALPHA = 0.05 / 16  # of the last but four of 20 comparisons
SEEDS = (3, 5, 10)
SHARES = {"seeds": (9, 1, 2), "both": (3, 1, 2), "examples": (1, 3, 1)}  # of seeds, examples, rest, at five seeds
WIDTH = 0.01  # the standard deviation of a difference at five seeds


def normal(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape, np.float32)


def skewed(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Skewness 1, mean 0, variance 1."""
    return rng.standard_gamma(4, shape, np.float32) / 2 - 2


def exponential(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Skewness 2, mean 0, variance 1."""
    return rng.standard_exponential(shape, np.float32) - 1


class Ablations:
    """Pairs of losses, drawn anew for each repetition: their difference D and the estimates of A and C.

    Both losses share seeds and examples, which take most of each loss's variance; a seed's own effect, an example's and
    the rest have their shares of that of the difference.
    """

    def __init__(self, draw: Draw, shares: Sequence[float], n: int, examples: int, repetitions: int) -> None:
        rng, total = np.random.default_rng([n, examples]), sum(shares)
        counts = 5, examples, 5 * examples
        seed, example, rest = (WIDTH**2 * share / total * k for share, k in zip(shares, counts, strict=True))
        self.one, self.shared, self.n, self.examples = seed + rest / examples, example / examples, n, examples
        found = []
        for _ in range(repetitions):
            common = draw(rng, (n, 1)) * 0.1 + draw(rng, (1, examples))
            losses = [
                common
                + np.sqrt(seed / 2) * draw(rng, (n, 1))
                + np.sqrt(example / 2) * draw(rng, (1, examples))
                + np.sqrt(rest / 2) * draw(rng, (n, examples))
                for _ in range(2)
            ]
            y = np.concatenate(losses).astype(np.float64)
            runs = np.arange(n)
            means = y.mean(1)
            got = estimate(means[:n] - means[n:], contrast(np.cov(y), runs, runs + n), examples)
            found.append((float(got.value), float(got.seeds), float(got.variance - got.seeds)))
        self.value, self.a, self.c = np.array(found).T

    def half(self) -> Floats:
        """What a difference must exceed to be shown."""
        total = self.a + self.c
        return np.asarray(quantile(ALPHA, self.a / total, self.n - 1, self.examples - 1) * np.sqrt(total))

    def stated(self) -> float:
        """The share of ablations that show a difference of the size that another such ablation stated."""
        from_ = smallest(self.a * self.n, self.c, self.n, self.examples, ALPHA)
        return float((np.abs(np.roll(self.value, 1) + from_) > np.roll(self.half(), 1)).mean())

    def known(self) -> float:
        """The share that shows a difference of which the formula says 80 %, if a and c are known."""
        sizes = np.geomspace(WIDTH / 10, WIDTH * 300, 400)
        at = power(sizes, self.one, self.shared, self.n, self.examples, ALPHA)
        return float((np.abs(self.value + np.interp(0.8, at, sizes)) > self.half()).mean())

    def ranges(self) -> tuple[float, float, float]:
        """Of those that are not decided, where the truth is a difference that 40 seeds show (without the test set's
        part): the share of ranges that hold the number for the difference that was seen; the median of that number,
        and the share where no number would do."""
        sizes = np.geomspace(WIDTH / 100, WIDTH * 300, 800)
        enough = power(sizes, self.one, self.shared, 40, self.examples, ALPHA)
        seen = np.abs(self.value + np.interp(0.8, enough, sizes))
        open_ = seen <= self.half()
        seen, a, c = seen[open_], self.a[open_] * self.n, self.c[open_]
        fewest, most = (
            np.maximum(needed(lambda m, end=end: power(seen, end, c, m, self.examples, ALPHA), seen.shape), self.n + 1)
            for end in bounds(a, self.n - 1)
        )
        true = needed(lambda m: power(seen, self.one, self.shared, m, self.examples, ALPHA), seen.shape)
        true = np.maximum(true, self.n + 1)
        held = (fewest <= true) & (true <= most)
        return float(held.mean()), float(np.median(true)), float(np.isinf(true).mean())

    def wrong(self) -> float:
        """The share that calls losses equal whose difference is the margin, at 5 %; the worst of several margins."""
        shares = []
        width = np.sqrt(self.a + self.c)
        for margin in WIDTH * np.array([0.5, 2, 5, 20]):
            t = (margin - np.abs(self.value + margin)) / width  # of the nearer side
            p = level(np.abs(t), self.a / width**2, self.n - 1, self.examples - 1) / 2
            shares.append(float((np.where(t > 0, p, 1 - p) <= 0.05).mean()))
        return max(shares)


def rows(repetitions: int, examples: int) -> None:
    draws: dict[str, Draw] = {"normal": normal, "skewed": skewed, "exponential": exponential}
    for (kind, draw), shares, n in itertools.product(draws.items(), SHARES, SEEDS):
        one = Ablations(draw, SHARES[shares], n, examples, repetitions)
        held, median, none = one.ranges()
        number = f"{median:.0f}" if np.isfinite(median) else "none"
        shown = [f"{100 * share:.1f}" for share in (one.known(), one.stated(), held, none, one.wrong())]
        cells = [kind, shares, f"{examples:,}", str(n), *shown[:3], number, *shown[3:]]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    rows(*map(int, sys.argv[1:]))
