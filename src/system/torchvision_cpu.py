"""Lets torchvision's wheel load beside a CPU-only torch. Import this before torchvision, torchmetrics or Lightning.

The index's torchvision is built against the CUDA torch. Beside a CPU build its extension cannot load, and the import
then dies in the registration of shape functions for two operators that do not exist. Defining their schemas lets it go
on; xent uses neither operator.
"""

import importlib.util
from pathlib import Path

import torch


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # not installed: the import itself will say so
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


if not _extension_loads():
    for _operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
