"""Run a command with several seeds and print mean and standard deviation of its result.

    python benchmarks/repeat.py 0 1 2 -- experiment=shakespeare_char_cpu
    python benchmarks/repeat.py 0 1 2 --of test/accuracy class/3 -- loss=focal trainer.threads=1

Finished runs are not trained again: each command finishes the run that it names.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    options, words = arguments()
    values: dict[str, list[float]] = {tag: [] for tag in options.of}
    for seed in options.seeds:
        found = result([*words, f"seed={seed}"])
        for tag in options.of:
            split, _, name = tag.partition("/")
            values[tag].append((found["class_accuracy"] if split == "class" else found["metrics"][split])[name])
    print("python train.py", *words)
    for tag, numbers in values.items():
        spread = f" ± {statistics.stdev(numbers):.4f} (sd)" if len(numbers) > 1 else ""
        each = ", ".join(f"{value:.4f}" for value in numbers)
        print(f"  {tag:24} {statistics.mean(numbers):.4f}{spread}, n = {len(numbers)}: {each}")


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and the words of the command behind "--"."""
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="+", type=int)
    parser.add_argument("--of", nargs="+", default=["test/accuracy", "test/nll", "val/nll"], metavar="TAG")
    return parser.parse_args(given[:cut]), given[cut + 1 :]


def result(words: list[str]) -> dict[str, Any]:
    """The result.json of the run that the command finished."""
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    folder = next(line for line in done.stdout.splitlines() if line.startswith("run folder: "))
    return json.loads(Path(folder.removeprefix("run folder: "), "result.json").read_text())


if __name__ == "__main__":
    main()
