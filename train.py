"""Train one configuration: compose, check, build, fit, test, write the result.

python train.py data=cifar10 model=resnet loss=focal loss.gamma=3
python train.py --help
"""

import os
import sys

import hydra
from omegaconf import DictConfig

from src.config import schema
from src.config.entry import CONF, ONE_RUN, Command, command, guarded, resolve
from src.config.errors import UserError


def main() -> int:
    """Run what the command line says; the exit status."""
    # Read when torch is imported. By default a thread spins long for one whose core is busy, and so wastes its own. The
    # default run took, on two idle cores, 3.6 s (4.0 s with this, 6.6 s with OMP_WAIT_POLICY=PASSIVE), and beside two
    # other busy processes 11 s with this (116 s without, on a machine about as busy).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    schema.register()
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise UserError(ONE_RUN)
    composed: list[Command] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def compose(cfg: DictConfig) -> None:
        composed.append(command(cfg))

    compose()
    if not composed:  # Hydra only showed something: -c job, --info
        return 0
    cfg = resolve(composed[0].cfg)
    from src.runs.run import execute  # torch and Lightning take seconds: only for a configuration that is right

    return execute(cfg, composed[0].choices, composed[0].typed)


if __name__ == "__main__":
    sys.exit(guarded(main))
