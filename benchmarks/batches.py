"""Throughput of the batch source alone: xent's batches in memory against the usual way's.

python benchmarks/batches.py --case mnist_mlp|shakespeare_gpt|cifar_resnet20 --data-root FOLDER [--rounds 5] -- WORDS

In turn, in one process: ``--batches`` batches of the data that train.py's WORDS name, and as many of the case's usual
way with each number of workers, each already started. Prints one JSON line with the seconds a batch of each.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import cifar_resnet20, mnist_mlp, shakespeare_gpt
from benchmarks.evaluation import configured

LOADERS = {"mnist_mlp": mnist_mlp.loaders, "cifar_resnet20": cifar_resnet20.loaders}


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def usual(case: str, root: Path, folder: Path, workers: Sequence[int]) -> dict[str, Callable[[], Any]]:
    """What draws a batch in the usual way, by name."""
    if case == "shakespeare_gpt":
        paths, _ = shakespeare_gpt.write_parts(root, folder)
        return {"memory map": lambda: shakespeare_gpt.draw(paths["train"])}
    given = [argparse.Namespace(data_root=root, workers=number, device="cpu") for number in workers]
    sources = [endless(LOADERS[case](each)[0]) for each in given]
    return {
        f"{number} workers": lambda source=source: next(source) for number, source in zip(workers, sources, strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=[*LOADERS, "shakespeare_gpt"], required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments)
    _, data = configured(given.words)
    steps = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        sources = {"xent": lambda: data.train_batch(0, next(steps))}
        sources |= usual(given.case, given.data_root, Path(folder), given.workers)
        for draw in sources.values():
            draw()
        rounds = [{name: seconds(draw, given.batches) for name, draw in sources.items()} for _ in range(given.rounds)]
    print(json.dumps({"rounds": rounds}))


def seconds(draw: Callable[[], Any], batches: int) -> float:
    """Of one batch, on average."""
    start = time.perf_counter()
    for _ in range(batches):
        draw()
    return (time.perf_counter() - start) / batches


if __name__ == "__main__":
    main()
