"""Where the time of a finished run goes: some steps of its training once more, in a folder that is deleted."""

from pathlib import Path

from ..callbacks.profiler import FILES, STEPS
from ..config.errors import UserError
from ..folder.folder import RunFolder
from ..plain import Plain
from ..system.files import write_bytes


def shortened(cfg: Plain) -> Plain:
    """The configuration of a run of ``STEPS`` steps and one batch of validation and of test, which writes little."""
    trainer = cfg["trainer"]
    few = {"max_steps": min(STEPS, trainer["max_steps"] or STEPS), "val_every_n_steps": None, "limit_eval_batches": 1}
    return cfg | {
        "trainer": trainer | few,
        "checkpoint": {"every_n_steps": None, "best": False},
        "early_stopping": {"patience": None},
        "samples": cfg["samples"] | {"count": 0},
        **{"logger": "csv", "figures": False, "profiler": True},
    }


def unprofiled(cfg: Plain) -> Plain:
    """The configuration whose run is the same one without a profile."""
    debug = cfg["choices"]["debug"]
    return cfg | {"profiler": False, "choices": cfg["choices"] | {"debug": None if debug == "profiler" else debug}}


def is_finished(folder: RunFolder) -> bool:
    return folder.read_result().get("status") == "finished"


def keep(made: RunFolder, folder: RunFolder) -> None:
    """Put the profile of one run into the folder of another. Raises UserError."""
    if folder.profile.is_symlink():
        raise UserError(f"{folder.profile} is a link, and a run writes through none: put a folder there")
    folder.profile.mkdir(exist_ok=True)
    for name in FILES:
        source: Path = made.profile / name
        if source.exists():
            write_bytes(folder.profile / name, source.read_bytes())
