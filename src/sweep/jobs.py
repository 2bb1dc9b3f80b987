"""The list of jobs: the words of each run's command, composed and checked before the first starts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from src.config.entry import chosen, key_of, message, resolve
from src.config.errors import UserError

Plain = dict[str, Any]
FLAGS = ("-m", "--multirun")
WHERE = ("--config", "-cd", "-cn", "-cp")  # Hydra's flags that only say where configurations are


class Job(list[str]):
    """The words of one run's command, which is what Hydra's launchers take, and what they compose to.

    ``fault`` says why they compose to nothing that could run; ``cfg`` and ``choices`` are empty then.
    """

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(words)
        self.cfg: Plain = {}
        self.choices: Plain = {}
        self.fault: str | None = None
        self.label = ""  # tells it from the other jobs, but for seed and learning rate: "focal gamma=3"
        self.row = ""  # the same with the learning rate, where that is swept
        self.title = ""  # the same with the seed, too

    @property
    def seed(self) -> int | None:
        return self.cfg.get("seed")


def is_sweep(words: Sequence[str]) -> bool:
    """Whether a command line asks for many runs: -m, or an ablation; not where it only asks to be shown something."""
    flags = {word for word in words if word.startswith("-") and not word.startswith(WHERE)}
    keys = {key_of(word) for word in words if not word.endswith("=null")}
    return not flags - set(FLAGS) and (bool(flags) or ("ablation" in keys and "hydra.mode" not in keys))


def as_sweep(words: Sequence[str]) -> list[str]:
    """A sweep's command line with -m, and each plain value as a sweep over this one value: ``loss.gamma=choice(3)``.

    Hydra applies plain words to the default options before there are jobs, and would refuse data.root for mnist_5k
    where each job has data=mnist.
    """
    parser = OverridesParser.create()

    def rewritten(word: str) -> str:
        try:
            override: Override = parser.parse_override(word)
        except HydraException:
            return word  # Hydra will say what is wrong with it
        fixed = override.is_sweep_override() or override.is_delete() or override.is_hydra_override()
        key, _, value = word.partition("=")
        return word if fixed or not value or is_below(key_of(word), ["ablation"]) else f"{key}=choice({value})"

    flag = [] if set(FLAGS) & set(words) else ["-m"]
    return [*flag, *(word if word.startswith("-") else rewritten(word) for word in words)]


def as_typed(words: Iterable[str]) -> list[str]:
    """The words that ``as_sweep`` made these of, or others that mean the same."""
    return [re.sub(r"=choice\((.*)\)$", r"=\1", word, flags=re.DOTALL) for word in words]


def jobs_of(master: DictConfig, loader: ConfigLoader, typed: Sequence[str], threads: int | None) -> list[Job]:
    """The jobs that a command asks for, in order. Raises UserError where none of them could run.

    ``master`` is the configuration without the jobs' words; ``threads`` are those of a job that sets none.
    """
    name = chosen(master.hydra.runtime.choices)["ablation"]
    if any(key_of(word) == "ablation" and word != f"ablation={name}" for word in typed):
        raise UserError("one command runs one ablation: ablation=NAME")
    if any(key_of(word) == "resume" for word in typed):
        raise UserError("resume=FOLDER finishes one run; a sweep is finished by its own command")
    own = [word for word in typed if not is_below(key_of(word), ["ablation"])]
    lists = expand(own, loader) if name is None else expand_ablation(name, master.ablation, own, loader)
    jobs = [Job(words) for words in dict.fromkeys(map(tuple, lists))]
    composer = Composer(master, loader, threads)
    for job in jobs:
        composer.compose(job)
    faults = [job.fault for job in jobs if job.fault]
    if len(faults) == len(jobs):
        raise UserError(faults[0])
    name_jobs(jobs)
    return jobs


def expand(words: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Hydra's grammar of sweeps: "a=1,2 b=range(3)" are six lists of words; the last word varies fastest."""
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    return [list(job) for job in BasicSweeper.split_arguments(overrides, None)[0]]


def expand_ablation(name: str, ablation: Any, typed: list[str], loader: ConfigLoader) -> Iterator[list[str]]:
    """Each line of the ablation's runs for each seed, all losses of the first seed before the second.

    What is typed goes to every job, and replaces a line's words for the same key or for a key below it.
    """
    for key in ("baseline", "runs", "seeds"):
        if OmegaConf.is_missing(ablation, key) or not ablation[key]:
            raise UserError(f"conf/ablation/{name}.yaml: ablation.{key} has no value")
    for key in ablation.needs:
        if key not in map(key_of, typed):
            raise UserError(f"ablation={name} needs {key}=...; conf/ablation/{name}.yaml says of what")
    if min(ablation.seeds) < 0:
        raise UserError(f"ablation.seeds must be integers >= 0, got {list(ablation.seeds)}")
    seeds = [word for word in typed if key_of(word) == "seed"] or [f"seed={','.join(map(str, ablation.seeds))}"]
    others = [word for word in typed if key_of(word) != "seed"]
    beaten = tuple({key_of(word) for word in others})
    for seed_words in expand(seeds, loader):
        for line in ablation.runs:
            kept = [word for word in line.split() if not is_below(key_of(word), beaten)]
            for words in expand([*kept, *others], loader):
                yield [f"ablation={name}", *words, *seed_words]


def is_below(key: str, keys: Iterable[str]) -> bool:
    """Whether ``key`` is one of ``keys``, or inside of one: loss.gamma is inside of loss."""
    return any(key == other or key.startswith(f"{other}.") for other in keys)


class Composer:
    """Composes and checks jobs; those that differ in the seed alone are composed once (80 ms each)."""

    def __init__(self, master: DictConfig, loader: ConfigLoader, threads: int | None) -> None:
        self.master, self.loader, self.threads = master, loader, threads
        self.composed: dict[tuple[str, ...], tuple[Plain, Plain] | str] = {}

    def compose(self, job: Job) -> None:
        """Fill in what the job's words say: configuration and choices, or the fault."""
        seed = next((word for word in job if word.startswith("seed=") and word.removeprefix("seed=").isdigit()), None)
        rest = tuple(word for word in job if word != seed)
        if rest not in self.composed:
            self.composed[rest] = self._load(list(rest))
        found = self.composed[rest]
        if isinstance(found, str):
            job.fault = found
        else:
            job.choices = found[1]
            job.cfg = found[0] | ({"seed": int(seed.removeprefix("seed="))} if seed else {})
        if self.threads and (job.fault or job.cfg["trainer"]["threads"] is None):
            job.append(f"trainer.threads={self.threads}")
            job.cfg["trainer"] = job.cfg.get("trainer", {}) | {"threads": self.threads}

    def _load(self, words: list[str]) -> tuple[Plain, Plain] | str:
        try:
            cfg = self.loader.load_sweep_config(self.master, [*words, "hydra.mode=RUN"])
            choices = chosen(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            return resolve(cfg), choices
        except (UserError, HydraException, OmegaConfBaseException) as error:
            return message(error)


def name_jobs(jobs: list[Job]) -> None:
    """Give each job its label and title: the loss, and the words that not all jobs have."""
    common = set.intersection(*(set(job) for job in jobs))
    for job in jobs:
        own = [word for word in job if word not in common and key_of(word) not in ("loss", "ablation")]
        loss = job.choices.get("loss") or next((word.partition("=")[2] for word in job if key_of(word) == "loss"), "")
        apart = [word for word in own if key_of(word) not in ("seed", "optimizer.lr")]
        job.label = " ".join([str(loss), *map(short, apart)]).strip()
        lr = [short(word) for word in own if key_of(word) == "optimizer.lr"]
        seed = [word for word in own if key_of(word) == "seed"]
        job.row = " ".join([job.label, *lr])
        job.title = " ".join([job.row, *seed])


def short(word: str) -> str:
    """ "loss.gamma=3" as "gamma=3"."""
    key, equals, value = word.partition("=")
    return f"{key.rpartition('.')[2]}{equals}{value}"
