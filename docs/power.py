"""How often a report's plans are right where the truth is known: writes the tables of docs/power.md. Minutes of a core.

python docs/power.py 10000 1000     # repetitions, test examples
python docs/power.py 1000 10000
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.sequential import filled, table
from src.report.power import bounds, needed, power, smallest
from src.report.statistics import contrast, estimate, level, quantile

Floats = NDArray[np.float64]
Draw = Callable[[Generator, tuple[int, ...]], Floats]
ALPHA = 0.05 / 16  # of the last but four of 20 comparisons
SEEDS = (3, 5, 10)
SHARES = {"seeds": (9, 1, 2), "both": (3, 1, 2), "examples": (1, 3, 1)}  # of seeds, examples, rest, at five seeds
WIDTH = 0.01  # the standard deviation of a difference at five seeds
PAGE = Path(__file__).with_name("power.md")


def normal(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape, np.float32)


def skewed(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Skewness 1, mean 0, variance 1."""
    return rng.standard_gamma(4, shape, np.float32) / 2 - 2


def exponential(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Skewness 2, mean 0, variance 1."""
    return rng.standard_exponential(shape, np.float32) - 1


DRAWS: dict[str, Draw] = {"normal": normal, "skewed": skewed, "exponential": exponential}


class Ablations:
    """Pairs of losses, drawn anew for each repetition: their difference D and the estimates of A and C.

    Both losses share seeds and examples, which take most of each loss's variance; a seed's own effect, an example's and
    the rest have their shares of that of the difference. Each row of the page has random numbers of its own.
    """

    def __init__(self, effects: str, most: str, n: int, examples: int, repetitions: int) -> None:
        self.n, self.examples, draw, shares = n, examples, DRAWS[effects], SHARES[most]
        rng = np.random.default_rng([list(DRAWS).index(effects), list(SHARES).index(most), n, examples])
        counts = 5, examples, 5 * examples
        self.parts = [WIDTH**2 * share / sum(shares) * k for share, k in zip(shares, counts, strict=True)]
        seed, example, rest = self.parts
        self.one, self.shared = seed + rest / examples, example / examples
        runs = np.arange(n)
        means, covariances = np.empty((repetitions, n)), np.empty((repetitions, n, n))
        for k in range(repetitions):
            y = self._drawn(draw, rng)
            means[k] = y[:n].mean(1) - y[n:].mean(1)
            covariances[k] = contrast(np.cov(y), runs, runs + n)
        got = estimate(means, covariances, examples)
        self.value, self.a, self.c = got.value, got.seeds, got.variance - got.seeds

    def _drawn(self, draw: Draw, rng: Generator) -> Floats:
        """(2 n, N): the values of the test examples, of the n runs of the one loss and then of the other."""
        n, examples = self.n, self.examples
        seed, example, rest = np.sqrt(np.array(self.parts) / 2)
        common = draw(rng, (n, 1)) * 0.1 + draw(rng, (1, examples))
        losses = [
            common + seed * draw(rng, (n, 1)) + example * draw(rng, (1, examples)) + rest * draw(rng, (n, examples))
            for _ in range(2)
        ]
        return np.concatenate(losses).astype(np.float64)

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


def share(of: float, repetitions: int) -> str:
    """In per cent, with its standard error."""
    return f"{100 * of:.1f} ± {100 * np.sqrt(of * (1 - of) / repetitions):.1f}"


def row(effects: str, most: str, n: int, examples: int, repetitions: int) -> list[str]:
    one = Ablations(effects, most, n, examples, repetitions)
    held, median, none = one.ranges()
    number = f"{median:.0f}" if np.isfinite(median) else "none"
    told = [share(of, repetitions) for of in (one.known(), one.stated())]
    return [effects, most, str(n), *told, f"{100 * held:.1f}", number, f"{100 * none:.1f}", f"{100 * one.wrong():.1f}"]


def main(repetitions: int, examples: int) -> None:
    head = ["effects", "most of the variance", "n", "known", "stated", "held", "number", "none", "equal"]
    rows = []
    for effects, most, n in itertools.product(DRAWS, SHARES, SEEDS):
        rows.append(row(effects, most, n, examples, repetitions))
        print(*rows[-1], sep="  ", flush=True)
    PAGE.write_text(filled(PAGE.read_text(), f"{examples:,} examples", table(head, rows)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
