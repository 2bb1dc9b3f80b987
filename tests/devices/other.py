"""A device that is not the CPU, without a GPU: tensors there have a shape, a type and a place, and no values.

Mixing devices raises, and so does everything that needs a value, as ``.item()``, ``.tolist()`` and ``if tensor``:
that is where a GPU would be waited for. It is for a process of its own, whose second device it stays.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only


class Backend(backend_registration._DummyBackendModule):  # type: ignore[no-any-unimported, misc]
    """What torch asks of a device's module."""

    def get_rng_state(self, device: Any = 0) -> Tensor:
        return torch.zeros(8, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: Any = 0) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


backend_registration._setup_privateuseone_for_python_backend("other", backend_module=Backend())
DEVICE = torch.device("other:0")
swap = torch.utils.swap_tensors


def swap_unless_there(one: Tensor, other: Tensor) -> None:
    """A module that is moved to where it is already: torch cannot swap a tensor without values with itself."""
    if one.device != other.device or one.dtype != other.dtype:
        swap(one, other)


def copied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """A deep copy; torch's own looks for the values."""
    copy = torch.empty_like(tensor, requires_grad=False)
    memo[id(tensor)] = nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
    return memo[id(tensor)]


def made(data: Any, *, device: Any = None, **how: Any) -> Tensor:
    """torch.tensor, which would make a value on the device itself."""
    return tensor(data, **how).to(device or "cpu")


tensor, torch.tensor = torch.tensor, made
torch.utils.swap_tensors = swap_unless_there  # type: ignore[assignment]
FakeTensor.__deepcopy__ = copied  # type: ignore[assignment]
FAKE = FakeTensorMode(allow_non_fake_inputs=True)


META = torch.library.Library("aten", "IMPL", "Meta")
META.impl("_fused_sgd_", lambda *args, **kwargs: None)  # of torch's fused optimizers the only one without


class WaitsError(AssertionError):
    """The host waits for the device."""


class Other(TorchDispatchMode):
    """Gives real tensors, which are the host's, a part in it; while ``busy``, copies to the host are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Tensor, faked, (args, kwargs or {}))
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == DEVICE:
            dtype = kwargs.get("dtype") or args[0].dtype
            return torch.ops.aten.empty_strided.default(args[0].shape, args[0].stride(), dtype=dtype, device=DEVICE)
        result = func(*args, **kwargs)
        there = any(leaf.device == DEVICE for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        here = any(leaf.device != DEVICE for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        if self.busy and there and here:
            raise WaitsError(f"{func} copies from the device")
        return result


def faked(tensor: Tensor) -> Tensor:
    return tensor if isinstance(tensor, FakeTensor) else FAKE.from_tensor(tensor)


def number(value: int) -> Tensor:
    """A number of the host's, whose value may be looked at."""
    with _disable_current_modes():
        real = tensor(value)
    return FAKE.fake_tensor_converter.from_real_tensor(FAKE, real, make_constant=True)


@contextlib.contextmanager
def other_device() -> Iterator[Other]:
    with FAKE, Other() as mode:
        yield mode
