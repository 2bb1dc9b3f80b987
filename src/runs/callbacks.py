"""The user's own callbacks, built and checked before anything is written."""

from pytorch_lightning.callbacks import Callback

from ..callbacks.checkpoint import check_state
from ..config.check import callbacks_of
from ..config.errors import UserError
from ..names import NAME
from ..plain import Plain
from . import build


def build_callbacks(cfg: Plain) -> list[Callback]:
    """Those of the group ``callbacks``, in their order. Raises UserError.

    Each that has a state needs a key of its own in the checkpoint: by default that is the name of its class.
    """
    nodes = callbacks_of(cfg)
    found = {place: build.construct(nodes, place) for place in nodes}
    keys = {
        kind.__qualname__: "a callback of xent's own"
        for kind in subclasses(Callback)
        if kind.__module__.startswith(f"{NAME}.")
    }
    for place, callback in found.items():
        if type(callback).state_dict is Callback.state_dict:
            continue
        try:
            check_state("it", callback.state_dict())
            key = callback.state_key
        except Exception as error:  # whatever a class of the user's own raises
            raise UserError(f"the state of {place} cannot be kept in a checkpoint: {error}") from error
        if (other := keys.setdefault(key, place)) != place:
            raise UserError(
                f"{place} and {other} would be kept in a checkpoint by the same name, {key!r}: give the class a"
                " state_key of its own"
            )
    return list(found.values())


def subclasses(kind: type) -> list[type]:
    """All classes that are derived from a class, at any depth."""
    children: list[type] = kind.__subclasses__()
    return [*children, *(found for child in children for found in subclasses(child))]
