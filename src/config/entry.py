"""From a command line to a checked configuration."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..package import CONF
from ..plain import Plain
from . import trust
from .check import check, check_homes, take_as_typed
from .composed import Composed
from .fit import check_fit
from .words import GROUPS, texts


def resolve(cfg: DictConfig, typed: Iterable[str] = ()) -> Plain:
    """What the words ``typed`` were composed to as plain containers, checked. Raises UserError."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    plain.pop("ablation", None)  # which other runs there are says nothing of this one
    take_as_typed(plain, texts(typed))
    trust.name(trust.targets_of(plain))
    check_homes(plain)
    if not plain["resume"]:  # else the run's folder has the configuration
        check(plain)
    return plain


@dataclass(frozen=True)
class Command:
    """What a command line says: the composed configuration, the option chosen in each group, and the words typed."""

    cfg: DictConfig
    choices: dict[str, str | None]
    typed: list[str]


def command(cfg: DictConfig) -> Command:
    """Inside Hydra: keep what is lost when it returns."""
    hydra = HydraConfig.get()
    trust_sources(hydra.runtime.config_sources)
    typed: Any = OmegaConf.to_container(hydra.overrides.task)  # as it is typed: "${...}" stays
    return Command(cfg, chosen(hydra.runtime.choices), typed)


def trust_sources(sources: Iterable[Any]) -> None:
    """Trust the classes that the user's own option files name: those of --config-dir, or the like."""
    for source in sources:
        if source.schema == "file" and Path(source.path) != CONF:
            trust.name(trust.targets_below(Path(source.path)))


def checked(asked: Command) -> Composed:
    """The configuration of one run, checked as far as it can be without torch. Raises UserError."""
    cfg = resolve(asked.cfg, asked.typed)
    if not cfg["resume"]:  # else the run's folder has the configuration
        check_fit(cfg, asked.choices)
    return Composed(cfg, asked.choices, asked.typed, trust.named())


@contextlib.contextmanager
def one_run() -> Iterator[None]:
    """Tell Hydra that the command is of one run: to find it out it would compose everything once more, in 70 ms."""
    before = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: RunMode.RUN  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = before  # type: ignore[method-assign]


def chosen(choices: Mapping[str, str | None]) -> dict[str, str | None]:
    """The option of each of our groups; None where there is none."""
    return {group: None if choices.get(group) in (None, "null") else choices[group] for group in GROUPS}
