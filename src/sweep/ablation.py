"""What an ablation's file says, checked before anything of it is composed."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ..config.check import check_keys
from ..config.errors import UserError, suggestion
from ..config.schema import AblationConf
from ..config.words import is_below, key_of
from ..metrics.claims import claims_of
from ..metrics.families import FAMILIES
from ..metrics.margins import check_names, margins_of


def ablation_of(name: str, node: Any) -> AblationConf:
    """What conf/ablation/``name``.yaml says; ``node`` is its part of the configuration. Raises UserError."""
    values = OmegaConf.to_container(node)
    check_keys(AblationConf, values, "ablation")
    ablation = AblationConf(**values)  # type: ignore[arg-type]
    for key in ("baseline", "runs", "seeds"):
        if not getattr(ablation, key):
            raise fault(name, f"{key} has no value")
    if min(ablation.seeds) < 0:
        raise fault(name, f"seeds must be integers >= 0, got {ablation.seeds}")
    check_margin(name, ablation.margin)
    try:
        claims_of(ablation.claims)
    except ValueError as error:
        raise fault(name, str(error)) from None
    return ablation


def fault(name: str, text: str) -> UserError:
    return UserError(f"conf/ablation/{name}.yaml: ablation.{text}")


def check_margin(name: str, margin: str | None) -> None:
    """Raise UserError for an ablation's margin that no report could use."""
    known = dict.fromkeys(c.name for family in FAMILIES.values() for c in family.columns if c.judged)
    try:
        check_names(margins_of(margin) if margin is not None else (), known)
    except ValueError as error:
        raise fault(name, f"margin={margin}: {error}") from None


def check_labels(name: str, ablation: AblationConf, typed: Sequence[str], tasks: Mapping[str, str | None]) -> None:
    """Raise UserError where baseline or claims name a label that no run has, or a metric that its runs do not have.

    ``tasks``: label -> the name of its task. Words that are ``typed`` may change the labels: then none has to be there.
    """
    fixed = not relabels(ablation, typed)
    if fixed and ablation.baseline not in tasks:
        raise fault(name, f"baseline={ablation.baseline} is none of {', '.join(tasks)}")
    for i, claim in enumerate(claims_of(ablation.claims)):
        for label in claim.labels:
            if fixed and label not in tasks:
                near = suggestion(label, tasks)
                raise fault(name, f"claims[{i}]: no run is labelled '{label}'.{near} There are {', '.join(tasks)}")
        family = FAMILIES.get(tasks.get(claim.loss) or "")  # of a task of the user's own nothing is known yet
        columns = {column.name: column for column in family.columns} if family else {}
        if columns and claim.metric not in columns:
            near = suggestion(claim.metric, columns)
            raise fault(name, f"claims[{i}]: no metric '{claim.metric}'.{near} There are {', '.join(columns)}")
        if columns and columns[claim.metric].exponential and claim.against:
            source = columns[claim.metric].source
            raise fault(name, f"claims[{i}]: two values of {claim.metric} have a ratio: name {source} for a difference")


def relabels(ablation: AblationConf, typed: Sequence[str]) -> bool:
    """Whether typed words have several values, or replace some of the ablation's lines."""
    words = [word for word in typed if key_of(word) != "seed"]
    keys = [key_of(word) for word in words]
    replaced = any(is_below(key_of(word), keys) for line in ablation.runs for word in line.split())
    return replaced or any(one.is_sweep_override() for one in OverridesParser.create().parse_overrides(words))


def first_seeds(own: Sequence[int], most: int | None) -> list[int]:
    """``most`` seeds: an ablation's own, then the next whole numbers; just its own without ``most``."""
    if most is None:
        return list(own)
    return list(itertools.islice(dict.fromkeys(itertools.chain(own, range(len(own) + most))), most))
