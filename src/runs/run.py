"""One run from its configuration to its result. The one rule: a command finishes the run that it names."""

import contextlib
import errno
import functools
import logging
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from ..plain import Plain
from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
from ..callbacks.checkpoint import Interrupted
from ..config import loggers
from ..config.errors import UserError, printable
from ..config.fit import check_fit
from ..config.trust import BESIDE, agrees, check_stored
from ..data.base import Data
from ..folder.folder import RunFolder, home_of
from ..folder.identity import identity, slug
from ..ranks.team import Team
from . import build, machine, profile, show, speed
from .fit import Fit
from .follow import follow
from .logs import logging_to
from .rebuild import Rebuilt
from .resume import check_same_run
from .teacher import find_teacher, heard

log = logging.getLogger("xent")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def execute(cfg: Plain, choices: Plain, typed: list[str]) -> int:
    """Train, or finish, or show the run that a command names; the exit status. Raises UserError."""
    resumed = RunFolder(Path(cfg["resume"]).expanduser()) if cfg["resume"] else None
    profiling = cfg["profiler"] and not cfg["overwrite"]
    if resumed:
        cfg, choices = reopen(resumed, cfg, typed)
    cfg = cfg | {"choices": choices}
    device = machine.resolve_device(cfg["trainer"])
    machine.check_extras(cfg, device)
    threads = machine.set_threads(cfg["trainer"])
    machine.keep_memory()
    machine.repeat_exactly(device)
    cfg["trainer"] = cfg["trainer"] | {"threads": threads}
    team = Team(cfg["trainer"], device)
    if team.rank > 0:
        return follow(team)
    with team:
        return lead(cfg, typed, resumed, team, profiling)


def lead(cfg: Plain, typed: list[str], resumed: RunFolder | None, team: Team, profiling: bool) -> int:
    """Rank 0's part, which is all there is in a run of one process."""
    device, threads = team.device, cfg["trainer"]["threads"]
    data = build.build_data(cfg)
    check_fit(cfg, cfg["choices"])
    teacher = find_teacher(cfg)
    cfg, why = speed.settle(cfg, data, teacher, device)
    facts = {"fingerprint": build.fingerprint(data), "device": device}
    if teacher:
        facts[heard(cfg)] = teacher.weights_hash
    run_id = identity({key: value for key, value in cfg.items() if key not in BESIDE}, facts)
    where = functools.partial(place, cfg, typed, run_id)
    folder = resumed or RunFolder(where())
    # a copy of a resumed folder stays a copy
    name = (cfg["name"] if resumed else None) or folder.path.parent.name
    cfg = cfg | {"name": name, "identity": run_id, "identity_facts": facts}
    if profiling:
        plain = resumed or RunFolder(place(profile.unprofiled(cfg), typed, run_id))
        done = next((one for one in (plain, folder) if profile.is_finished(one)), None)
        if done:
            return profile_again(done, cfg, data, teacher, team)
    status = settled_already(folder, cfg, resumed is not None)
    if status is not None:
        return status
    fit = Fit(cfg, data, teacher, folder, device)
    if data.kind != "text" and any(word.startswith("samples.") for word in typed):
        log.warning("samples.* is ignored: only language runs write text")
    if cfg["x_axis"] != "step" and "tensorboard" not in loggers.chosen(cfg["logger"]):
        log.warning("x_axis is ignored: only TensorBoard draws its curves over another axis than steps")
    with folder.locked():
        if not resumed and where() != folder.path:
            raise UserError("another process has begun this very run, by other words: give the command again")
        status = settled(folder, cfg, resumed is not None)  # another process may have begun or finished it meanwhile
        if status is not None:
            return status
        fit.resume()
        begin(folder, cfg | {"facts": build.facts_of(data.spec)}, anew=fit.checkpoint is None)
        with logging_to(folder.log):
            if cfg["trainer"]["strategy"] and device == "cpu" and has_batch_norm(fit.task.model):
                log.warning("each rank's BatchNorm sees its own share of a batch: SyncBatchNorm needs GPUs")
            chosen = speed.chosen(cfg, why, folder.read_result())
            earlier = folder.read_result().get("run", {}) if resumed else {}
            words = {"words": earlier.get("words", typed)}  # a report says with which others it would be trained
            on = machine.describe(device, threads) | {"ranks": team.world} | chosen | words
            return finish(fit, folder, cfg, on, team)


def profile_again(folder: RunFolder, cfg: Plain, data: Data, teacher: Rebuilt | None, team: Team) -> int:
    """Profile a finished run: train some of its steps elsewhere, and keep their profile in its folder."""
    folder.check_place()
    check_same_run(folder, folder.read_result(), cfg)
    short = profile.shortened(cfg)
    print(
        printable(f"this run is finished, and stays as it is: {folder.path}\nprofiling some steps of its training ...")
    )
    with TemporaryDirectory(prefix="xent-profile-") as place, folder.locked():
        aside = RunFolder(Path(place) / "profile" / "run" / "seed")
        fit = Fit(short, data, teacher, aside, team.device)
        with aside.locked():
            begin(aside, short | {"facts": build.facts_of(data.spec)}, anew=True)
            with logging_to(aside.log, logging.WARNING):
                status = finish(fit, aside, short, {}, team)
        if status == 0 and fit.profiler:
            profile.keep(aside, folder)
            print(printable(fit.profiler.told(folder.profile)))
    return status


def begin(folder: RunFolder, config: Plain, anew: bool) -> None:
    """Write config.yaml, into a folder that holds nothing else where the run is trained ``anew``. Raises UserError."""
    if anew:
        folder.clear()
    folder.check_links()
    try:
        folder.write_config(config)
        folder.checkpoints.mkdir(exist_ok=True)
        folder.log.open("a").close()
    except OSError as error:
        raise UserError(f"{folder.path} cannot be written: {fault(error)}") from error


def has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def finish(fit: Fit, folder: RunFolder, cfg: Plain, on: Plain, team: Team) -> int:
    """Train and test under a result.json that always says how it went."""
    start = time.perf_counter()
    before = folder.read_result().get("run", {}).get("seconds", 0.0)

    def write(status: str, **more: Any) -> Plain:
        result = {
            "status": status,
            "family": fit.task.family.plain(),
            **more,
            "run": {"seconds": before + time.perf_counter() - start, **fit.measured, **on},
        }
        folder.write_result(result)
        return result

    def fail(reason: str) -> None:
        unwritten = ""
        try:  # first: a main thread that waits for a lost rank may hold the log's lock for ever
            write("failed", error=reason)
        except OSError as error:
            unwritten = fault(error)
        log.error("the run failed: %s", reason)
        if unwritten:
            log.error("nor can result.json be written: %s", unwritten)
        log.error("folder: %s\n%s", printable(str(folder.path)), after_failure(folder))

    try:
        write("running")
        team.start((cfg, str(folder.path)), fail)
        measured = fit.run()
        said = show.ending(folder.path, write("finished", **measured), loggers.chosen(cfg["logger"]))
        if fit.profiler:
            said += "\n\n" + printable(fit.profiler.told(folder.profile))
    except Interrupted as stop:
        with contextlib.suppress(OSError):  # then it says that it is running, and no process holds it
            write("interrupted")
        log.warning("%s; the same command resumes it", stop)
        return 128 + stop.signum
    except Exception as error:
        reason = team.give_up(error)
        fail(f"the disk is full ({reason})" if isinstance(error, OSError) and error.errno in FULL else reason)
        log.debug("", exc_info=True)
        return 1
    log.info("%s", said)
    return 0


def fault(error: OSError) -> str:
    return f"the disk is full ({error.strerror})" if error.errno in FULL else error.strerror or str(error)


def settled_already(folder: RunFolder, cfg: Plain, resumed: bool) -> int | None:
    """What ``settled`` says of a folder that no other process holds. Raises UserError where it could not be written."""
    try:
        folder.check_place()
    except UserError:
        # what is finished is shown from a folder to read only as well: none trains there, and none is locked out
        there = os.path.exists(folder.path)  # noqa: PTH110  False where the name is too long
        status = settled(folder, cfg, resumed) if there else None
        if status is None:
            raise
        return status
    if not folder.path.exists():
        return None
    with folder.locked():
        return settled(folder, cfg, resumed)


def settled(folder: RunFolder, cfg: Plain, resumed: bool) -> int | None:
    """The exit status where nothing is to be trained: the run is finished, or failed. None where it is.

    Raises UserError where the folder holds another run, or what is damaged; only ``overwrite`` does not look.
    """
    if cfg["overwrite"]:
        if resumed:  # or the folder would hold a run that its name is not of
            check_same_run(folder, {}, cfg)
        return None
    result = folder.read_result()
    check_same_run(folder, result, cfg)
    status = result.get("status")
    if status == "finished":
        folder.check(result)
        print("this run is finished (train it anew: overwrite=true)")
        print(show.ending(folder.path, result, loggers.chosen(cfg["logger"])))
        return 0
    if status == "failed" and not cfg["retry_failed"]:
        told = printable(f"this run failed: {result['error']}\nfolder: {folder.path}\n{after_failure(folder)}")
        print(told)
        return 1
    return None


def after_failure(folder: RunFolder) -> str:
    """What a user can do about a failed run."""
    anew = "train anew: overwrite=true"
    return f"train on from its last checkpoint: retry_failed=true; {anew}" if folder.last.exists() else anew


def place(cfg: Plain, typed: list[str], run_id: str) -> Path:
    """The run's folder: that of the same identity where there is one, however its command was worded.

    A copy, or what was renamed, is not that: its config.yaml holds another name.
    """
    home, label = home_of(cfg, cfg["choices"]), cfg["label"] or slug(cfg["choices"], typed)
    beside = [path.name for path in home.iterdir()] if os.path.isdir(home) else []  # noqa: PTH112  False where the name is too long
    if any(re.fullmatch(f"{re.escape(label)}-(?!{run_id})[0-9a-f]{{8}}", name) for name in beside):
        label = slug(cfg["choices"], typed)  # what a sweep calls its runs need not tell them from those of another
    own, there = f"{label}-{run_id}", sorted(name for name in beside if name.endswith(f"-{run_id}"))
    name = own if own in there else next((name for name in there if is_original(home / name, run_id)), own)
    return home / name / f"seed{cfg['seed']}"


def is_original(folder: Path, run_id: str) -> bool:
    """Whether the folder of a run's seeds holds, under the name that it was given, a run of this identity."""
    for path in sorted(folder.glob("seed*/config.yaml")):
        with contextlib.suppress(UserError):
            stored = RunFolder(path.parent).read_config()
            return (stored.get("name"), stored.get("identity")) == (folder.name, run_id)
    return False


def reopen(folder: RunFolder, cfg: Plain, typed: list[str]) -> tuple[Plain, Plain]:
    """The configuration that a run's folder holds, and its choices. Raises UserError."""
    stored = folder.read_config()
    check_stored(folder.path, stored)
    own = ("resume", "retry_failed", "overwrite", "profiler")
    extra = [word for word in typed if word.partition("=")[0] not in own and not agrees(word, stored)]
    extra = [word for word in extra if word != "debug=profiler"]
    if extra:
        raise UserError(f"resume takes its configuration from the folder; leave out {' '.join(extra)}")
    choices = stored["choices"]
    plain = {key: value for key, value in stored.items() if key not in BESIDE}
    plain["name"] = stored.get("name")
    plain["profiler"] = cfg["profiler"] or stored.get("profiler", False)
    return cfg | plain | {"retry_failed": cfg["retry_failed"], "overwrite": cfg["overwrite"]}, choices
