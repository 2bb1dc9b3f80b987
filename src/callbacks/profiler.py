"""Where a run's time goes."""

import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from pytorch_lightning.profilers import SimpleProfiler
from torch.profiler import profile, record_function, schedule

from ..runs.files import write_text, written_whole

ACTIVE = 10  # steps in the trace: some MB
ROWS = 50


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
        device = "cuda" if torch.cuda.is_available() else "cpu"
        table = tracer.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=ROWS)
        write_text(self.folder / "operators.txt", table)
        with NamedTemporaryFile(suffix=".json.gz") as made, written_whole(self.folder / "trace.json.gz") as file:
            tracer.export_chrome_trace(made.name)
            shutil.copyfileobj(made, file)
