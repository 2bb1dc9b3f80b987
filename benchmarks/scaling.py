"""How the time and memory of a training step grow: with the batch, the width, and the number of classes.

python benchmarks/scaling.py [--device cuda] [--seconds 0.5] [--rows classes]

Each row is a process of its own, forked before any computation: hand-written eager steps (forward, loss, backward,
fused AdamW, float32) on random inputs for ``--seconds``, after one to warm up. Prints one JSON line: for each row the
median seconds of a step and the peak bytes that it took beyond what the process began with.

``chunked`` gives the head of the language model to torch.nn.functional.linear_cross_entropy, which takes the positions
in pieces and never holds all logits.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import sides

Row = dict[str, Any]
BATCHES, WIDTHS, CLASSES = (32, 128, 512, 2048), (64, 256, 1024), (100, 1_000, 10_000, 50_000)
ROWS: dict[str, list[Row]] = {
    "batch": [{"model": "mlp", "batch": batch, "width": 256, "classes": 10} for batch in BATCHES]
    + [{"model": "gpt", "batch": batch, "width": 128, "classes": 65} for batch in (3, 12, 48)],
    "width": [{"model": "mlp", "batch": 128, "width": width, "classes": 10} for width in WIDTHS]
    + [{"model": "gpt", "batch": 12, "width": width, "classes": 65} for width in (64, 128, 256)],
    "classes": [
        {"model": "gpt", "batch": 12, "width": 128, "classes": classes, "chunked": chunked}
        for classes in CLASSES
        for chunked in (False, True)
    ],
}
BLOCK = 64
CHUNK = 128  # positions; torch's own choice at 50,000 classes is so small that a step takes some ten times as long


def built(row: Row, device: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A network, and what gives the loss of a batch."""
    batch, width, classes = row["batch"], row["width"], row["classes"]
    sizes = {"num_classes": classes, "outputs": classes}
    if row["model"] == "mlp":
        network = sides.network("mlp", input_shape=(1, 28, 28), widths=[width, width], dropout=0.0, **sizes).to(device)
        x, y = torch.randn(batch, 1, 28, 28, device=device), torch.randint(classes, (batch,), device=device)
        return network, lambda: F.cross_entropy(network(x), y)
    network = sides.network("gpt", input_shape=(BLOCK,), n_layer=4, n_head=4, n_embd=width, **sizes).to(device)
    x, y = torch.randint(classes, (2, batch, BLOCK), device=device)
    if not row.get("chunked"):
        return network, lambda: F.cross_entropy(network(x).flatten(0, 1), y.flatten())
    weight, network.head = network.head.weight, nn.Identity()  # tied to the embedding, so it stays a parameter
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=CHUNK)
    return network, lambda: F.linear_cross_entropy(network(x).flatten(0, 1), weight, y.flatten(), options=options)


def measure(row: Row, device: str, seconds: float, answer: Connection) -> None:
    """Send the row with its figures."""
    tiny = nn.Linear(1, 1)
    tiny(torch.ones(1, 1)).sum().backward()
    torch.optim.AdamW(tiny.parameters(), fused=True).step()  # the libraries that a first step loads are none of its own
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.manual_seed(0)
    network, loss = built(row, device)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    times: list[float] = []
    while len(times) < 4 or sum(times[1:]) < seconds:
        start = time.perf_counter()
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        value.item()
        times.append(time.perf_counter() - start)
    own = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else own
    answer.send(row | {"seconds": statistics.median(times[1:]), "peak_bytes": peak, "loss": value.item()})


def in_a_process(row: Row, device: str, seconds: float) -> Row:
    """``measure`` in a child; without figures where this torch has no linear_cross_entropy."""
    if row.get("chunked") and not hasattr(nn, "LinearCrossEntropyOptions"):
        return row
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(row, device, seconds, sender))
    child.start()
    sender.close()
    figures = receiver.recv()
    child.join()
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=0.5, help="of steps, a row; at least three steps")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    given = parser.parse_args(arguments)
    print(
        json.dumps(
            {name: [in_a_process(row, given.device, given.seconds) for row in ROWS[name]] for name in given.rows}
        )
    )


if __name__ == "__main__":
    main()
