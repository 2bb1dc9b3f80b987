"""Train one configuration: compose, check, build, fit, test, write the result. Or many, each in its own process.

xent train data=cifar10 model=resnet loss=focal loss.gamma=3
xent train -m loss=ce,focal,brier seed=0,1,2
xent train ablation=mnist_losses
xent train ablation=mnist_losses until=verdict metric=nll max_seeds=20
xent train --help
"""

from __future__ import annotations

import contextlib
import sys

from ..config.guard import writing

TYPE_CHECKING = False  # importing that of typing would take as long as all the rest up here
if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ..config.composed import Composed
    from ..config.entry import Command


def main(composed: Composed | None = None) -> int:
    """Run what the command line says; the exit status. ``composed``: what a sweep has composed it to."""
    if composed is not None:
        return begin(composed)
    import hydra  # here, so that a signal is heard, and a fault told, while it is imported

    from ..config import schema
    from ..config.entry import command, one_run
    from ..config.until import until_of
    from ..config.words import check_line
    from ..package import CONF
    from ..sweep.jobs import as_sweep, is_sweep

    check_line(sys.argv[1:])
    until_of(sys.argv[1:])
    schema.register()
    many = is_sweep(sys.argv[1:])
    asked: list[Command] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def compose(cfg: DictConfig) -> int | None:
        if many:  # a job, brought here by a launcher other than ours
            return run(command(cfg))
        asked.append(command(cfg))
        return None

    if many:
        from ..sweep import plugin

        plugin.register()
        sys.argv[1:] = as_sweep(sys.argv[1:])
    with contextlib.nullcontext() if many else one_run():
        compose()
    return run(asked[0]) if asked else 0  # else Hydra only showed something: -c job, --info


def run(asked: Command) -> int:
    """Train, or finish, or show the one run; the exit status. Raises UserError."""
    from ..config.entry import checked

    return begin(checked(asked))


def begin(run: Composed) -> int:
    """Train, or finish, or show a run whose configuration is checked; the exit status. Raises UserError."""
    from ..config import trust
    from ..system.garbage import uncollected

    with uncollected():
        from ..runs.run import execute  # torch and Lightning take seconds: only for a configuration that is right

    writing()
    trust.name(run.trusted)
    return execute(run.cfg, run.choices, run.typed)
