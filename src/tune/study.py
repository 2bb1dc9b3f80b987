"""A study: what a command line asks to search, its database, and what is told at its end."""

import contextlib
import dataclasses
import hashlib
import shlex
import signal
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..config import schema, until
from ..config.errors import UserError, suggestion
from ..config.words import check_once, key_of
from ..folder.debugging import debugging
from ..folder.folder import home_of
from ..folder.lock import held
from ..metrics.families import CLASSIFICATION, FAMILIES
from ..names import called
from ..package import CONF
from ..sweep.jobs import Composer, Job
from ..sweep.screen import say
from .search import ALL_FAIL, METRICS, Search
from .space import Dimension, checked_space, split

DEFAULTS = {"trials": "20", "metric": "", "study": "", "jobs": "1", "prune": "true"}
REFUSED = {
    "seed": f"a seed is nothing to tune; {called('train')} -m seed=0,1,2 repeats the best trial",
    "ablation": f"an ablation compares losses as they are: {called('train')} ablation=NAME",
    "resume": "the same command resumes a search",
    "overwrite": "delete the study's folder to search anew, or take another study=NAME",
    "retry_failed": "a trial that failed has failed",
}


@dataclass(frozen=True)
class Asked:
    """What a command line says."""

    trials: int
    metric: str  # "" for that of the task
    study: str
    jobs: int
    prune: bool
    words: list[str]  # of training, with what is searched


def read(arguments: Sequence[str]) -> Asked:
    """The search's own words, and those of training. Raises UserError."""
    check_once(arguments)
    own, words = dict(DEFAULTS), []
    keys = {field.name for field in dataclasses.fields(schema.Config)} | {"debug", "speed"}
    for word in arguments:
        key, equals, value = word.partition("=")
        if key in own and equals:
            own[key] = value
        elif key in until.WORDS:
            raise UserError(f"a search takes no {word}; it goes with an ablation: {until.WAY}")
        elif word.startswith(("-", "hydra.", "hydra/")):
            raise UserError(f"a search takes no {word}; its words are key=value, {called('tune')} --help shows them")
        elif "." not in key and key_of(key) not in keys and (near := suggestion(key, [*own, *keys])):
            raise UserError(f"unknown key '{key}'.{near}")
        else:
            words.append(word)
    numbers = {key: own[key] for key in ("trials", "jobs")}
    for key, value in numbers.items():
        if not value.isdigit() or int(value) < 1:
            raise UserError(f"{key} must be an integer >= 1, got '{value}'")
    if own["metric"] and own["metric"] not in METRICS:
        raise UserError(
            f"metric must be one of the validation's, got '{own['metric']}'."
            f"{suggestion(own['metric'], METRICS)} There are {', '.join(METRICS)}"
        )
    if own["prune"] not in ("true", "false"):
        raise UserError(f"prune must be true or false, got '{own['prune']}'")
    return Asked(int(own["trials"]), own["metric"], own["study"], int(own["jobs"]), own["prune"] == "true", words)


def tune(asked: Asked) -> int:
    """Search, and tell the best; the exit status: 0, 1 where no trial finished, 128 + the signal. Raises UserError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    composer = make_composer()
    fixed, space = split(asked.words, composer.loader)
    for key, reason in REFUSED.items():
        if key in map(key_of, [dimension.key for dimension in space] + (fixed if key != "seed" else [])):
            raise UserError(f"{key} cannot be searched or set here: {reason}")
    space = checked_space(fixed, space, composer)
    first = Job([*fixed, *(dimension.ends()[0] for dimension in space)])
    composer.compose(first)
    asked = dataclasses.replace(asked, metric=asked.metric or metric_of(first))
    home = place(asked, fixed, space, first)
    with held(home, f"{home}: another process is at this very search"):
        study = study_in(home, asked, fixed, space)
        search = Search(study, [*(word for word in fixed if key_of(word) != "runs"), f"runs={home}"], space, composer)
        signum = search.search(asked.trials, asked.jobs)
        if search.failures >= ALL_FAIL:
            say(f"\n{search.failures} trials failed and none did better, so no other was tried")
        return conclude(study, home, signum)


def make_composer() -> Composer:
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config("config", [], RunMode.MULTIRUN, with_log_configuration=False)
        # one thread, as in every sweep: trials side by side, or not, are then the same runs
        return Composer(master, hydra.config_loader, 1)


def metric_of(job: Job) -> str:
    """What chooses among runs of the job's task: the option of a task is called as its family, if that is of xent."""
    return f"val/{FAMILIES.get(job.choices['task'], CLASSIFICATION).chooses[0]}"


def place(asked: Asked, fixed: list[str], space: list[Dimension], job: Job) -> Path:
    """The study's folder, beside those of other runs like ``job``; without a name it has that of its runs and words."""
    if why := debugging(job.cfg, job.choices):
        raise UserError(f"{why}: such runs are for debugging, and there is no best one among them to search for")
    if asked.study and Path(asked.study).name != asked.study:
        raise UserError(f"study is a name of one folder, got '{asked.study}'")
    usual = home_of(job.cfg, job.choices)
    named = hashlib.sha256(repr(definition(asked, fixed, space)).encode()).hexdigest()[:8]
    return usual.parent / (asked.study or f"tune-{usual.name}-{named}")


def definition(asked: Asked, fixed: list[str], space: list[Dimension]) -> dict[str, str | list[str]]:
    """All that makes a search what it is, but for how many trials there are."""
    ranges = sorted(f"{dimension.key}={dimension.distribution}" for dimension in space)
    words = sorted(word for word in fixed if key_of(word) != "runs")
    return {"metric": asked.metric, "prune": str(asked.prune).lower(), "words": words, "ranges": ranges}


def study_in(home: Path, asked: Asked, fixed: list[str], space: list[Dimension]) -> optuna.Study:
    """The study in ``home``, made or gone on with. Raises UserError where it searches something else."""
    wanted = definition(asked, fixed, space)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{home / 'study.db'}",
            study_name=home.name,
            direction=METRICS[asked.metric],
            load_if_exists=True,
            # not before five trials are finished, nor at a run's first validation
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=1) if asked.prune else optuna.pruners.NopPruner(),
        )
        for key, value in wanted.items():
            if study.user_attrs.get(key, value) != value:
                raise UserError(
                    f"{home} has another {key}: {study.user_attrs[key]}, not {value}; take another study=NAME"
                )
            study.set_user_attr(key, value)
    except (SQLAlchemyError, RuntimeError) as error:  # the second: of another version of Optuna
        raise UserError(
            f"{home / 'study.db'} cannot be read ({str(error).splitlines()[0]}); take another study=NAME"
        ) from None
    return study


def conclude(study: optuna.Study, home: Path, signum: int | None) -> int:
    """Tell the best trials, which keys mattered, and the best one's command; the exit status."""
    trials = study.get_trials(deepcopy=False)
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "stopped"}
    counts = Counter(names[trial.state.name] for trial in trials)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    say(f"\n{len(trials)} trials: {told}   {home / 'study.db'}")
    sign = 1 if METRICS[study.user_attrs["metric"]] == "minimize" else -1
    best = sorted(
        (trial for trial in trials if trial.state == TrialState.COMPLETE), key=lambda t: sign * (t.value or 0)
    )
    if best:
        say(f"\n{best_table(best[:5], study.user_attrs['metric'])}")
        say(importance(study))
        command = f"{called('train')} {shlex.join(words_of(best[0]))}"
        say(f"\nthe best, trial {best[0].number}: {best[0].user_attrs['folder']}\n{command}")
    if signum is not None:
        say(f"\nstopped by {signal.Signals(signum).name}; the same command resumes it")
        return 128 + signum
    if counts["stopped"]:
        say("\nthe same command resumes the trials that were stopped")
    return 0 if best and not counts["stopped"] else 1


def words_of(trial: FrozenTrial) -> list[str]:
    """As a user would type them: in the usual folder of runs."""
    return [word for word in trial.user_attrs["words"] if key_of(word) != "runs"]


def best_table(trials: Sequence[FrozenTrial], metric: str) -> str:
    keys = list(trials[0].params)
    rows = [["trial", metric, *keys]]
    for trial in trials:
        values = {key_of(word): word.partition("=")[2] for word in trial.user_attrs["words"]}
        rows.append([str(trial.number), f"{trial.value:.4f}", *(values[key_of(key)] for key in keys)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)


def importance(study: optuna.Study) -> str:
    """How much each key sets good trials apart (PED-ANOVA), where there are enough to tell."""
    with contextlib.suppress(RuntimeError, ValueError):
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return "importance  " + "  ".join(f"{key} {share:.2f}" for key, share in shares.items())
    return "importance  too few trials to tell"
