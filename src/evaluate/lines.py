"""How well a language run knows each line of a text."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import torch

from ..config.errors import UserError
from ..data.base import Spec
from ..data.content import opened
from ..metrics.temperature import scaled
from ..runs.trained import Trained
from .table import Table, calibration

Window = tuple[int, list[int]]  # number of the line, ids of a block and the character that follows it
HEADER = ("line", "characters", "nll", "perplexity", "nll_ts", "perplexity_ts", "temperature")


def score(place: Path, run: Trained, batch: int) -> Table:
    """A row for each line: mean nll (nats) of its characters and perplexity e^nll, also after temperature scaling.

    Each line is scored by itself, in blocks of the run's size, as the run's own test is. Its first character follows a
    line break; where the run has never seen one, it is not scored. Raises UserError and DataError.
    """
    if not run.linked:
        raise UserError("this run's loss gives scores that are no probabilities: a text has no nll or perplexity")
    sums: dict[int, list[float]] = {}  # line -> characters, nll, nll after scaling
    temperature, coming = run.temperature, blocks(place, run.spec)
    while part := list(itertools.islice(coming, batch)):
        longest = max(len(ids) for _, ids in part)
        padded = torch.tensor([ids + [0] * (longest - len(ids)) for _, ids in part])
        log_p = run.log_probs(padded[:, :-1]).cpu().double()
        both = torch.stack([log_p, log_p if temperature is None else scaled(log_p, temperature)])
        nll = -both.gather(-1, padded[:, 1:, None].expand(2, -1, -1, 1))[..., 0]  # (2, N, T)
        for i, (number, ids) in enumerate(part):
            said = nll[:, i, : len(ids) - 1].sum(-1).tolist()
            total = sums.get(number, [0.0, 0.0, 0.0])
            sums[number] = [a + b for a, b in zip(total, [len(ids) - 1, *said], strict=True)]
    if not sums:
        raise UserError(f"{place} has no line with a character to score")
    rows = [line_row(number, temperature, *total) for number, total in sums.items()]
    characters, *totals = (sum(column) for column in zip(*sums.values(), strict=True))
    _, _, nll_all, perplexity, nll_ts, perplexity_ts, _ = line_row(0, temperature, characters, *totals)
    says = [
        f"all {len(rows):,} lines, {characters:,.0f} characters: nll {nll_all:.4f} nats, perplexity {perplexity:.4f}",
        f"nll_ts and perplexity_ts are {calibration(temperature)}",
    ]
    if temperature is not None:
        says[0] += f"; nll_ts {nll_ts:.4f}, perplexity_ts {perplexity_ts:.4f}"
    return Table(HEADER, rows, 6, says, [])


def line_row(
    number: int, temperature: float | None, characters: float, nll: float, nll_ts: float
) -> tuple[object, ...]:
    means = [nll / characters, None if temperature is None else nll_ts / characters]
    pairs = [(mean, None if mean is None else math.exp(mean) if mean < 700 else math.inf) for mean in means]
    return (number, int(characters), *pairs[0], *pairs[1], temperature)


def blocks(place: Path, spec: Spec) -> Iterator[Window]:
    """The blocks of each line. Raises UserError and DataError."""
    with opened(place) as file:
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{place} is no text in UTF-8 (byte {error.start:,})") from None
    index = {character: i for i, character in enumerate(spec.class_names)}
    begin, block = [index["\n"]] if "\n" in index else [], spec.input_shape[0]
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        odd = next((character for character in line if character not in index), None)
        if odd is not None:
            raise UserError(
                f"{place}, line {number}: the character {odd!r} is not among the {len(index)} that this run has learnt"
            )
        ids = begin + [index[character] for character in line]
        for first in range(0, len(ids) - 1, block):
            yield number, ids[first : first + block + 1]
