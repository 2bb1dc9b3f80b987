"""Measure xent against the bare loop and the usual way, and write docs/benchmarks.json and docs/benchmarks.md.

    python benchmarks/bench.py [--data FOLDER] [--rounds 5] [--parts mnist_mlp start ...] [--device cuda]
    python benchmarks/bench.py --parts plain scaling switches whole sweep    those that take minutes, not of the default
    python benchmarks/bench.py --parts                  write the page anew from the figures that are there

FOLDER holds MNIST/, tiny_shakespeare/ and cifar10_jpeg/{train,test}/CLASS/ (default: $XENT_DATA, else datasets/). Every
side is a fresh process; the sides take turns, A B C A B C. A part's figures replace those of its last measurement.
"""

import argparse
import datetime
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from benchmarks import cases, page
from benchmarks.cases import CASES, Case
from benchmarks.measure import ROOT, Figures, Finished, by_hand, experiment, start, sweep, xent


def trained(name: str, given: argparse.Namespace, plain: bool = False) -> Figures:
    """A case's three sides, round by round."""
    usual, trials = workers(name, given)
    rounds = []
    for number in range(given.rounds):
        rounds.append(sides(name, given, usual, plain=plain))
        said = "  ".join(f"{side} {figures['seconds']:.2f} s" for side, figures in rounds[-1].items())
        print(f"{name} round {number + 1}: {said}", flush=True)
    commands = {side: " ".join(figures["command"]) for side, figures in rounds[0].items()}
    for figures in (figures for each in rounds for figures in each.values()):
        del figures["command"]
    return {"rounds": rounds, "commands": commands, "trials": trials}


def workers(name: str, given: argparse.Namespace) -> tuple[list[str], Figures]:
    """Words for the case's fastest number of workers of the usual way, and the seconds of each for a few steps."""
    case, few = CASES[name], CASES[name].measured_from + max(1, CASES[name].steps // 4)
    trials = {}
    for number in case.workers:
        words = [*by_hand_words(name, given, few, case.measured_from, 1), "--workers", str(number)]
        trials[str(number)] = by_hand(f"{name}.py", ["usual", *words])["seconds"]
    return (["--workers", min(trials, key=trials.__getitem__)] if trials else []), trials


def by_hand_words(name: str, given: argparse.Namespace, steps: int, first: int, val_batches: int | None) -> list[str]:
    words = ["--data-root", str(given.data / CASES[name].root), "--device", given.device]
    words += ["--steps", str(steps), "--measured-from", str(first)]
    return words + (["--val-batches", str(val_batches)] if val_batches else [])


def sides(
    name: str, given: argparse.Namespace, usual: list[str], to_the_end: bool = False, plain: bool = False
) -> dict[str, Figures]:
    """One round: as Case says, or all three from the first step to the end; ``plain``: without xent's switches."""
    case = CASES[name]
    every = cases.WHOLE_VAL_EVERY if to_the_end else case.steps
    steps, own_steps = (cases.WHOLE_STEPS, cases.WHOLE_STEPS) if to_the_end else (case.steps, 2 * case.steps)
    own_first = every + case.measured_from
    val_batches = None if to_the_end else case.val_batches
    words = by_hand_words(name, given, steps, own_first if to_the_end else case.measured_from, val_batches)
    words += ["--val-every", str(every), "--decay-steps", str(own_steps)]
    switches = ["--bf16", "--graphs"] if given.device == "cuda" else list(case.bare)
    plan = {"max_epochs": "null", "max_steps": own_steps, "val_every_n_steps": every}
    plan |= {"log_every_n_steps": case.log_every, "limit_eval_batches": val_batches or "null"}
    own = [*train_words(case, given), *(f"trainer.{key}={value}" for key, value in plan.items())]
    if plain:
        switches, own = ([word for word in side if word not in cases.SWITCHES] for side in (switches, own))
    return {
        "bare": by_hand(f"{name}.py", ["bare", *words, *switches]),
        "usual": by_hand(f"{name}.py", ["usual", *words, *usual]),
        "xent": xent(own, own_first, own_steps, steps),
    }


def train_words(case: Case, given: argparse.Namespace) -> list[str]:
    """train.py's words: the device's come last and win."""
    gpu = case.gpu_words if given.device == "cuda" else ()
    settled = {word.partition("=")[0] for word in gpu}
    kept = [word for word in case.words if word.partition("=")[0] not in settled]
    return [*kept, *gpu, f"data.root={given.data / case.root}"]


def whole(given: argparse.Namespace) -> Figures:
    """The three sides of one case trained to the end, once, for their validation nll."""
    usual, _ = workers(cases.WHOLE, given)
    return sides(cases.WHOLE, given, usual, to_the_end=True)


def default(given: argparse.Namespace) -> Figures:
    """Each case's three sides in float32, nothing compiled: xent's default preset."""
    return {name: trained(name, given, plain=True)["rounds"] for name in CASES}


def evaluation(given: argparse.Namespace) -> Figures:
    found = {}
    for name, case in CASES.items():
        words = ["--rounds", str(given.rounds), "--steps", str(case.switched_steps), "--", *train_words(case, given)]
        found[name] = script("evaluation.py", words)["rounds"]
    return found


def batches(given: argparse.Namespace) -> Figures:
    found = {}
    for name, case in CASES.items():
        words = ["--case", name, "--data-root", str(given.data / case.root), "--rounds", str(given.rounds), "--"]
        found[name] = script("batches.py", [*words, *train_words(case, given)])["rounds"]
    return found


def switches(given: argparse.Namespace) -> Figures:
    found = {}
    for name, case in CASES.items():
        words = [*(word for word in case.words if word not in cases.SWITCHES), f"data.root={given.data / case.root}"]
        words += ["trainer=gpu"] if given.device == "cuda" else []
        steps = ["--rounds", str(given.rounds), "--steps", str(case.switched_steps)]
        found[name] = script("switches.py", [*steps, "--", *words])
    return found


def starts(given: argparse.Namespace) -> Figures:
    return {"rounds": [start(["data=mnist_5k"]) for _ in range(given.rounds)]}


def scaling(given: argparse.Namespace) -> Figures:
    return script("scaling.py", ["--device", given.device])


def swept(given: argparse.Namespace) -> Figures:
    """An ablation by one command, and its runs by a loop over commands."""
    ablation = yaml.safe_load((ROOT / "conf" / "ablation" / f"{cases.SWEPT}.yaml").read_text())
    fixed = [f"trainer.{key}={value}" for key, value in ablation["trainer"].items()] + ["trainer.threads=1"]
    jobs = [
        [run, f"seed={seed}", *fixed] for seed in ablation["ablation"]["seeds"] for run in ablation["ablation"]["runs"]
    ]
    return sweep([f"ablation={cases.SWEPT}"], jobs)


def published(given: argparse.Namespace) -> Figures:
    """The experiments with a published figure, as far as there are files of them."""
    there = [name for name in cases.PUBLISHED if (ROOT / "conf" / "experiment" / f"{name}.yaml").exists()]
    trainer = "gpu" if given.device == "cuda" else "cpu"
    return {name: experiment([f"experiment={name}", f"data.root={given.data}", f"trainer={trainer}"]) for name in there}


def script(file: str, words: list[str]) -> Figures:
    """What another file of this folder prints as its one line of JSON."""
    return json.loads(Finished([str(ROOT / "benchmarks" / file), *words]).line("{"))


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    **{name: lambda given, name=name: trained(name, given) for name in CASES},
    **{"evaluation": evaluation, "start": starts, "batches": batches, "scaling": scaling},
    **{"plain": default, "switches": switches, "whole": whole, "sweep": swept, "published": published},
}
DEFAULT = [name for name in PARTS if name not in ("scaling", "plain", "switches", "whole", "sweep", "published")]


def machine() -> Figures:
    """Where and with what a part was measured, in a process of its own: this one does not import torch."""
    code = """
import json, os, torch
from src.runs import machine
device = "gpu" if torch.cuda.is_available() else "cpu"
names = machine.describe(device, torch.get_num_threads()) | {"cores": len(os.sched_getaffinity(0))}
print(json.dumps(names | {"cpu": machine.processor()}))
"""
    load = f"{os.getloadavg()[0]:.1f}"
    return json.loads(Finished(["-c", code]).line("{")) | {"date": str(datetime.date.today()), "load": load}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("XENT_DATA") or ROOT / "datasets"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=DEFAULT)
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of benchmarks.json and benchmarks.md")
    given = parser.parse_args(arguments)
    given.data = given.data.resolve()
    path = given.into / "benchmarks.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    for name in given.parts:
        on = machine()
        print(f"{name} ...", flush=True)
        text = json.dumps({"on": on, "figures": PARTS[name](given)}).replace(str(given.data), "DATA")
        stored.setdefault(given.device, {})[name] = json.loads(text)
        path.write_text(json.dumps(stored, indent=1) + "\n")  # at once: a later part may fail
    (given.into / "benchmarks.md").write_text(page.page(stored))


if __name__ == "__main__":
    main()
