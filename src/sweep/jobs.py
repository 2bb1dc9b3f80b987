"""The list of jobs: the words of each run's command, composed and checked before the first starts."""

import itertools
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, unquote

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from ..config import trust
from ..config.composed import Composed
from ..config.entry import chosen, resolve, trust_sources
from ..config.errors import UserError
from ..config.fit import check_fit
from ..config.message import message
from ..config.schema import AblationConf
from ..config.until import check_plain, until_of, without
from ..config.words import check_words, is_below, key_of, parsed, variants
from ..folder.identity import changes, joined
from ..plain import Plain
from .ablation import ablation_of, check_labels, first_seeds

MANY, MOST = 100, 20_000  # jobs that are announced before they are composed, and the most that one command takes


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

    def composed(self) -> Composed:
        """What its process is handed."""
        return Composed(self.cfg, self.choices, list(self), trust.named())

    @property
    def seed(self) -> int | None:
        return self.cfg.get("seed")


def is_sweep(words: Sequence[str]) -> bool:
    """Whether a command line asks for many runs: -m, or an ablation; not where it only asks to be shown something."""
    given = parsed(words)
    shown = any((given.help, given.hydra_help, given.cfg, given.info, given.shell_completion))
    keys = {key_of(word) for word in given.overrides if not word.endswith("=null")}
    return not shown and (given.multirun or ("ablation" in keys and "hydra.mode" not in keys))


def as_sweep(words: Sequence[str]) -> list[str]:
    """A sweep's command line with -m, and each plain value in the form of a sweep, from which ``as_typed`` has it back.

    Hydra applies plain words to the default options before there are jobs, and would refuse data.root for mnist_5k
    where each job has data=mnist.
    """
    parser = OverridesParser.create()

    def rewritten(word: str) -> str:
        try:
            override: Override = parser.parse_override(word)
        except HydraException:
            return word  # a flag, or what it takes
        fixed = override.is_sweep_override() or override.is_delete() or override.is_hydra_override()
        key, _, value = word.partition("=")
        return word if fixed or is_below(key_of(word), ["ablation"]) else f"{key}=tag(typed,choice('{quote(value)}'))"

    flag = [] if parsed(words).multirun else ["-m"]
    return [*flag, *(word if word.startswith("-") else rewritten(word) for word in words)]


def as_typed(words: Iterable[str]) -> list[str]:
    """The words that ``as_sweep`` made these of."""
    marked = re.compile(r"(.*?)=tag\(typed,choice\('(.*)'\)\)")
    return [f"{found[1]}={unquote(found[2])}" if (found := marked.fullmatch(word)) else word for word in words]


def jobs_of(
    master: DictConfig,
    loader: ConfigLoader,
    typed: Sequence[str],
    threads: int | None,
    prepare: Callable[[Job], None] = lambda job: None,
) -> list[Job]:
    """The jobs that a command asks for, in order. Raises UserError where one of them could not run.

    ``master`` is the configuration without the jobs' words; ``threads`` are those of a job that sets none. ``prepare``
    is called with each job as soon as it is composed. With until=verdict the jobs are of all seeds that may be trained.
    """
    typed = as_typed(typed)
    until, typed = until_of(typed), without(typed)
    if until is not None:
        check_plain(typed)
    name = chosen(master.hydra.runtime.choices)["ablation"]
    if any(key_of(word) == "ablation" and word != f"ablation={name}" for word in typed):
        raise UserError("one command runs one ablation: ablation=NAME")
    if any(key_of(word) == "resume" for word in typed):
        raise UserError("resume=FOLDER finishes one run; a sweep is finished by its own command")
    own = [word for word in typed if not is_below(key_of(word), ["ablation"])]
    ablation = ablation_of(name, master.ablation) if name else None
    lists = (
        iter(expand(own, loader))
        if name is None or ablation is None
        else expand_ablation(name, ablation, own, loader, until.most if until else None)
    )
    jobs = [Job(words) for words in dict.fromkeys(map(tuple, itertools.islice(lists, MOST + 1)))]
    check_count(len(jobs))
    compose_all(jobs, Composer(master, loader, threads), prepare)
    name_jobs(jobs)
    name_folders(jobs, own)
    if name and ablation:
        check_labels(name, ablation, own, {job.label: job.choices["task"] for job in jobs})
    return jobs


def check_count(count: int) -> None:
    if count > MOST:
        raise UserError(
            f"{count:,} runs are asked for, and one command takes {MOST:,}: cut the sweep into parts, such as one for"
            " each loss"
        )


def expand(words: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Hydra's grammar of sweeps: "a=1,2 b=range(3)" are six lists of words; the last word varies fastest."""
    lists = [variants(override, MOST) for override in check_words(words, loader)]
    check_count(math.prod(map(len, lists)))
    return [list(job) for job in itertools.product(*lists)]


def expand_ablation(
    name: str, ablation: AblationConf, typed: list[str], loader: ConfigLoader, most: int | None = None
) -> Iterator[list[str]]:
    """Each line of the ablation's runs for each seed, all losses of the first seed before the second.

    ``most``: so many seeds, its own and then the next whole numbers. What is typed goes to every job, and replaces a
    line's words for the same key or for a key below it.
    """
    for key in ablation.needs:
        if key not in map(key_of, typed):
            raise UserError(f"ablation={name} needs {key}=...; conf/ablation/{name}.yaml says of what")
    own = f"seed={','.join(map(str, first_seeds(ablation.seeds, most)))}"
    seeds = [word for word in typed if key_of(word) == "seed"] or [own]
    others = [word for word in typed if key_of(word) != "seed"]
    beaten = tuple({key_of(word) for word in others})
    for seed_words in expand(seeds, loader):
        for line in ablation.runs:
            kept = [word for word in line.split() if not is_below(key_of(word), beaten)]
            for words in expand([*kept, *others], loader):
                yield [f"ablation={name}", *words, *seed_words]


class Composer:
    """Composes and checks jobs; those that differ in the seed alone are composed once (80 ms each)."""

    def __init__(self, master: DictConfig, loader: ConfigLoader, threads: int | None) -> None:
        self.master, self.loader, self.threads = master, loader, threads
        self.composed: dict[tuple[str, ...], tuple[Plain, Plain] | str] = {}
        trust_sources(master.hydra.runtime.config_sources)

    def compose(self, job: Job) -> None:
        """Fill in what the job's words say: configuration and choices, or the fault."""
        alike = not any("${" in word for word in job)  # a value may be made of the seed
        # of so few digits that it is within its bounds; any other is composed and checked whole
        seed = next((word for word in job if alike and re.fullmatch(r"seed=(0|[1-9]\d{0,8})", word)), None)
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
            plain = resolve(cfg, words)
            check_fit(plain, choices)
            return plain, choices
        except (UserError, HydraException, OmegaConfBaseException) as error:
            return message(error)[0]


def compose_all(jobs: Sequence[Job], composer: Composer, prepare: Callable[[Job], None]) -> None:
    """Compose each job, and say how far it is where that takes long. Raises UserError for what could not run."""
    if len(jobs) > MANY:
        print(f"{len(jobs):,} runs are asked for; each is checked before the first starts", flush=True)
    said = time.monotonic()
    for number, job in enumerate(jobs):
        composer.compose(job)
        prepare(job)
        if time.monotonic() > said + 5:
            print(f"{number + 1:,} of {len(jobs):,} are checked", flush=True)
            said = time.monotonic()
    faults = [job for job in jobs if job.fault]
    if len(faults) == len(jobs):
        raise UserError(str(faults[0].fault))
    if faults:
        which = " ".join(word for word in faults[0] if not word.startswith("trainer.threads="))
        raise UserError(f"{len(faults)} of {len(jobs)} runs could not run, so none starts. {which}: {faults[0].fault}")


def name_jobs(jobs: list[Job]) -> None:
    """Give each job its label and title: the loss, and the words that not all jobs have."""
    common = set.intersection(*(set(job) for job in jobs))
    for job in jobs:
        own = [word for word in job if word not in common and key_of(word) not in ("loss", "ablation")]
        loss = job.choices.get("loss") or next((word.partition("=")[2] for word in job if key_of(word) == "loss"), "")
        apart = [word for word in own if key_of(word) not in ("seed", "optimizer.lr")]
        job.label = " ".join([str(loss), *map(short_word, apart)]).strip()
        lr = [short_word(word) for word in own if key_of(word) == "optimizer.lr"]
        seed = [word for word in own if key_of(word) == "seed"]
        job.row = " ".join([job.label, *lr])
        job.title = " ".join([job.row, *seed])


def name_folders(jobs: list[Job], typed: Sequence[str]) -> None:
    """What all runs of an ablation, or of a sweep with a name, have in common is in their folder's name only.

    Runs of other sweeps lie beside runs that were started by themselves, and are called as these are.
    """
    common = set.intersection(*(set(job) for job in jobs))
    names = {job.cfg["name"] for job in jobs}
    if len(names) > 1:
        raise UserError(f"one command has one name, got {', '.join(sorted(names))}")
    (name,), ablation = names, jobs[0].choices["ablation"]
    if not (name or ablation):
        return
    if not name and (shared := changes(jobs[0].choices, [word for word in typed if word in common])):
        name = joined(ablation, shared)
    for job in jobs:
        own = [word for word in job if word not in common and key_of(word) != "name"]
        label = job.cfg["label"] or joined(str(job.choices["loss"]), changes(job.choices, own))
        set_word(job, "label", label)
        if name:
            set_word(job, "name", name)


def set_word(job: Job, key: str, value: str) -> None:
    """Add ``key=value`` to what a job says, unless it says so."""
    if job.cfg[key] != value:
        job.append(f"{key}={value}")
        job.cfg = job.cfg | {key: value}


def short_word(word: str) -> str:
    """ "loss.gamma=3" as "gamma=3"."""
    key, equals, value = word.partition("=")
    return f"{key.rpartition('.')[2]}{equals}{value}"
