"""Where a run's time goes."""

import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile

from pytorch_lightning.profilers import SimpleProfiler
from torch.profiler import profile, record_function, schedule

from ..system.files import write_text, written_whole

ACTIVE = 10  # steps in the trace: some MB
STEPS = 3 * ACTIVE  # of a run that is long enough to trace so many, after as many and a few to warm up
ROWS = 50
DEAREST = 5  # operators that are told
FILES = {
    "operators.txt": "all operators",
    "hooks.txt": "all hooks and callbacks",
    "trace.json.gz": "the steps as a trace, for ui.perfetto.dev",
}


class RunProfiler(SimpleProfiler):
    """Writes to ``folder``, when training ends or is stopped, where the time went.

    hooks.txt: calls and seconds of each of Lightning's hooks and callbacks in all of training. operators.txt: torch's
    operators in ten steps near the start, those that took most themselves first. trace.json.gz: the same steps as a
    trace, hooks and operators, for ui.perfetto.dev or chrome://tracing. ``steps``: those of the run; ``unit``: the
    action that is one of them.
    """

    def __init__(self, folder: Path, steps: int, unit: str) -> None:
        super().__init__()
        self.folder, self.unit = folder, unit
        self.ranges: list[record_function] = []
        self.dearest: list[tuple[str, float, int]] = []  # operator, its share of the time, calls
        self.tracer = profile(
            schedule=schedule(wait=min(10, steps // 3), warmup=min(2, steps // 3), active=ACTIVE, repeat=1),
            on_trace_ready=self._write_trace,
        )

    def start(self, action_name: str) -> None:
        super().start(action_name)
        if action_name == "run_training_epoch":  # a run is one
            self.tracer.start()
        self.ranges.append(record_function(action_name))
        self.ranges[-1].__enter__()  # type: ignore[no-untyped-call]

    def stop(self, action_name: str) -> None:
        self.ranges.pop().__exit__(None, None, None)
        super().stop(action_name)
        if action_name == self.unit:
            self.tracer.step()
        elif action_name == "run_training_epoch":
            self.tracer.stop()
            self.folder.mkdir(exist_ok=True)
            write_text(self.folder / "hooks.txt", self.summary())

    def describe(self) -> None:
        """Nothing: Lightning asks at the end of testing, too."""

    def _write_trace(self, tracer: profile) -> None:
        self.folder.mkdir(exist_ok=True)
        averages = tracer.key_averages()
        device = "cuda" if any(e.self_device_time_total for e in averages) else "cpu"  # whatever else is there
        spent = {e.key: getattr(e, f"self_{'device' if device == 'cuda' else 'cpu'}_time_total") for e in averages}
        calls = {e.key: e.count for e in averages if not e.is_user_annotation}
        total = sum(spent.values()) or 1
        first = sorted(calls, key=lambda key: -spent[key])[:DEAREST]
        self.dearest = [(key, spent[key] / total, calls[key]) for key in first]
        table = averages.table(sort_by=f"self_{device}_time_total", row_limit=ROWS)
        write_text(self.folder / "operators.txt", table)
        with NamedTemporaryFile(suffix=".json.gz") as made, written_whole(self.folder / "trace.json.gz") as file:
            tracer.export_chrome_trace(made.name)
            shutil.copyfileobj(made, file)

    def told(self, folder: Path) -> str:
        """The dearest operators, and the files, which are in ``folder``; for the end of a command."""
        head = f"{'dearest operators':40}{'share':>8}{'calls':>8}"
        lines = [f"{head}   (of the time of the traced steps, Python's included)"]
        lines += [f"{name[:38]:40}{share:>8.1%}{calls:>8,}" for name, share, calls in self.dearest]
        (first, what), *others = FILES.items()
        beside = ", ".join(f"{name} ({kind})" for name, kind in others)
        return "\n".join([*lines, "", f"written: {folder / first} ({what}); beside it {beside}"])
