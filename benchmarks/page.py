"""docs/benchmarks.md from the figures of docs/benchmarks.json."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import cases
from benchmarks.cases import CASES, Case
from benchmarks.ratio import Ratio, spread

Figures = dict[str, Any]
NONE = "not measured"
SIDES = ("bare", "usual", "xent")
INTRO = """# Benchmarks

Written by `make bench` (`make bench-gpu`) from the figures in [benchmarks.json](benchmarks.json). Each training is done
three times, with the same network, batch, optimizer, schedule and held-out examples:

- **bare**: the tightest loop by hand. Tensors in memory, fused optimizer, no metrics, no log, no checkpoint. It has
  xent's switches, but nothing is compiled for the MLP.
- **usual**: torchvision's data set, DataLoader with per-example transforms, a plain LightningModule with
  torchmetrics, TensorBoard and checkpoint. For text it is nanoGPT's loop.
- **xent** as users run it, with all its metrics, TensorBoard and checkpoints, under the switches of its command.

Every side is a fresh process, and the sides take turns in each round. Seconds are of the steps named: drawing their
batches, one validation at their end, and what the side writes. They are not of imports, of decoding once, of the
first steps and of compiling. Cells are median (quartiles) over the rounds. Ratios are the median of the paired ratios
by round (95 % interval, Student's t on their logarithms). Peak memory is resident memory of the largest process,
libraries included. Environment variables are as the caller has them; train.py sets GOMP_SPINCOUNT for itself.
"""


def page(stored: Figures) -> str:
    """The whole page."""
    cpu, gpu = (stored.get(name, {}) for name in ("cpu", "cuda"))
    return "\n".join([INTRO, device("On a CPU", cpu), device("On a GPU", gpu, gpu=True)])


def device(title: str, found: Figures, gpu: bool = False) -> str:
    figures = {name: part["figures"] for name, part in found.items()}
    lines = [f"## {title}", ""]
    if not found:
        return "\n".join([*lines, f"{NONE[0].upper()}{NONE[1:]}.", ""])
    if not gpu:
        lines += ["### What is aimed at", "", *table(("", "aim", "measured", "met"), aims(figures))]
    for name, case in CASES.items():
        lines += ["", f"### {case.title}", "", *(training(case, figures[name]) if name in figures else [NONE])]
    for heading, name, write in SECTIONS:
        if gpu or name != "published":
            lines += ["", f"### {heading}", "", *(write(figures[name]) if name in figures else [NONE])]
    return "\n".join([*lines, "", "### Measured on", "", *machines(found), ""])


def column(rounds: Sequence[Figures], *keys: str) -> list[float]:
    values: list[Any] = list(rounds)
    for key in keys:
        values = [value[key] for value in values]
    return values


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def versus(rounds: Sequence[Figures]) -> tuple[Ratio, Ratio]:
    """How many times as fast as the usual way xent is, and its time in times of the bare loop's."""
    times = {side: column(rounds, side, "seconds") for side in SIDES}
    return Ratio.of(times["usual"], times["xent"]), Ratio.of(times["xent"], times["bare"])


def aims(figures: Figures) -> list[list[str]]:
    rows = []
    for name, case in CASES.items():
        rounds = figures.get(name, {}).get("rounds")
        faster, cost = versus(rounds) if rounds else (None, None)
        end = ", upper end" if case.of_interval else ""
        rows.append(judged(f"{name}: times as fast as the usual way", f">= {case.at_least}", faster, case.at_least))
        rows.append(
            judged(
                f"{name}: times the bare loop's time{end}", f"<= {case.at_most}", cost, case.at_most, case.of_interval
            )
        )
    if "whole" in figures:
        ours, theirs = (figures["whole"][side]["val_nll"] for side in ("xent", "usual"))
        measured, met = f"{ours:.4f} against {theirs:.4f}", abs(ours - theirs) <= 0.02
    else:
        measured, met = NONE, None
    rows.append(
        [f"{cases.WHOLE}: validation nll after {cases.WHOLE_STEPS} steps", "± 0.02 of usual", measured, word(met)]
    )
    for name, case in CASES.items():
        found = figures.get("evaluation", {}).get(name)
        limit = case.evaluation_at_most
        if limit is not None:
            cost = Ratio.of(column(found, "metrics"), column(found, "logits")) if found else None
            what = f"{name}: evaluation, times that of logits, upper end"
            rows.append(judged(what, f"<= {limit}", cost, limit, True))
        measured, met = NONE, None
        if found:
            shares = added(found)
            measured, met = percent(shares), statistics.median(shares) <= case.metrics_at_most
        what = f"{name}: what validation metrics add to an epoch"
        rows.append([what, f"<= {case.metrics_at_most:.0%}", measured, word(met)])
    if rounds := figures.get("start", {}).get("rounds"):
        beyond = [each["first_step"] - each["imports"] for each in rounds]
        measured, met = f"{spread(beyond)} s", sorted(beyond)[len(beyond) // 2] <= cases.START_AT_MOST
    else:
        measured, met = NONE, None
    rows.append(["first step of mnist_5k, beyond the imports", f"<= {cases.START_AT_MOST} s", measured, word(met)])
    one = figures.get("sweep")
    measured = (
        f"{one['apart'] / one['together']:.2f}, {'bit-identical' if one['equal'] else 'NOT EQUAL'}" if one else NONE
    )
    met = one["apart"] >= cases.SWEEP_AT_LEAST * one["together"] and one["equal"] if one else None
    aim = f">= {cases.SWEEP_AT_LEAST}, bit-identical"
    return [*rows, [f"ablation={cases.SWEPT}: times as fast as a shell loop", aim, measured, word(met)]]


def judged(what: str, aim: str, ratio: Ratio | None, limit: float, of_interval: bool = False) -> list[str]:
    if ratio is None:
        return [what, aim, NONE, word(None)]
    met = ratio.median >= limit if aim.startswith(">") else (ratio.high if of_interval else ratio.median) <= limit
    return [what, aim, str(ratio), word(met)]


def word(met: bool | None) -> str:
    return "—" if met is None else "yes" if met else "**no**"


def training(case: Case, found: Figures) -> list[str]:
    rounds = found["rounds"]
    faster, cost = versus(rounds)
    head = ("", f"s of {rounds[0]['bare']['steps']} steps and a validation", "whole, s", "val nll", "peak, MiB")
    rows = []
    for side in SIDES:
        memory = [value / 2**20 for value in column(rounds, side, "peak_bytes")]
        gpu = [value / 2**20 for value in column(rounds, side, "gpu_bytes") if value]
        peaks = spread(memory, 0) + (f"; GPU {spread(gpu, 0)}" if gpu else "")
        # the first batches of a validation split may hold few of the classes
        nll = "—" if case.val_batches else spread(column(rounds, side, "val_nll"), 4)
        whole = spread(column(rounds, side, "whole"))
        rows.append([side, spread(column(rounds, side, "seconds"), 3), whole, nll, peaks])
    tried = ", ".join(f"{seconds:.1f} s with {number}" for number, seconds in found["trials"].items())
    return [
        *table(head, rows),
        "",
        "train.py takes twice the steps of the others; its whole is of all of them, its val nll after half of them.",
        f"A validation is {case.val_words}.",
        *([f"Workers of the usual way (the faster is taken): {tried}."] if tried else []),
        f"xent is {faster} times as fast as the usual way and takes {cost} times the bare loop's time,"
        f" {len(rounds)} rounds.",
        "",
        "```sh",
        *(found["commands"][side] for side in SIDES),
        "```",
    ]


def whole(found: Figures) -> list[str]:
    rows = [[side, f"{each['whole']:.1f}", f"{each['val_nll']:.4f}"] for side, each in found.items()]
    return [f"{cases.WHOLE}, once.", "", *table(("", "s", "validation nll, whole split"), rows)]


def added(rounds: Sequence[Figures]) -> list[float]:
    """What an epoch's validation metrics add to its training steps and the logits of its validation."""
    return [(each["metrics"] - each["logits"]) / (each["epoch"] + each["logits"]) for each in rounds]


def percent(shares: Sequence[float]) -> str:
    return f"{spread([100 * share for share in shares], 1)} %"


def evaluation(found: Figures) -> list[str]:
    rows = []
    for name, rounds in found.items():
        plain, full = column(rounds, "logits"), column(rounds, "metrics")
        times = [spread(values, 3) for values in (plain, full)]
        rows.append([name, *times, str(Ratio.of(full, plain)), spread(column(rounds, "epoch")), percent(added(rounds))])
    head = (
        "",
        "logits only, s",
        "Trainer.validate with all metrics, s",
        "ratio",
        "an epoch's steps, s",
        "added to it",
    )
    return ["The whole validation split, in turn, in one process.", "", *table(head, rows)]


def plain(found: Figures) -> list[str]:
    lines = ["The same in float32 with nothing compiled, which is xent's default. The bare loop has that too.", ""]
    rows = []
    for name, rounds in found.items():
        times = [spread(column(rounds, side, "seconds"), 3) for side in SIDES]
        rows.append([name, *times, *map(str, versus(rounds)), str(len(rounds))])
    ratios = ("times as fast as the usual way", "times the bare loop's time", "rounds")
    return [*lines, *table(("", *(f"{side}, s" for side in SIDES), *ratios), rows)]


def switches(found: Figures) -> list[str]:
    lines = [
        "Training steps only (batch, forward, loss, backward, optimizer), variants in turn in one process. Compile is"
    ]
    lines += [
        "the first step less a later one; earned back is that over what a step saves against the row without it.",
        "",
    ]
    rows = []
    for name, measured in found.items():
        rounds, medians = measured["rounds"], {}
        for variant in rounds[0]:
            times = column(rounds, variant)
            medians[variant] = statistics.median(times)
            faster = Ratio.of(column(rounds, "speed=plain"), times)
            cost = measured["first"][variant] - medians[variant] if "first" in measured else None
            saved = medians[variant.rpartition(", ")[0] or "speed=plain"] - medians[variant]
            compiled = ["", ""]
            if "compile" in variant:
                compiled = [NONE, NONE]
                if cost is not None:
                    compiled = [f"{cost:.0f}", f"{cost / saved:,.0f}" if saved > 0 else "never"]
            rows.append([name, variant, spread([1e3 * value for value in times], 2), str(faster), *compiled])
    head = ("", "variant", "ms a step", "times as fast as speed=plain", "compile, s", "earned back after steps")
    return [*lines, *table(head, rows)]


def starts(found: Figures) -> list[str]:
    rounds = found["rounds"]
    beyond = [each["first_step"] - each["imports"] for each in rounds]
    row = [spread(column(rounds, "first_step")), spread(column(rounds, "imports")), spread(beyond)]
    head = ("first step of data=mnist_5k, s", "import torch, pytorch_lightning, s", "difference, s")
    return ["Seconds from the command.", "", *table(head, [row])]


def batches(found: Figures) -> list[str]:
    rows = []
    for name, rounds in found.items():
        for source in rounds[0]:
            times = column(rounds, source)
            ratio = str(Ratio.of(times, column(rounds, "xent")))
            rows.append([name, source, spread([1e3 * value for value in times], 3), ratio])
    return table(("", "source", "ms a batch", "times xent's"), rows)


def scaling(found: Figures) -> list[str]:
    lines = ["Bare eager steps in float32: how cost grows, whatever trains. Memory is what a step adds to the process."]
    lines += ["`linear_cross_entropy` is torch's, in pieces of 128 positions; it knows cross-entropy only.", ""]
    head = ("", "batch", "width", "classes", "ms a step", "MiB")
    rows = [
        [row["model"] + " with linear_cross_entropy" * row.get("chunked", False)]
        + [f"{row[key]:,}" for key in ("batch", "width", "classes")]
        + ([f"{1e3 * row['seconds']:.1f}", f"{row['peak_bytes'] / 2**20:.0f}"] if "seconds" in row else [NONE, NONE])
        for group in found.values()
        for row in group
    ]
    return [*lines, *table(head, rows)]


def swept(found: Figures) -> list[str]:
    equal = "bit-identical" if found["equal"] else "NOT EQUAL"
    return [
        f"`ablation={cases.SWEPT}`: {found['runs']} runs in {found['together']:.0f} s; the same commands one by one"
        f" {found['apart']:.0f} s; weights and metrics.csv {equal}. Once."
    ]


def published(found: Figures) -> list[str]:
    rows = []
    for name, text in cases.PUBLISHED.items():
        data = f", on {found[name]['data']}" if "data" in found.get(name, {}) else ""
        measured = [NONE] * 3
        if name in found:
            seconds, val, test = (found[name][key] for key in ("seconds", "val", "test"))
            measured = [f"{seconds:.0f}", f"{val['nll']:.4f}", f"{test['accuracy']:.4f}"]
        rows.append([name + data, text, *measured])
    return table(("experiment", "published", "seconds from the command", "val nll", "test accuracy"), rows)


SECTIONS = (
    ("Trained to the end", "whole", whole),
    ("speed=plain", "plain", plain),
    ("Switches", "switches", switches),
    ("Evaluation", "evaluation", evaluation),
    ("Start", "start", starts),
    ("Source of batches only", "batches", batches),
    ("Scaling", "scaling", scaling),
    ("A sweep", "sweep", swept),
    ("Published runs", "published", published),
)


def machines(found: Figures) -> list[str]:
    """Parts by what they were measured on."""
    groups: dict[str, list[str]] = {}
    for name, part in found.items():
        on = part["on"]
        versions = ", ".join(f"{package} {version}" for package, version in on["versions"].items())
        where = f"{on['device']}, {on['threads']} threads, {on['cores']} cores of {on['cpu']}"
        text = f"{where}; {versions}; commit {on['commit'] or 'unknown'}; {on['date']}"
        groups.setdefault(text, []).append(f"{name} (load before: {on['load']})")
    return [f"- {', '.join(names)}: {text}" for text, names in groups.items()]
