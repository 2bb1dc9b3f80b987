"""How Lightning is to spread a run over its ranks."""

from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy

from ..callbacks.checkpoint import AtomicCheckpointIO
from ..models.base import RepeatedBlock
from ..plain import Plain
from ..ranks import ranks


def spread(settings: Plain, device: str) -> Plain:
    """The trainer's arguments that say where it runs."""
    name = settings["strategy"]
    strategy: str | Strategy = "auto"
    if name == "ddp":
        # Lightning evaluates through the wrapper, which would wait for every rank at every batch to share buffers
        strategy = DDPStrategy(broadcast_buffers=False)
    elif name == "fsdp":
        strategy = FSDPStrategy(auto_wrap_policy={RepeatedBlock}, state_dict_type="full")
    return {
        "accelerator": device,
        "devices": settings["devices"],
        "num_nodes": settings["num_nodes"],
        "strategy": strategy,
        "sync_batchnorm": name is not None and device == "gpu",
        "plugins": [AtomicCheckpointIO(), *([Joined(settings["devices"])] if name else [])],
    }


class Joined(LightningEnvironment):
    """The ranks as Lightning is to see them: all started, this one where it is."""

    def __init__(self, devices: int) -> None:
        super().__init__()
        self.devices = devices

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return ranks.rank() % self.devices

    def node_rank(self) -> int:
        return ranks.rank() // self.devices


class SharedBuffers(Callback):
    """Evaluates all ranks with rank 0's buffers, which are those of the checkpoint (BatchNorm's running statistics).

    In training each rank's BatchNorm standardises by its own share; torch has SyncBatchNorm on GPUs alone.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if ranks.world() > 1:
            for buffer in pl_module.buffers():
                dist.broadcast(buffer, 0)
