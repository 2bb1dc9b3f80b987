"""What evaluate.py does with a finished run."""

from ..plain import Plain
from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import os
import sys
import traceback

from ..config.errors import UserError, printable
from ..config.evaluation import Asked
from ..data.base import DataError
from ..folder.folder import RunFolder
from ..runs import machine
from ..runs.bench import Bench, settle
from ..runs.logs import hushed
from ..runs.rebuild import rebuild
from ..runs.trained import Trained
from . import again, export, predict, sample
from .done import write


def execute(asked: Asked, folder: RunFolder, cfg: Plain, result: Plain) -> int:
    """Do what a command asks of a finished run; the exit status. Raises UserError.

    ``cfg`` is the run's configuration, its data replaced where the command names other data.
    """
    device, on = settle(cfg, result)
    run = rebuild(folder.path)
    if asked.sample and run.spec.kind == "text":
        print("\n\n--------\n\n".join(sample.text(run, cfg, asked.sample, device)))
        return 0
    if not os.access(folder.path, os.W_OK):
        raise UserError(f"{folder.path} is not writable, and what is found is written there")
    place, name = ("export", export.FILES[asked.export]) if asked.export else ("evaluations", asked.name)
    temperature = result["metrics"]["test"].get("temperature")
    notes = elsewhere(on, result["run"])
    if cfg["trainer"]["precision"] == "bf16-mixed" and not machine.has_bfloat16(device):
        notes.append(machine.EMULATED)
    about = {"asked": list(asked.words), "data": cfg["data"], "weights_sha256": run.weights_hash, "run": on}
    try:
        with hushed():
            if asked.predict:
                trained = Trained(run, temperature, cfg).to("cuda" if device == "gpu" else "cpu")
                done = predict.predict(asked.predict, trained, cfg["trainer"]["precision"], name)
            elif asked.sample:
                done = sample.images(run, cfg, asked.sample, device, name)
            elif asked.export:
                done = export.export(asked.export, run, cfg, temperature)
            else:
                bench = Bench(folder, cfg, run, bool(asked.data), device)
                done = again.test(bench, asked, result, notes)
        written = write(place, name, done._replace(report=about | done.report), folder, result)
    except DataError as error:
        raise UserError(str(error)) from None
    except (OSError, RuntimeError) as error:
        if os.environ.get("XENT_DEBUG") == "1":
            traceback.print_exc()
        print(f"xent: the evaluation failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(printable("\n".join([*done.lines, *(f"written: {path}" for path in written)])))
    return 0


def elsewhere(here: Plain, run: Plain) -> list[str]:
    """A note where the machine or its software is not the run's."""
    flat = [side | side["versions"] for side in (here, run)]
    odd = [
        f"{key} {flat[1].get(key)} there, {flat[0][key]} here"
        for key in ("device", "threads", *here["versions"])
        if flat[0][key] != flat[1].get(key)
    ]
    return [f"this is not where the run was trained ({'; '.join(odd)}): the last bits may differ"] if odd else []
