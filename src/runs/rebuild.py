"""A finished run's model and loss, from its folder alone."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from src.config.check import PROVIDED, check_target
from src.config.errors import UserError
from src.data.base import Spec
from src.losses.base import LogitLoss
from src.models.base import Network
from src.runs import build
from src.runs.folder import RunFolder

ALLOWED = ("src.", "torch.", "torchvision.")


@dataclass(frozen=True)
class Rebuilt:
    """What a run's folder holds: the trained network in eval mode, its loss (for the link), the sizes of its data."""

    model: Network
    loss: LogitLoss
    spec: Spec
    weights_hash: str  # SHA-256 of weights.safetensors


def rebuild(path: Path) -> Rebuilt:
    """Rebuild a run. No code is loaded but the project's, torch's and torchvision's. Raises UserError."""
    folder = RunFolder(path)
    config = folder.read_config()
    if not folder.weights.is_file():
        status = folder.read_result().get("status", "not started")
        raise UserError(f"{path} has no weights.safetensors: that run is {status}; finish it with resume={path}")
    for group in ("model", "loss"):
        target = str(config[group].get("_target_"))
        if not target.startswith(ALLOWED):
            raise UserError(f"{path}: {group}._target_={target} is not of {', '.join(ALLOWED)}: not loaded")
        check_target(group, config[group], PROVIDED[group])
    facts: dict[str, Any] = config["facts"]
    plain: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    spec = Spec(**plain)
    loss = build.build_loss(config, spec)
    model = build.build_model(config, spec, loss)
    raw = folder.weights.read_bytes()
    try:
        state = safetensors.torch.load(raw)
        # A tied tensor is stored once.
        missing = model.load_state_dict(state, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{folder.weights} is damaged or of another model: {first_line(error)}") from error
    tied = {name for name, tensor in model.state_dict().items() if is_tied(name, tensor, model)}
    if missing.unexpected_keys or set(missing.missing_keys) - tied:
        odd = [*missing.unexpected_keys, *missing.missing_keys][0]
        raise UserError(f"{folder.weights} is of another model: {odd}")
    return Rebuilt(model.eval().requires_grad_(False), loss, spec, hashlib.sha256(raw).hexdigest())


def is_tied(name: str, tensor: Any, model: Network) -> bool:
    """Whether another entry of the state is the same tensor."""
    return any(other.data_ptr() == tensor.data_ptr() for key, other in model.state_dict().items() if key != name)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
