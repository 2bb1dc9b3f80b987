"""Runs jobs side by side, each as a process of its own that dies with this one."""

import contextlib
import ctypes
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any

from .. import checks
from ..config.errors import UserError
from .jobs import Job
from .outcome import Outcome, outcome_of
from .screen import Screen, duration, values_line
from .start import Process, Warm

TRAIN = (".commands.xent", "train")
# What a job imports on its way, as far as all of them do
IMPORTS = (".commands.train", ".runs.run", ".data.images")


@dataclass(frozen=True)
class Child:
    """A job that runs."""

    job: Job
    process: Process
    output: IO[bytes]  # stdout and stderr together, a file without a name
    gpus: list[str]
    start: float
    count: str  # "3/12", in order of starting

    def said(self) -> list[str]:
        """The last lines of its output, without empty ones."""
        size = os.fstat(self.output.fileno()).st_size
        text = os.pread(self.output.fileno(), 20_000, max(0, size - 20_000)).decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    def progress(self) -> str:
        lines = [line for line in self.said() if line.startswith("epoch ")]
        return lines[-1] if lines else "starting"

    def last_words(self) -> str:
        """Why it ended, in one message where it is one of ours."""
        lines = self.said()
        faults = [i for i, line in enumerate(lines) if line.startswith("xent: ")]
        if self.process.returncode < 0:
            name = signal.Signals(-self.process.returncode).name
            return f"killed by {name}; the same command resumes it from its last checkpoint"
        if faults:
            return "\n".join([lines[faults[-1]].removeprefix("xent: "), *lines[faults[-1] + 1 :]])
        return "\n".join(lines[-10:])


class Processes:
    """Runs jobs, so many at a time. SIGINT and SIGTERM go on to the jobs, which save and end; then ``run`` returns."""

    def __init__(self, jobs: int | None, devices: Sequence[int] | None, on_error: str) -> None:
        try:
            if jobs is not None:
                checks.integer("hydra.launcher.jobs", jobs, low=1)
            checks.choice("hydra.launcher.on_error", on_error, ("continue", "stop"))
        except ValueError as error:
            raise UserError(str(error)) from None
        if devices is not None and not are_gpus(devices):
            raise UserError(f"hydra.launcher.devices must be a list of different GPUs, [0,1], got {devices}")
        self.most, self.stop_on_error = jobs, on_error == "stop"
        self.chosen = None if devices is None else [str(index) for index in devices]
        self.children: list[Child] = []
        self.signum: int | None = None
        self.warm = Warm(TRAIN, IMPORTS)

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job; "waiting" for those that a signal or on_error=stop kept from starting.

        To be called within a ``with`` of ``warm``.
        """
        gpus = self.chosen if self.chosen is not None else visible_gpus()
        most = self._most_at_once(jobs, gpus)
        screen, started, total = Screen(), time.monotonic(), len(jobs)
        outcomes: dict[int, Outcome] = {}
        waiting = list(jobs)
        with self._signals():
            while self.children or (waiting and self._goes_on(outcomes)):
                while waiting and len(self.children) < most and self._goes_on(outcomes) and self._ready(waiting[0]):
                    job = waiting.pop(0)
                    count = f"{total - len(waiting)}/{total}"
                    self._start(job, gpus, count)
                    screen.say(f"job {count} started   {job.title}")
                time.sleep(0.02)  # a core waits no longer for its next run
                for child in [child for child in self.children if child.process.poll() is not None]:
                    outcome = self._collect(child)
                    outcomes[id(child.job)] = outcome
                    left = (time.monotonic() - started) / len(outcomes) * (total - len(outcomes))
                    screen.say(end_line(child, outcome, left))
                screen.draw(partial(self._lines, len(outcomes), total))
        return [outcomes.get(id(job), Outcome("waiting", "not started")) for job in jobs]

    def _goes_on(self, outcomes: dict[int, Outcome]) -> bool:
        failed = any(outcome.state == "failed" for outcome in outcomes.values())
        return self.signum is None and not (self.stop_on_error and failed)

    def prepare(self, job: Job) -> None:
        """Have what forks jobs import what they need while others are composed, if ``job`` is one that it forks."""
        if not job.fault and not is_cold(job):
            self.warm.begin()

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise UserError where a job wants more GPUs than there are to share out."""
        widest = max(job.cfg["trainer"]["devices"] for job in jobs)
        if self.chosen is not None and widest > len(self.chosen):
            raise UserError(f"trainer.devices={widest}, but hydra.launcher.devices has {len(self.chosen)}")

    def _most_at_once(self, jobs: Sequence[Job], gpus: list[str]) -> int:
        widest = max(job.cfg["trainer"]["devices"] for job in jobs)
        if self.most is not None:
            return self.most
        on_gpu = self.chosen is not None or (gpus and all(wants_gpu(job) for job in jobs))
        threads = max(job.cfg["trainer"]["threads"] or 1 for job in jobs)
        return max(1, len(gpus) // widest if on_gpu else len(os.sched_getaffinity(0)) // threads)

    def _start(self, job: Job, gpus: list[str], count: str) -> None:
        pinned = self._least_used(gpus, job.cfg["trainer"]["devices"])
        pin = gpus and (self.chosen is not None or wants_gpu(job))
        output = tempfile.TemporaryFile()  # noqa: SIM115  it is the child's
        words = [*config_flags(), *job, "hydra.mode=RUN"]
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(pinned)} if pin else {}
        if is_cold(job):
            process: Process = self.warm.start_cold(words, output, environment)
        else:
            process = self.warm.start(words, output, environment, job.composed())
        self.children.append(Child(job, process, output, pinned, time.monotonic(), count))
        if self.signum is not None:  # it came while the child was being made
            process.send_signal(self.signum)

    def _ready(self, job: Job) -> bool:
        """Whether a job can start now: not while the process that is to fork it imports."""
        return is_cold(job) or self.warm.ready()

    def _least_used(self, gpus: list[str], count: int) -> list[str]:
        used = Counter(gpu for child in self.children for gpu in child.gpus)
        return sorted(gpus, key=lambda gpu: used[gpu])[:count]

    def _collect(self, child: Child) -> Outcome:
        self.children.remove(child)
        with child.output:
            status = child.process.returncode
            if self.signum is not None and status in (-self.signum, 128 + self.signum):
                return Outcome("interrupted", "stopped by a signal")
            return outcome_of(child.job, status, child.last_words() if status else "")

    def _lines(self, ended: int, total: int) -> list[str]:
        now = time.monotonic()
        rows = [f"  {child.job.title}  {duration(now - child.start)}  {child.progress()}" for child in self.children]
        return [f"{ended} of {total} ended, {len(rows)} running", *rows]

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass Ctrl-C and SIGTERM on to the children, every one that comes: after a second they do not save."""

        def forward(signum: int, frame: FrameType | None) -> None:
            self.signum = signum
            for child in self.children:
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(signum)

        before = {signum: signal.signal(signum, forward) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def are_gpus(devices: Any) -> bool:
    """Whether ``devices`` is a list of different indices, at least one."""
    listed = list(devices) if isinstance(devices, Sequence) and not isinstance(devices, str) else []
    whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in listed)
    return bool(listed) and whole and len(set(listed)) == len(listed)


def is_cold(job: Job) -> bool:
    """Whether a job is to start as a process of its own: one that starts further processes as its ranks."""
    return job.cfg["trainer"]["strategy"] is not None


def end_line(child: Child, outcome: Outcome, left: float) -> str:
    """The line, or lines, that tell of a job's end; of a failure at once with its reason."""
    seconds = duration(time.monotonic() - child.start)
    head = f"job {child.count} {outcome.state:9} {child.job.title}  "
    if outcome.state == "finished":
        return f"{head}{values_line(outcome)}  {seconds}  ({duration(left)} left)"
    reason = "\n".join(f"    {line}" for line in outcome.reason.splitlines())
    return f"{head}{seconds}\n{reason}" + (f"\n    folder: {outcome.folder}" if outcome.folder else "")


def visible_gpus() -> list[str]:
    """The GPUs that a child would see, named as in CUDA_VISIBLE_DEVICES; torch would take seconds to tell."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [str(index) for index in range(gpus_of_driver())]


def gpus_of_driver() -> int:
    """The GPUs of this machine, as NVIDIA's management library counts them; 0 where there is none.

    It opens nothing on them. Their files in /dev stand in where a container has no such library; under WSL there are
    no such files.
    """
    count = ctypes.c_uint(0)
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        if library.nvmlInit_v2() == 0:
            library.nvmlDeviceGetCount_v2(ctypes.byref(count))
            library.nvmlShutdown()
            return count.value
    except (OSError, AttributeError):  # no such library, or a stub of it
        pass
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def wants_gpu(job: Job) -> bool:
    return job.cfg["trainer"]["accelerator"] != "cpu"


def config_flags() -> list[str]:
    """The options and words for Hydra that say where configurations are."""
    from hydra._internal.utils import get_args_parser

    given = get_args_parser().parse_args()
    flags = {"--config-path": given.config_path, "--config-name": given.config_name, "--config-dir": given.config_dir}
    paths = [word for word in given.overrides if word.startswith("hydra.searchpath=")]
    return [*(word for flag, value in flags.items() if value for word in (flag, value)), *paths]
