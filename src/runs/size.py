"""Whether a network fits into the machine, told before its weights are made."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..config.errors import UserError
from ..models.base import Network
from ..plain import Plain

# where a container's bound is, by cgroups' second and first version
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
COPIES = 4  # of each weight, in float32: itself, its gradient, and AdamW's two averages; on a GPU the host has one


def check_size(make: Callable[[], Network], keys: Plain) -> None:
    """Raise UserError where the network that ``make`` gives needs more memory to train than there is at all.

    It is made without its numbers (torch's device "meta"); ``keys`` are those of its constructor, for the message.
    """
    sizes = " ".join(f"model.{key}={value}" for key, value in keys.items() if holds_integers(value))
    too_large = f"the network is too large: {sizes}".replace(", ", ",")
    try:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in make().parameters())
    except (RuntimeError, OverflowError):  # more numbers than torch can count
        raise UserError(f"{too_large} is more than torch can count") from None
    except NotImplementedError:  # a network of the user's own that needs its numbers
        return
    needed, there = 4 * count * (1 if torch.cuda.is_available() else COPIES), memory()
    if needed > there:
        raise UserError(
            f"{too_large} makes {count:,} parameters, which take {needed / 2**30:,.0f} GiB to train, and this machine"
            f" has {there / 2**30:,.0f} GiB"
        )


def holds_integers(value: Any) -> bool:
    members = value if isinstance(value, list) else [value]
    return bool(members) and all(isinstance(member, int) and not isinstance(member, bool) for member in members)


def memory() -> int:
    """Bytes of memory that this process may have."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # another system; "max"
            host = min(host, int(Path(path).read_text()))
    return host
