"""Search hyper-parameters."""

import sys

from ..config.errors import UserError
from ..config.guard import writing
from ..names import called

COMMAND = called("tune")
USAGE = f"""Search hyper-parameters: the words of training, some of them with several values, and how many trials.

{COMMAND} loss=focal "optimizer.lr=log(1e-4,1e-1)" "loss.gamma=interval(0,5)" trials=30
{COMMAND} "model.widths=[128],[256,256]" "data.batch_size=log(16,512)" metric=val/ece jobs=2 study=widths

    interval(a,b)        a number between
    log(a,b)             the same, with as many trials from 0.001 to 0.01 as from 0.01 to 0.1; whole where the key is
    range(a,b,step)      a, a+step, ... below b
    choice(a,b) or a,b   one of these, options of groups as well

    trials=20            in all; the same command again, with more if need be, continues where it stopped
    metric=val/ece       of the validation split; without it, what chooses among runs of the task, such as val/nll
    jobs=1               trials at a time
    prune=true           stop what is worse than the median of the trials before, after as many validations
    study=NAME           a folder beside those of other runs; without it, one that the words above give

Brackets need quotes in a shell. All other words go to every trial: {called("train")} --help lists them.
"""


def main() -> int:
    """Search as the command line says; the exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(USAGE)
        return 0
    try:
        from ..tune.study import read, tune  # Optuna is an extra
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UserError(f"{COMMAND} needs Optuna: pip install 'optuna>=4,<5'") from None
    asked = read(sys.argv[1:])
    writing()
    return tune(asked)
