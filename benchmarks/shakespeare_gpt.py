"""tiny_shakespeare by nanoGPT's network for a CPU: the bare loop and nanoGPT's own loop, written from its description.

python benchmarks/shakespeare_gpt.py bare|usual --data-root FOLDER [--steps 200] [--compile] [--bf16]

Block 64, batch 12, 4 layers, 4 heads, 128 wide, no dropout; AdamW (0.9, 0.99), weight decay 0.1, gradients clipped at
1.0; learning rate 1e-3 after 100 steps of warm-up, by a cosine to 1e-4.

bare: the text on the device as one tensor; per step: draw windows, forward, loss, backward, clip, fused AdamW. After
``--val-every`` steps the nll of the whole validation split, in batches of 64 windows, as in xent.
usual: the text in a file of uint16, mapped anew for each batch, windows sliced and stacked one by one; AdamW as torch
makes it; the loss read and printed at each step; after ``--val-every`` steps the loss over 20 random batches of either
split and a checkpoint. Its nll of the whole validation split is taken after the clock has stopped.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import sides

BLOCK, BATCH, EVAL_BATCH, EVAL_ITERATIONS = 64, 12, 64, 20
LR, LAST_LR, WARMUP = 1e-3, 1e-4, 100
WEIGHT_DECAY, BETAS, CLIP = 0.1, (0.9, 0.99), 1.0


def text(root: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Ids of the training and the validation part, and the number of characters."""
    raw = np.frombuffer((root / "tiny_shakespeare" / "input.txt").read_bytes(), np.uint8)
    alphabet, ids = np.unique(raw, return_inverse=True)
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(alphabet)


def model(characters: int) -> torch.nn.Module:
    sizes = {"input_shape": (BLOCK,), "num_classes": characters, "outputs": characters}
    return sides.network("gpt", n_layer=4, n_head=4, n_embd=128, dropout=0.0, **sizes)


def rate(step: int, decay_steps: int) -> float:
    if step < WARMUP:
        return LR * (step + 1) / (WARMUP + 1)
    done = min(1.0, (step - WARMUP) / max(1, decay_steps - WARMUP))
    return LAST_LR + 0.5 * (1 + math.cos(math.pi * done)) * (LR - LAST_LR)


def optimizer(network: torch.nn.Module, **how: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(sides.decay_groups(network, WEIGHT_DECAY), lr=LR, betas=BETAS, **how)


def blocks(ids: Tensor, batches: int | None) -> list[tuple[Tensor, Tensor]]:
    """The whole of a part in batches of blocks one after the other, but for the characters left over at its end."""
    count = (len(ids) - 1) // BLOCK * BLOCK
    inputs, targets = ids[:count].view(-1, BLOCK), ids[1 : count + 1].view(-1, BLOCK)
    return list(zip(inputs.split(EVAL_BATCH), targets.split(EVAL_BATCH), strict=True))[:batches]


def bare(given: argparse.Namespace) -> None:
    train_ids, val_ids, characters = text(given.data_root)
    train, val = (torch.from_numpy(ids).long().to(given.device) for ids in (train_ids, val_ids))
    batches, offsets = blocks(val, given.val_batches), torch.arange(BLOCK + 1, device=given.device)
    network = model(characters).to(given.device)
    loss, step_by = sides.switched(network, given), optimizer(network, fused=True)
    parameters = list(network.parameters())
    sides.validate(network, loss, batches)  # compiles what is to be compiled
    clock = sides.Clock(given)
    for step in range(given.steps):
        for group in step_by.param_groups:
            group["lr"] = rate(step, given.decay_steps)
        windows = train[torch.randint(len(train) - BLOCK, (BATCH, 1), device=given.device) + offsets]
        loss(windows[:, :-1], windows[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        step_by.step()
        step_by.zero_grad()
        clock.step(step + 1)
        if (step + 1) % given.val_every == 0 or step + 1 == given.steps:
            nll = sides.validate(network, loss, batches)
    sides.report(clock.stop(), nll)


def draw(path: Path, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """A batch of random windows; the file is mapped anew, lest touched pages pile up."""
    ids = np.memmap(path, dtype=np.uint16, mode="r")
    starts = torch.randint(len(ids) - BLOCK, (BATCH,)).tolist()
    x = torch.stack([torch.from_numpy(ids[i : i + BLOCK].astype(np.int64)) for i in starts])
    y = torch.stack([torch.from_numpy(ids[i + 1 : i + 1 + BLOCK].astype(np.int64)) for i in starts])
    if device == "cuda":
        return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
    return x, y


def write_parts(root: Path, folder: Path) -> tuple[dict[str, Path], int]:
    """The files that the usual loop maps."""
    train_ids, val_ids, characters = text(root)
    paths = {"train": folder / "train.bin", "val": folder / "val.bin"}
    for path, ids in zip(paths.values(), (train_ids, val_ids), strict=True):
        ids.astype(np.uint16).tofile(path)
    return paths, characters


@torch.no_grad()
def estimate(network: torch.nn.Module, paths: dict[str, Path], device: str) -> dict[str, float]:
    """Mean loss of a few random batches of either part."""
    network.eval()
    means = {}
    for name, path in paths.items():
        losses = torch.zeros(EVAL_ITERATIONS)
        for k in range(EVAL_ITERATIONS):
            x, y = draw(path, device)
            losses[k] = F.cross_entropy(network(x).flatten(0, 1), y.flatten()).item()
        means[name] = losses.mean().item()
    network.train()
    return means


def loop(given: argparse.Namespace, network: torch.nn.Module, paths: dict[str, Path], folder: Path) -> sides.Clock:
    """The usual loop; the clock, still running."""
    step_by = optimizer(network)
    x, y = draw(paths["train"], given.device)
    clock = sides.Clock(given)
    before = time.time()
    for step in range(given.steps):
        for group in step_by.param_groups:
            group["lr"] = rate(step, given.decay_steps)
        loss = F.cross_entropy(network(x).flatten(0, 1), y.flatten())
        x, y = draw(paths["train"], given.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        step_by.step()
        step_by.zero_grad(set_to_none=True)
        now = time.time()
        print(f"iter {step}: loss {loss.item():.4f}, time {1000 * (now - before):.2f}ms")
        before = now
        clock.step(step + 1)
        if (step + 1) % given.val_every == 0 or step + 1 == given.steps:
            print(f"step {step}: {estimate(network, paths, given.device)}")
            torch.save({"model": network.state_dict(), "optimizer": step_by.state_dict()}, folder / "ckpt.pt")
    return clock


def usual(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        paths, characters = write_parts(given.data_root, Path(name))
        network = model(characters).to(given.device)
        figures = loop(given, network, paths, Path(name)).stop()
    val = torch.from_numpy(text(given.data_root)[1]).long().to(given.device)
    plain = argparse.Namespace(channels_last=False, bf16=False, graphs=False, compile=False, device=given.device)
    sides.report(figures, sides.validate(network, sides.switched(network, plain), blocks(val, given.val_batches)))


def main(arguments: Sequence[str] | None = None) -> None:
    given = sides.options(__doc__, steps=200, measured_from=50, arguments=arguments)
    {"bare": bare, "usual": usual}[given.side](given)


if __name__ == "__main__":
    main()
