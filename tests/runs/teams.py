"""Runs of several processes, as the tests start and watch them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.commands import QUIET, laid_over, process
from tests.conftest import ROOT

ONE = (*QUIET, "trainer.accelerator=cpu")
TWO = (*ONE, "trainer=ddp", "trainer.devices=2")
MLP = (
    *("data.train_examples=500", "data.batch_size=20", "data.eval_batch_size=300", "data.pad=2", "data.flip=true"),
    *("model.widths=[16]", "trainer.log_every_n_steps=3", "trainer.val_every_n_steps=7"),
)
GPT = (
    *("data=python_docs", "data.block_size=16", "data.batch_size=4", "model=gpt", "samples.length=20"),
    *("model.n_layer=2", "model.n_head=2", "model.n_embd=16", "trainer.log_every_n_steps=3"),
    *("trainer.limit_train_batches=14", "trainer.limit_eval_batches=3"),
)
RESNET = (
    *("data.train_examples=100", "data.batch_size=20", "data.eval_batch_size=300", "trainer.limit_eval_batches=3"),
    *("data.pad=2", "model=resnet", "model.depth=8", "trainer.log_every_n_steps=3", "trainer.val_every_n_steps=7"),
)
EXTRAS = (
    *("ema.decay=0.9", "trainer.accumulate_grad_batches=2", "early_stopping.patience=50", "checkpoint.best=true"),
    "trainer.gradient_clip_val=0.5",
)


def finished(*words: str, status: int = 0, **kwargs: Any) -> str:
    """Run a command to its end; all it said."""
    child = process(*words, **kwargs)
    output, errors = child.communicate()
    assert child.returncode == status, output + errors
    return output + errors


def torchrun(*words: str, ranks: int = 2, **kwargs: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return subprocess.Popen(
        [*command, str(ROOT / "train.py"), *laid_over(words)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT, **kwargs},
    )


def ranks_of(first: int) -> list[int]:
    """The processes that rank 0 started and that still live."""
    return [int(word) for word in Path(f"/proc/{first}/task/{first}/children").read_text().split()]


def started(*words: str, **kwargs: Any) -> "tuple[subprocess.Popen[str], int]":
    """A run of two ranks that has begun to train, and its second rank."""
    child = process(*words, **kwargs)
    assert child.stdout
    while "step " not in child.stdout.readline():
        assert child.poll() is None, child.stderr and child.stderr.read()
    (other,) = ranks_of(child.pid)
    return child, other
