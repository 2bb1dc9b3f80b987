"""The command that trains the seeds which a comparison lacks: the words of its own runs, with other seeds.

The words come from files that anybody may have written. So a command is made of key=value words only, each quoted as a
shell takes it, behind the name of our own program; what is anything else makes no command. It is shown, and not
checked: a reader reads it before giving it.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

from ..names import called
from .groups import Group
from .read import Run

WORD = re.compile(r"[+~]{0,2}\w[\w./@-]*=[^\x00-\x1f\x7f-\x9f\u2028\u2029]*|--config-dir=[^\x00-\x1f\x7f]+")
# said anew, or not to be said again; until and its like: how many seeds a sweep takes
OURS = {"seed", "label", "overwrite", "retry_failed", "resume", "until", "metric", "max_seeds", "hydra.mode"}
FEW = 6  # seeds that are listed one by one


def command(baseline: Group, group: Group, count: int) -> str:
    """Trains ``count`` more seeds of both groups; "" where their folders do not say how they were trained.

    Those of an ablation are trained by the ablation's command, which leaves out finished runs; others by -m.
    """
    more = more_seeds(baseline, group, count)
    own = [_ablation(one) for one in (baseline, group)]
    if None not in own:
        lines = [f"{called('train')} {_joined([*words, more])}" for words in own if words is not None]
        return " && ".join(dict.fromkeys(lines))
    alone = [_alone(next(iter(one.finished.values()), None)) for one in (baseline, group)]
    if None in alone:
        return ""
    lists = _together([words for words in alone if words is not None])
    return " && ".join(f"{called('train')} -m {_joined([*words, more])}" for words in lists)


def more_seeds(baseline: Group, group: Group, count: int) -> str:
    """The word that names the first ``count`` seeds that not both have: "seed=5,6" or "seed=range(5,19)"."""
    common = baseline.finished.keys() & group.finished.keys()
    seeds = [seed for seed in range(count + len(common)) if seed not in common][:count]
    if len(seeds) > FEW and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seed=range({seeds[0]},{seeds[-1] + 1})"
    return f"seed={','.join(map(str, seeds))}"


def _joined(words: Sequence[str]) -> str:
    return shlex.join(words)


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _kept(words: Iterable[str]) -> list[str] | None:
    """Without what is said anew; None if a word is none."""
    found = list(words)
    return [word for word in found if _key(word) not in OURS] if all(map(WORD.fullmatch, found)) else None


def _ablation(group: Group) -> list[str] | None:
    """The words of its ablation's command; None if it is of none."""
    typed = next((run.command for run in group.runs if run.command), "") or ""
    program, words = shlex.split(typed)[:2], shlex.split(typed)[2:]
    if program not in (["python", "train.py"], ["xent", "train"]):
        return None
    words = [word for word in words if word not in ("-m", "--multirun")]
    while "--config-dir" in words[:-1]:  # a flag and what it takes, as one word
        at = words.index("--config-dir")
        words[at : at + 2] = [f"--config-dir={words[at + 1]}"]
    return _kept(words) if any(word.startswith("ablation=") for word in words) else None


def _alone(run: Run | None) -> list[str] | None:
    """The words of a run of no ablation; None if its result does not say them."""
    words = run.result["run"].get("words") if run else None
    kept = _kept(words) if words is not None else None
    if run is None or kept is None or any(_key(word) == "ablation" for word in kept):
        return None
    threads = run.config.get("trainer", {}).get("threads")  # of its identity, and by default another under -m
    said = threads is None or any(_key(word) == "trainer.threads" for word in kept)
    return kept if said else [*kept, f"trainer.threads={threads}"]


def _together(lists: Sequence[list[str]]) -> list[list[str]]:
    """Two lists of words as one, where they differ in the value of one key only: "loss=ce,focal"."""
    first, second = lists
    if [*map(_key, first)] != [*map(_key, second)]:
        return [*lists]
    apart = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    values = [words[i].partition("=")[2] for words in lists for i in apart]
    if len(apart) != 1 or not all(re.fullmatch(r"[\w.+-]+", value) for value in values):
        return [*lists] if apart else [first]
    merged = f"{first[apart[0]]},{values[1]}"
    return [[*first[: apart[0]], merged, *first[apart[0] + 1 :]]]
