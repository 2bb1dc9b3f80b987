"""How much of the device's arithmetic a run uses."""

import copy
import functools
import logging
import re
import time

import torch
from torch import nn

from ..data.base import Spec
from ..ranks import ranks

log = logging.getLogger("xent")
DTYPES = {
    "32-true": torch.float32,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
    "64-true": torch.float64,
}
# torch's name of a GPU -> Tflop/s of float32, of TF32, of bfloat16 and float16; dense, summed up in float32.
# Sources: NVIDIA's data sheets and, for GeForce, the white papers of GA102 and Ada. Parts of a GPU (MIG) are not in it.
PEAKS = {
    r"NVIDIA A10": (31.2, 62.5, 125.0),
    r"NVIDIA A100[- ].*": (19.5, 156.0, 312.0),
    r"NVIDIA H100 80GB HBM3": (66.9, 494.7, 989.4),
    r"NVIDIA H100 PCIe": (51.2, 378.0, 756.0),
    r"NVIDIA H200": (66.9, 494.7, 989.4),
    r"NVIDIA L4": (30.3, 60.0, 121.0),
    r"NVIDIA L40": (90.5, 90.5, 181.0),
    r"NVIDIA L40S": (91.6, 183.0, 362.0),
    r"NVIDIA GeForce RTX 3090": (35.6, 35.6, 71.2),
    r"NVIDIA GeForce RTX 4090": (82.6, 82.6, 165.2),
}


class Utilisation:
    """Floating-point operations a second, and MFU: their share of what the devices could do at most.

    Counted are the operations of the network's matrix products, convolutions and attention, forward and backward, by
    torch's counter on a copy without data; what a loss, a teacher or an optimizer does besides is not. The most that a
    device could do is that of its data sheet or, for a CPU and a GPU not in the table, what a large matrix product
    reaches here. Both are found when first asked for, in some 0.02 to 0.4 s. Nothing is counted if ``model`` is None.
    Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B (without their halving of causal attention).
    """

    def __init__(self, model: nn.Module | None, spec: Spec, precision: str) -> None:
        self.spec, self.dtype = spec, DTYPES[precision]
        try:
            self.network = None if model is None else on_meta(model)  # now: a strategy may cut the model into pieces
        except Exception:  # a network that cannot be copied trains all the same
            log.debug("operations are not counted", exc_info=True)
            self.network = None

    def at(self, examples_per_second: float, device: torch.device) -> dict[str, float]:
        """The values to record at this rate over all ranks; none where the operations cannot be counted."""
        if self.flops is None:
            return {}
        rate = self.flops * examples_per_second
        return {"train/flops_per_second": rate, "train/mfu": rate / (peak(device, self.dtype) * ranks.world())}

    @functools.cached_property
    def flops(self) -> float | None:
        """Operations an example; None where the network cannot run without data."""
        if self.network is None:
            return None
        try:
            return count(self.network, self.spec)
        except Exception:
            log.debug("operations are not counted", exc_info=True)
            return None


def on_meta(model: nn.Module) -> nn.Module:
    """A copy in training mode that has shapes alone: it takes no memory, draws no numbers and computes nothing."""
    memo: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
    return copy.deepcopy(model, memo).train()


def count(network: nn.Module, spec: Spec) -> float:
    """Operations of a network on the meta device, forward and backward, an example. A multiply-add is two."""
    from torch.utils.flop_counter import FlopCounterMode

    kind = torch.long if spec.kind == "text" else torch.float32
    inputs = torch.empty((2, *spec.input_shape), dtype=kind, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(inputs).sum().backward()
    return counter.get_total_flops() / 2


@functools.cache
def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second that the device can do at most, by its data sheet or by measurement."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    rows = [row for pattern, row in PEAKS.items() if re.fullmatch(pattern, name) and "MIG" not in name]
    if not rows or dtype == torch.float64:
        return measured(device, dtype)
    if dtype != torch.float32:
        return rows[0][2] * 1e12
    return rows[0][0 if torch.get_float32_matmul_precision() == "highest" else 1] * 1e12


def measured(device: torch.device, dtype: torch.dtype) -> float:
    """The best of four matrix products of n x n, which are 2 n^3 operations each."""
    n = 512 if device.type == "cpu" else 4096
    matrix = torch.linspace(-1, 1, n * n, device=device).view(n, n).to(dtype)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)
