"""What a sweep shows: a table that is redrawn in a terminal, one line an event elsewhere."""

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from .jobs import Job
from .outcome import Outcome


class Screen:
    """Lines that stay, and below them, in a terminal only, lines that are redrawn."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.drawn = 0
        self.drawn_at = 0.0

    def say(self, text: str) -> None:
        """Print lines that stay."""
        self._erase()
        say(text)

    def draw(self, lines: Callable[[], Sequence[str]]) -> None:
        """Show ``lines`` in place of those drawn before, some times a second."""
        now = time.monotonic()
        if not self.live or (self.drawn and now - self.drawn_at < 0.3):
            return
        width = shutil.get_terminal_size().columns - 1
        shown = [line[:width] for line in lines()]
        self._erase()
        print(*shown, sep="\n", flush=True)
        self.drawn, self.drawn_at = len(shown), now

    def _erase(self) -> None:
        if self.drawn:
            print(f"\x1b[{self.drawn}F\x1b[J", end="")
            self.drawn = 0


def say(text: str) -> None:
    """Print lines. Whoever reads them may leave (``| head``): the sweep goes on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def duration(seconds: float) -> str:
    """ "8 s", "3 m 20 s" or "2 h 05 m"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02} m"
    return f"{minutes} m {rest:02} s" if minutes else f"{rest} s"


def values_line(outcome: Outcome) -> str:
    """The few test metrics that its family shows; — for what the run does not have."""
    return "  ".join(f"{name} {cell(value)}" for name, value in outcome.shown.items())


def cell(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"


def means_table(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """The shown test metrics of each label (and learning rate), as means over the seeds that are finished."""
    groups: dict[str, list[Outcome]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        groups.setdefault(job.row, []).append(outcome)
    width = max(map(len, groups))
    metrics = {name: max(10, len(name) + 3) for outcome in outcomes for name in outcome.shown}  # -> width
    heads = "".join(f"{name:>{wide}}" for name, wide in metrics.items())
    lines = [f"{'':{width}}  {'runs':>7}{heads}" + ("   (test, means over seeds)" if metrics else "")]
    for label, group in groups.items():
        done = [outcome for outcome in group if outcome.state == "finished"]
        cells = (
            f"{mean_cell([outcome.shown.get(name) for outcome in done]):>{wide}}" for name, wide in metrics.items()
        )
        lines.append(f"{label:{width}}  {f'{len(done)}/{len(group)}':>7}{''.join(cells)}")
    return "\n".join(lines)


def mean_cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return cell(statistics.mean(known) if known and len(known) == len(values) else None)


def reasons_of(missing: Sequence[tuple[Job, Outcome]]) -> str:
    """Names, folders and reason of jobs that are not finished; those with the same reason together."""
    groups: dict[tuple[str, str], list[tuple[Job, Outcome]]] = {}
    for job, outcome in missing:
        groups.setdefault((outcome.state, outcome.reason), []).append((job, outcome))
    lines = []
    for (state, reason), group in groups.items():
        for job, outcome in group:
            lines.append(f"  {state:12}{job.title}" + (f"   {outcome.folder}" if outcome.folder else ""))
        lines += [f"    {line}" for line in reason.splitlines()]
    return "\n".join(lines)
