"""How often until=verdict errs, and how many runs it saves, where the truth is known: writes the tables of
docs/sequential.md. Under a minute of one core.

python docs/sequential.py [repetitions]
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported: small products are slower on several

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.report.boundary import crossed, levels_of, looks_of
from src.report.statistics import LEVEL, estimate, holm

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
EXAMPLES = 1000
PAGE = Path(__file__).with_name("sequential.md")
EFFECTS: dict[str, tuple[Draw, float]] = {  # of seeds, with variance 1; and the variance that all share of the examples
    "normal": (lambda rng, size: rng.standard_normal(size), 0.0),
    "skewed": (lambda rng, size: rng.exponential(size=size) - 1, 0.0),
    "normal, small test set": (lambda rng, size: rng.standard_normal(size), 0.1),
}


def differences(kind: str, repetitions: int, losses: int, seeds: int) -> tuple[Floats, float]:
    """(repetitions, losses, seeds): each loss minus the baseline, which they share, with a standard deviation between
    seeds of 1; and the variance of what all seeds of a loss share of the test examples."""
    draw, shared = EFFECTS[kind]
    rng = np.random.default_rng([losses, seeds])
    x = draw(rng, (repetitions, losses + 1, seeds))
    common = rng.standard_normal((repetitions, losses, 1)) * np.sqrt(shared)
    return (x[:, 1:] - x[:, :1]) / np.sqrt(2) + common, shared


def p_values(x: Floats, shared: float) -> Floats:
    """As the report tests x (..., n), with ``shared`` known from ``EXAMPLES`` test examples."""
    n = x.shape[-1]
    if not shared:  # what ``estimate`` gives then, without its search for a root
        return 2 * stdtr(n - 1, -np.abs(x.mean(-1)) / np.sqrt(x.var(-1, ddof=1) / n))
    covariance = np.broadcast_to(np.full((n, n), shared * EXAMPLES), (*x.shape, n))
    return estimate(x, covariance, EXAMPLES).p


def sequential(x: Floats, shared: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """What is shown in the end (repetitions, losses), and how many seeds of each loss were trained."""
    repetitions, losses, most = x.shape
    looks = looks_of(most)
    shown, seeds = np.zeros((repetitions, losses), bool), np.full((repetitions, losses), most)
    tables = [levels_of(looks, LEVEL / (losses - r)) for r in range(losses)]
    for k, n in enumerate(looks):
        p = np.full((repetitions, losses), np.nan)
        p[~shown] = p_values(x[~shown, :n], shared)
        new = crossed(p, shown.sum(1), [table[k] for table in tables])
        seeds[new] = n
        shown |= new
    return shown, seeds


def margin_row(most: int, repetitions: int) -> list[str]:
    """Two losses without a difference, and two that differ by the margin, 1: how often it is said that one of the first
    differs, that one of the others is equal, or either; and the share of the first two that is called equal."""
    x, _ = differences("normal", repetitions, 4, most)
    x = x + np.array([0, 0, 1, 1])[:, None]
    differ, equal = np.zeros(x.shape[:2], bool), np.zeros(x.shape[:2], bool)
    for n, level in zip(looks_of(most), levels_of(looks_of(most), LEVEL / 4), strict=True):
        mean, half = x[..., :n].mean(-1), x[..., :n].std(-1, ddof=1) / np.sqrt(n) * stdtrit(n - 1, 1 - level / 2)
        left = ~(differ | equal)
        differ |= left & (np.abs(mean) > half)
        equal |= left & ~differ & (np.abs(mean) + half <= 1)
    wrong = differ[:, :2].any(1), equal[:, 2:].any(1)
    shares = (*(one.mean() for one in wrong), (wrong[0] | wrong[1]).mean(), equal[:, :2].mean())
    return [str(most), *(f"{100 * share:.2f}" for share in shares)]


def fixed(x: Floats, power: float) -> int:
    """The fewest seeds with which Holm's correction of one test for each loss shows as large a share of them."""
    for n in range(3, x.shape[-1] + 1):
        if (holm(p_values(x[..., :n], 0.0)) <= LEVEL).mean() >= power:
            return n
    return x.shape[-1]


def error_row(losses: int, most: int, repetitions: int) -> list[str]:
    cells = []
    for kind in EFFECTS:
        shown, _ = sequential(*differences(kind, repetitions, losses, most))
        cells.append(f"{100 * shown.any(1).mean():.2f}")
    return [str(losses), str(most), str(len(looks_of(most))), *cells]


def saving_row(losses: int, most: int, repetitions: int, differing: int) -> list[str]:
    x, _ = differences("normal", repetitions, losses, most)
    x = x + (np.arange(losses) < differing)[:, None]
    shown, seeds = sequential(x, 0.0)
    runs = (seeds.sum(1) + seeds.max(1)).mean()
    power = shown[:, :differing].mean() if differing else 0.0
    alike = fixed(x[:, :differing], power) if differing == losses else most
    whole = (losses + 1) * alike
    return [
        *(str(losses), str(differing), str(most), f"{100 * power:.1f} %" if differing else "—"),
        *(f"{seeds[:, :differing].mean():.1f}" if differing else "—", f"{runs:.1f}", f"{alike}", f"{whole}"),
        f"{100 * (1 - runs / whole):.1f} %",
    ]


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def filled(text: str, name: str, new: str) -> str:
    """A page with another table between the comments that are its marks."""
    head, _, rest = text.partition(f"<!-- {name} -->\n")
    return f"{head}<!-- {name} -->\n\n{new}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"


def main(repetitions: int) -> None:
    errors = table(
        ["losses", "max_seeds", "looks", *EFFECTS],
        [error_row(losses, most, repetitions) for losses, most in ((4, 12), (4, 20), (5, 20), (9, 20), (5, 30))],
    )
    margins = table(
        ["max_seeds", "said to differ, at 0", "said to be equal, at the margin", "either", "said to be equal, at 0"],
        [margin_row(most, repetitions) for most in (20, 30)],
    )
    head = ["losses", "that differ", "max_seeds", "shown", "seeds of such", "runs", "fixed: seeds", "fixed: runs"]
    saved = table(
        [*head, "saved"],
        [
            saving_row(losses, most, repetitions, differing)
            for losses, differing, most in (
                *((1, 1, 20), (4, 4, 20), (5, 5, 20), (4, 4, 24), (5, 5, 24), (4, 4, 30), (5, 5, 30)),
                *((4, 1, 20), (4, 0, 20)),
            )
        ],
    )
    text = PAGE.read_text()
    for name, new in (("errors", errors), ("margins", margins), ("saved", saved)):
        text = filled(text, name, new)
    PAGE.write_text(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
