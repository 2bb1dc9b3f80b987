"""The checkpoint that a run goes on from."""

from typing import Any

import torch

from src.callbacks.checkpoint import FORMAT
from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.tasks.supervised import SupervisedTask

Plain = dict[str, Any]


def read_checkpoint(folder: RunFolder, cfg: Plain, task: SupervisedTask) -> Plain | None:
    """last.ckpt if there is one. Raises UserError if it is not of this configuration."""
    path, anew = folder.last, "train anew with overwrite=true"
    if not path.exists():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        stored = {key: tuple(value.shape) for key, value in checkpoint["state_dict"].items()}
        written = checkpoint["callbacks"]["ExactCheckpoint"].get("format")
    except Exception as error:
        reason = str(error).splitlines()[0][:100]
        raise UserError(f"{path} is no checkpoint of xent ({reason}); {anew}") from error
    if written != FORMAT:
        raise UserError(f"{path} was written by another version of xent; finish it with that one, or {anew}")
    drawn = folder.read_config().get("x_axis", "step")
    if cfg["logger"] == "tensorboard" and drawn != cfg["x_axis"]:
        raise UserError(
            f"x_axis={cfg['x_axis']}: the curves of {folder.path} are drawn over {drawn};"
            f" finish it with x_axis={drawn}, or {anew}"
        )
    own = {key: tuple(value.shape) for key, value in task.state_dict().items()}
    for key in sorted(own.keys() | stored.keys()):
        if own.get(key) != stored.get(key):
            raise UserError(
                f"{path} is a checkpoint of another model: {key} is {stored.get(key, 'missing')} there and"
                f" {own.get(key, 'missing')} here; {anew}"
            )
    return checkpoint
