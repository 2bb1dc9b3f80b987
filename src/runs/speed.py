"""What trainer.precision=auto and compile=auto are for a run on this machine; settled before the run has a name."""

import json
import logging

from ..callbacks.plan import Plan
from ..data.base import Data
from ..plain import Plain
from . import build, machine
from .rebuild import Rebuilt
from .trial import Trial, kept_trial

log = logging.getLogger("xent")
FEWEST = 200  # batches of a run that is worth a trial, which takes the time of some ten
GAIN = 1.1  # times as fast as float32 that bfloat16 has to be, for what it rounds
# seconds that a run's batches would take uncompiled, from which on compiling is earned back: the longest that was
# measured for a network of the kind (docs/speed.md)
EARNED = {"convolution": 480, "attention": 160, "other": 35}


def settle(cfg: Plain, data: Data, teacher: Rebuilt | None, device: str) -> tuple[Plain, Plain]:
    """The configuration with both keys resolved, and for each that was auto why it is what it is.

    Reads the data where one was. Raises UserError for what cannot be built.
    """
    precision, compiled = cfg["trainer"]["precision"], cfg["compile"]
    half = machine.has_bfloat16(device)
    if precision == "bf16-mixed" and not half:
        log.warning("%s: trainer.precision=auto takes bfloat16 only where it is native", machine.EMULATED)
    if "auto" not in (precision, compiled):
        return cfg, {}
    build.load(data)
    build.check_batches(cfg, data)
    plan = Plan.of(cfg["trainer"], data.steps_per_epoch(), None)
    batches, trial, why = plan.steps * plan.accumulate, None, {}
    choices = [precision] if precision != "auto" else ["32-true", *(["bf16-mixed"] if half else [])]
    compiler = machine.has_compiler(device)
    if batches >= FEWEST and (len(choices) > 1 or (compiled == "auto" and compiler)):
        trial = kept_trial(cfg, data, teacher, device, choices)
    untried = "the trial failed" if batches >= FEWEST else f"{batches} batches are too few to find out"
    if precision == "auto":
        precision, reason = choose_precision(trial) if half else ("32-true", "no bfloat16 instructions here")
        why["trainer.precision"] = reason or untried
    if compiled == "auto":
        compiled, reason = choose_compiled(trial, precision, batches) if compiler else (False, "no C++ compiler here")
        why["compile"] = reason or untried
    return cfg | {"trainer": cfg["trainer"] | {"precision": precision}, "compile": compiled}, why


def chosen(cfg: Plain, why: Plain, earlier: Plain) -> Plain:
    """What result.json says of it, and the first lines of the run; ``earlier``: the result of a run that goes on."""
    values = {"trainer.precision": cfg["trainer"]["precision"], "compile": cfg["compile"]}
    for key, reason in why.items():
        log.info("%s=auto is %s: %s", key, json.dumps(values[key]).strip('"'), reason)
    why = why or earlier.get("run", {}).get("why", {})
    return {"precision": values["trainer.precision"], "compiled": values["compile"], "why": why}


def choose_precision(trial: Trial | None) -> tuple[str, str]:
    """bfloat16 where it gains enough, and why; float32 without a reason where nothing was tried."""
    if trial is None:
        return "32-true", ""
    full, half = trial.seconds["32-true"], trial.seconds["bf16-mixed"]
    precision = "bf16-mixed" if full > GAIN * half else "32-true"
    speed = f"bfloat16 is {full / half:.2f} times as fast as float32"
    return precision, f"{speed}, {1e3 * half:.3g} against {1e3 * full:.3g} ms a batch"


def choose_compiled(trial: Trial | None, precision: str, batches: int) -> tuple[bool, str]:
    """Whether a run of so many batches is long enough to be compiled, and why; no reason where nothing was tried."""
    if trial is None:
        return False, ""
    seconds, earned = batches * trial.seconds[precision], EARNED[trial.kind]
    return seconds >= earned, f"its batches take {seconds:,.0f} s uncompiled; compiling is earned from {earned} s on"
