"""How often the report is right where the truth is known: writes docs/statistics.md. About ten minutes of one core.

python docs/simulation.py [repetitions [processes]]
"""

# ruff: noqa: E501, RUF001  the page's text
import itertools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported: small products are slower on several

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.report import calibration
from src.report.calibration import Gaps
from src.report.examples import gaps_of
from src.report.statistics import LEVEL, best, contrast, estimate, holm, of_share, within

Floats = NDArray[np.float64]
CLASSES, SEEDS, JITTER = 5, (2, 3, 5, 10), 0.05
NAMES = ("accuracy", "nll", "brier", "ece")
JUDGED = (*NAMES, "ece_ts")


class Examples:
    """Classes y, and features e_y * a + noise, half of whose variance the networks share: some are hard for all."""

    def __init__(self, rng: Generator, examples: int) -> None:
        self.rng, self.examples = rng, examples
        self.classes = rng.integers(0, CLASSES, examples)
        self.common = rng.standard_normal((examples, CLASSES))

    def logits(self, a: float) -> Floats:
        """Of a network that knows Bayes' rule: their softmax is the posterior."""
        x = np.sqrt(0.5) * (self.common + self.rng.standard_normal(self.common.shape))
        x[np.arange(self.examples), self.classes] += a
        return a * x

    def scores(self, z: Floats) -> dict[str, Floats]:
        """Each example's accuracy, nll, brier and confidence."""
        rows = np.arange(self.examples)
        z = z - z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        of_class = p[rows, self.classes]
        right = (z[rows, self.classes] == 0).astype(float)
        return {
            "accuracy": right,
            "nll": -np.log(of_class),
            "brier": (p**2).sum(1) - 2 * of_class + 1,
            "confidence": p.max(1),
        }

    def network(self, a: float, sharpness: float, validation: "Examples | None" = None) -> dict[str, Floats]:
        """The scores of a network that is exactly calibrated; ``sharpness`` times its logits are too sure where that is
        above 1. With ``validation`` also its confidence after temperature scaling on these other examples."""
        z = sharpness * self.logits(a)
        found = self.scores(z)
        if validation is not None:
            other = sharpness * validation.logits(a)

            def nll(temperature: float) -> float:
                return float(validation.scores(other / temperature)["nll"].mean())

            fitted = minimize_scalar(nll, bounds=(0.2, 5), method="bounded", options={"xatol": 1e-3})
            found["confidence_ts"] = self.scores(z / fitted.x)["confidence"]
        return found

    def networks(
        self, n: int, a: float, sharpness: float, validation: "Examples | None" = None
    ) -> list[dict[str, Floats]]:
        """Of n seeds, whose sharpness differs, if they are not calibrated."""
        spread = JITTER * (sharpness != 1)
        return [self.network(a, sharpness * (1 + spread * self.rng.standard_normal()), validation) for _ in range(n)]


def gaps(networks: Sequence[dict[str, Floats]], of: str = "confidence") -> list[Gaps]:
    return [gaps_of(network[of], network["accuracy"], 1) for network in networks]


def truth(a: float, sharpness: float, examples: int) -> dict[str, float]:
    """The metrics of endless examples and seeds; the ECE of calibrated networks is 0."""
    points, weights = np.polynomial.hermite_e.hermegauss(3)
    totals = dict.fromkeys(NAMES, 0.0)
    for point, weight in zip(points, weights / weights.sum(), strict=True):
        test = Examples(np.random.default_rng(99), examples)
        network = test.network(a, sharpness * (1 + JITTER * (sharpness != 1) * point))
        (of,) = gaps([network])
        ece = np.abs(np.bincount(of.bins, of.gap)).sum() / examples
        values = {name: network[name].mean() for name in NAMES[:3]} | {"ece": ece if sharpness != 1 else 0.0}
        totals = {name: totals[name] + weight * float(values[name]) for name in NAMES}
    return totals


def sharpness_of(a: float, ece: float) -> float:
    """That gives networks of this ``a`` an ECE of ``ece``."""
    return float(brentq(lambda s: truth(a, s, 300_000)["ece"] - ece, 1.0, 4, xtol=1e-3)) if ece else 1.0


def covered(a: float, sharpness: float, n: int, examples: int, repetitions: int) -> dict[str, float]:
    """Share of 95 % intervals that hold the truth, by metric; ``value``: the mean estimate of the ECE."""
    rng, true = np.random.default_rng(n), truth(a, sharpness, 1_000_000)
    held = dict.fromkeys((*NAMES, "value", "plain"), 0.0)
    for _ in range(repetitions):
        networks = Examples(rng, examples).networks(n, a, sharpness)
        for name in NAMES[:3]:
            y = np.array([network[name] for network in networks])
            got = estimate(y.mean(1), np.cov(y), examples)
            got = of_share(got, examples) if name == "accuracy" else within(got, 0, np.inf)
            held[name] += bool(got.low <= true[name] <= got.high)
        level = calibration.fit(gaps(networks))
        held["ece"] += bool(level.low[calibration.AT] <= true["ece"] <= level.high[calibration.AT])
        held["value"] += level.value
        held["plain"] += float(level.each.mean())
    return {name: total / repetitions for name, total in held.items()} | {"truth": true["ece"]}


def verdicts(
    kinds: Sequence[tuple[float, float]], n: int, examples: int, repetitions: int, names: Sequence[str] = NAMES
) -> tuple[float, float]:
    """Losses (a, sharpness), the first the baseline: the share of ablations in which the report says anything, a loss
    that wins or one that is better or worse than the baseline; and that in which it tells the first two apart."""
    rng, said, told = np.random.default_rng(n), 0, 0
    for _ in range(repetitions):
        test = Examples(rng, examples)
        validation = Examples(rng, examples) if "ece_ts" in names else None
        losses = [test.networks(n, a, sharpness, validation) for a, sharpness in kinds]
        p = np.ones((len(names), len(kinds), len(kinds)))
        difference = np.zeros_like(p)
        for metric, name in enumerate(names):
            for i, j, value, level in compared(losses, name, examples):
                p[metric, i, j] = p[metric, j, i] = level
                difference[metric, i, j], difference[metric, j, i] = value, -value
        above = np.triu_indices(len(kinds), 1)
        adjusted = np.ones_like(p)
        adjusted[:, *above] = holm(p[:, *above].ravel()).reshape(len(names), -1)
        adjusted = np.minimum(adjusted, np.swapaxes(adjusted, 1, 2))
        against = holm(p[:, 0, 1:].ravel()) <= LEVEL
        said += bool(against.any() or (best(difference, adjusted) >= 0).any())
        told += bool(p[-1, 0, 1] <= LEVEL)
    return said / repetitions, told / repetitions


def compared(
    losses: Sequence[Sequence[dict[str, Floats]]], name: str, examples: int
) -> list[tuple[int, int, float, float]]:
    """Pairs of losses, their difference and its p-value."""
    pairs, n = list(itertools.combinations(range(len(losses)), 2)), len(losses[0])
    if name.startswith("ece"):
        levels = [calibration.fit(gaps(networks, name.replace("ece", "confidence"))) for networks in losses]
        return [(i, j, *calibration.compare(levels[i], levels[j])[::3]) for i, j in pairs]
    y = np.array([network[name] for networks in losses for network in networks])
    covariance, means, runs = np.cov(y), y.mean(1), np.arange(n)
    got = [
        estimate(means[a] - means[b], contrast(covariance, a, b), examples)
        for a, b in ((i * n + runs, j * n + runs) for i, j in pairs)
    ]
    return [(i, j, float(of.value), float(of.p)) for (i, j), of in zip(pairs, got, strict=True)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float, repetitions: int) -> str:
    return f"{100 * share:.1f} ± {100 * np.sqrt(max(share * (1 - share), 1 / repetitions) / repetitions):.1f}"


def cover_row(a: float, ece: float, n: int, examples: int, repetitions: int) -> list[str]:
    got = covered(a, sharpness_of(a, ece), n, examples, repetitions)
    shares = (percent(got[name], repetitions) for name in NAMES)
    return [f"{got['truth']:.4f}", f"{examples:,}", str(n), *shares, f"{got['value']:.4f}", f"{got['plain']:.4f}"]


def verdict_cell(kinds: Sequence[tuple[float, float]], n: int, repetitions: int, names: Sequence[str]) -> str:
    """``kinds``: a and ECE of each loss."""
    losses = [(a, sharpness_of(a, ece)) for a, ece in kinds]
    return percent(verdicts(losses, n, 1000, repetitions, names)[0], repetitions)


QUESTIONS: dict[str, tuple[list[tuple[float, float]], Sequence[str]]] = {
    "five equal losses, five metrics": ([(2.3, 0.02)] * 5, JUDGED),
    "two calibrated losses, ece": ([(2.9, 0), (1.8, 0)], ["ece"]),
    "five calibrated losses, ece": ([(a, 0) for a in (1.8, 2.1, 2.3, 2.6, 2.9)], ["ece"]),
    "two losses of ece 0.05, ece": ([(2.3, 0.05), (1.8, 0.05)], ["ece"]),
    "ece 0 against 0.02, ece": ([(2.3, 0), (2.3, 0.02)], ["ece"]),
    "ece 0.02 against 0.05, ece": ([(2.3, 0.02), (2.3, 0.05)], ["ece"]),
}


def main(repetitions: int, workers: int) -> None:
    few = repetitions // 4
    with ProcessPoolExecutor(workers) as pool:
        rows = [
            *(
                pool.submit(cover_row, 2.3, ece, n, 1000, repetitions)
                for ece, n in itertools.product((0, 0.005, 0.02, 0.05, 0.1), SEEDS)
            ),
            *(pool.submit(cover_row, 2.3, ece, 3, 10_000, few) for ece in (0, 0.02)),
        ]
        said = {
            question: [pool.submit(verdict_cell, kinds, n, repetitions, names) for n in SEEDS[1:]]
            for question, (kinds, names) in QUESTIONS.items()
        }
        cover = [row.result() for row in rows]
        answers = [[question, *(cell.result() for cell in cells)] for question, cells in said.items()]
    text = TEXT.format(
        cover=table(["true ece", "N", "n", *NAMES, "ece: estimate", "of the sample"], cover),
        said=table(["", *(f"n = {n}" for n in SEEDS[1:])], answers),
        repetitions=repetitions,
        few=few,
    )
    Path(__file__).with_name("statistics.md").write_text(text)


TEXT = """# How sure the report is, and how that was measured

Made by `python docs/simulation.py {repetitions}`: {repetitions} repetitions of each figure, {few} where N = 10,000.
The truth is known. The networks follow Bayes' rule on features of five classes, so they are exactly calibrated; sharpened, they
are too sure by as much as one wants. There are N test examples, and all networks share half of their noise. There are n training
seeds, whose sharpness differs by 5 %, unless it is 1. `±` is one standard error of the simulation.

## Intervals

A mean over n seeds and N examples varies with both: V = A + C, the seeds' part and what all seeds share of the
examples'. The interval is mean ± t' √V with t' = (A t(n − 1) + C t(N − 1)) / V (Cochran and Cox 1950); the interval of
an accuracy is Wilson's, with the number of examples that would give this V (Korn and Graubard 1998). No interval leaves
the metric's bounds.

A ratio of two sums over examples, such as a character error rate R = Σ e / Σ n, is no mean. Example i counts as
R + (e_i − R n_i) / n̄ (the delta method; Cochran 1977). These numbers have the mean R, and the interval is that of their mean.
Examples that add nothing to either sum are not counted in N. Tests hold these intervals to the true ratio and to the bootstrap.
The mean over a part of the examples is held to a test set that is this part only (tests/report/test_ratios.py).

**ece is corrected for chance.** The ECE of a sample is positive even of a calibrated network ("of the sample" below:
what result.json and TensorBoard show). The report's is the ECE of the population: the one whose samples would on
average look like this one. Its interval holds every ECE whose samples could look like this one. If nothing but chance
is seen, it begins at 0. No ECE is below 0, so that at a true ECE of 0 the interval can err on one side only: 97.5 % is then the
nominal value, not 95 %. Share of 95 % intervals that hold the truth, in per cent:

{cover}

## Verdicts

Every interval in a report is a single 95 % interval. The word beside a difference to the baseline is made from the same
test, so that the two never contradict each other:

| word | p after Holm's correction | the interval |
| --- | --- | --- |
| better, worse | at most 0.05 | excludes 0 |
| perhaps better, perhaps worse | above 0.05 | excludes 0 |
| no difference shown | above 0.05 | includes 0 |

The correction is over all losses and all tested metrics. In these simulations they are accuracy, nll, brier, ece, and ece after
temperature scaling; of images `nll_refinement` is one more. "Perhaps" means that the interval alone excludes 0. Where nothing differs, one interval in twenty does, so an
ablation of five losses, with its 20 comparisons, says "perhaps" about once by chance. Intervals that are simultaneous
and compatible with Holm's procedure exist (Strassburger and Bretz 2008; Guilbaud 2008), but they say less: as soon as
one comparison is not significant, those of all significant ones begin at 0, however large the difference is.

A loss "beats every other" in a metric if it does after Holm's correction over all pairs and metrics. Each of the two
families, pairs and comparisons with the baseline, errs in at most 5 % of ablations. With one or two seeds there is no
verdict. The table gives the share of ablations of 1,000 test examples, in per cent, in which the report says of any
loss that it beats every other, is better or is worse. In the first three rows nothing differs, and every verdict is
wrong; the accuracies of the calibrated losses lie between 0.70 and 0.95. In the fourth the true ECEs are 0.0488 and
0.0499. The last two rows are what the report finds:

{said}

The interval of a difference of two ECEs comes from the intervals of both (Newcombe 1998; Zou and Donner 2008). So the less
accurate of two calibrated losses, whose sample has the larger ECE, is not called worse.
"""

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
