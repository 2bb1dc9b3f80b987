"""A finished run's model and loss, from its folder alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model, save
from torch import nn

from ..config.errors import UserError, first_line
from ..config.trust import check_stored
from ..data.base import Spec
from ..folder.folder import RunFolder
from ..losses.base import LogitLoss
from ..models.base import Network
from ..system.files import sha256_of
from . import build


@dataclass(frozen=True)
class Rebuilt:
    """What a run's folder holds: the trained network in eval mode, its loss (for the link), the sizes of its data."""

    model: Network
    loss: Any  # of its task's family
    spec: Spec
    weights_hash: str  # SHA-256 of weights.safetensors


def rebuild(path: Path) -> Rebuilt:
    """Rebuild a run; its model and loss must be trusted (``src.config.trust``). Raises UserError."""
    folder = RunFolder(path)
    config = folder.read_config()
    if not folder.weights.is_file():
        status = folder.read_result().get("status", "not started")
        raise UserError(f"{path} has no weights.safetensors: that run is {status}; finish it with resume={path}")
    check_stored(path, config, ("model", "loss"))
    result = folder.read_result()
    folder.check_config(result, config)
    folder.check(result, folder.weights)
    facts: dict[str, Any] = config["facts"]
    plain: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    try:
        spec = Spec(**plain)
    except TypeError as error:
        raise UserError(f"{path / 'config.yaml'}: facts are damaged: {error}") from None
    loss = build.build_loss(config, spec)
    model = build.build_model(config, spec, loss)
    if config["trainer"]["precision"] == "64-true":
        model.double()  # or loading would round the weights
    try:
        load_model(model, folder.weights)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{folder.weights} is damaged or of another model: {first_line(error)}") from error
    weights_hash = sha256_of(folder.weights)
    return Rebuilt(model.eval().requires_grad_(False), loss, spec, weights_hash)


def check_classifies(run: Rebuilt, what: str) -> None:
    """Raise UserError, beginning with ``what``, if the run's loss is not over the logits of classes."""
    if not isinstance(run.loss, LogitLoss):
        raise UserError(f"{what}: that run gives no classes: its loss is {type(run.loss).__name__}")


def weights_of(model: nn.Module) -> bytes:
    """A safetensors file of the network's tensors, tied ones once, as ``load_model`` reads them.

    By the library's ``save_model``, but into memory: that one writes under a name of its own choice, to no purpose
    synced, and for the user's eyes alone.
    """
    kept: dict[Any, str] = {}  # where a tensor is -> its first name
    state = model.state_dict()
    for name, tensor in sorted(state.items()):
        kept.setdefault((tensor.device, tensor.data_ptr(), tensor.shape) if tensor.numel() else name, name)
    return save({name: state[name].contiguous() for name in kept.values()})
