"""Where a split's examples are: on the training device, or in the host's memory, where a DataLoader takes them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .base import Pair

RESIDENT = ("auto", "device", "host")
SHARE = 0.5  # of a GPU's free memory that examples may take; model, activations and optimizer come after them
WORKERS = 2  # processes: while one waits for the disk, the other copies
BLOCK = 2**24  # bytes that are copied at a time


class Rows:
    """Some rows of a tensor (N, ...) that stays as it is, in memory or mapped; ``rows`` None: all."""

    def __init__(self, whole: Tensor, rows: Tensor | None = None) -> None:
        self.whole, self.rows = whole, rows
        self.shape = (len(whole) if rows is None else len(rows), *whole.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        chosen = index if self.rows is None else self.rows[index]
        # index_select copies whole rows, several times as fast as indexing
        return self.whole.index_select(0, chosen) if isinstance(chosen, Tensor) else self.whole[chosen]

    def of(self, chosen: Tensor) -> "Rows":
        """The rows of these, by index."""
        return Rows(self.whole, chosen if self.rows is None else self.rows[chosen])

    @property
    def nbytes(self) -> int:
        return len(self) * self.whole[:1].nbytes

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows, some at a time."""
        step = max(1, BLOCK // self.whole[:1].nbytes)
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield part, self[part]

    def to(self, device: torch.device) -> "Rows":
        """A copy of these rows alone, on another device."""
        copy = torch.empty(self.shape, dtype=self.whole.dtype, device=device)
        for part, block in self.blocks():
            copy[part] = block.to(device)
        return Rows(copy)


def on_host(resident: str, nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes stay in the host's memory: as asked, or (auto) where a GPU has too little to spare."""
    if resident == "auto":
        return device.type == "cuda" and nbytes > SHARE * torch.cuda.mem_get_info(device)[0]
    return resident == "host"


class Numbered(Dataset[Pair]):
    """Whole batches as the items of a data set."""

    def __init__(self, fetch: Callable[[int], Pair]) -> None:
        self.fetch = fetch

    def __getitem__(self, index: int) -> Pair:
        return self.fetch(index)


class Ahead:
    """``fetch(i)`` for any i < ``stop``, fetched ahead of need by a DataLoader while i goes on in equal steps.

    For a GPU, worker processes fetch, into pinned memory; a CPU has nothing to wait for, and its cores train.
    """

    def __init__(self, fetch: Callable[[int], Pair], stop: int, device: torch.device) -> None:
        self.fetched, self.stop = Numbered(fetch), stop
        self.workers, self.pinned = (WORKERS, True) if device.type == "cuda" else (0, False)
        self.coming = range(0)
        self.last: int | None = None
        self.batches: Iterator[Pair] = iter(())

    def __call__(self, index: int) -> Pair:
        if not self.coming or self.coming[0] != index:
            self._start(index)
        self.last, self.coming = index, self.coming[1:]
        batch = next(self.batches)
        if not self.coming:
            self.batches = iter(())  # the workers end
        return batch

    def _start(self, index: int) -> None:
        stride = 1 if self.last is None else max(1, index - self.last)
        self.coming = range(index, self.stop, stride)
        loader = DataLoader(
            self.fetched,
            batch_size=None,
            sampler=self.coming,
            collate_fn=tuple,
            num_workers=self.workers,
            pin_memory=self.pinned,
            multiprocessing_context="fork" if self.workers else None,
            generator=torch.Generator(),  # or it draws from the global one, which dropout does too
        )
        self.batches = iter(loader)
