"""What a run may be resumed from: its configuration, its tables and its checkpoint, each as the run wrote it."""

from ..callbacks.checkpoint import FORMAT, load
from ..callbacks.recorder import check_table
from ..config.errors import UserError
from ..config.loggers import chosen
from ..config.trust import BESIDE
from ..folder.folder import ANEW, RunFolder
from ..folder.identity import differences, digest, identity, named
from ..plain import Plain
from ..system.files import DamagedError
from ..tasks.base import Task


def about(cfg: Plain) -> Plain:
    """What tells a run from all others: keys, facts and seed of a configuration as config.yaml holds it."""
    own = {key: value for key, value in cfg.items() if key not in BESIDE}
    return named(own, cfg.get("identity_facts") or {}) | {"seed": cfg.get("seed")}


def check_same_run(folder: RunFolder, result: Plain, cfg: Plain) -> None:
    """Raise UserError where config.yaml is not, unchanged, that of the run of ``cfg``; it may not be there yet."""
    if not result and not folder.config.exists():
        return
    try:
        stored = folder.read_config()
        there, here = about(stored), about(cfg)
    except (UserError, AttributeError, TypeError) as error:
        raise UserError(f"{error}; {ANEW}") from None
    odd = differences(there, here)
    own = {key: value for key, value in stored.items() if key not in BESIDE}
    if identity(own, there["facts"]) != stored.get("identity"):
        raise UserError(
            f"{folder.config} was changed after the run wrote it{_since_checkpoint(folder, there)}: undo that, or train"
            " it as a run of its own, by its own command"
        )
    if odd:
        raise UserError(
            f"{folder.path} was begun otherwise: {', '.join(odd)}. Undo that to finish it, or train a new run, without"
            " resume="
        )
    folder.check_config(result, stored)


def _since_checkpoint(folder: RunFolder, there: Plain) -> str:
    """What in config.yaml differs from what the last checkpoint says, in words."""
    try:
        odd = differences(load(folder.last)["callbacks"]["ExactCheckpoint"]["run"], there)
    except (OSError, DamagedError, KeyError, TypeError):
        return ""
    return f" ({', '.join(odd)})" if odd else ""


def read_checkpoint(folder: RunFolder, cfg: Plain, task: Task) -> Plain | None:
    """last.ckpt if there is one. Raises UserError if it cannot be resumed from, or is of another configuration."""
    path = folder.last
    try:
        checkpoint = load(path)
        own = checkpoint["callbacks"]["ExactCheckpoint"]
        if own.get("format") != FORMAT:
            raise UserError(f"{path} was written by another version of xent; finish it with that one, or {ANEW}")
        if digest(own["run"]) != digest(about(cfg)):
            odd = ", ".join(differences(own["run"], about(cfg)))
            raise UserError(f"{path} is a checkpoint of another run: {odd}; {ANEW}")
        if own["best"] is not None:
            load(folder.best)
        for table in ("metrics", "timing"):
            check_table(getattr(folder, table), checkpoint["callbacks"]["Recorder"][table])
    except FileNotFoundError as error:
        if not path.exists():
            return None
        raise UserError(f"{error.filename} is missing, and the run cannot be resumed without it; {ANEW}") from None
    except DamagedError as error:
        raise UserError(f"{error}; {ANEW}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no checkpoint of xent ({type(error).__name__}: {error}); {ANEW}") from error
    check_axis(folder, cfg)
    check_shapes(folder, checkpoint, task)
    return checkpoint


def check_axis(folder: RunFolder, cfg: Plain) -> None:
    """Raise UserError where the curves would go on over another axis."""
    drawn = folder.read_config().get("x_axis", "step") if folder.config.exists() else cfg["x_axis"]
    if "tensorboard" in chosen(cfg["logger"]) and drawn != cfg["x_axis"]:
        raise UserError(
            f"x_axis={cfg['x_axis']}: the curves of {folder.path} are drawn over {drawn};"
            f" finish it with x_axis={drawn}, or {ANEW}"
        )


def check_shapes(folder: RunFolder, checkpoint: Plain, task: Task) -> None:
    """Raise UserError where the checkpoint is of another network, under the same name: its code changed."""
    stored = {key: tuple(value.shape) for key, value in checkpoint["state_dict"].items()}
    own = {key: tuple(value.shape) for key, value in task.state_dict().items()}
    for key in sorted(own.keys() | stored.keys()):
        if own.get(key) != stored.get(key):
            raise UserError(
                f"{folder.last} is a checkpoint of another model: {key} is {stored.get(key, 'missing')} there and"
                f" {own.get(key, 'missing')} here; {ANEW}"
            )
