"""Search hyper-parameters: train.py's words, some of them with several values, and how many trials.

python tune.py loss=focal "optimizer.lr=log(1e-4,1e-1)" "loss.gamma=interval(0,5)" trials=30
python tune.py "model.widths=[128],[256,256]" "data.batch_size=log(16,512)" metric=val/ece jobs=2 study=widths

    interval(a,b)        a number between
    log(a,b)             the same, with as many trials from 0.001 to 0.01 as from 0.01 to 0.1; whole where the key is
    range(a,b,step)      a, a+step, ... below b
    choice(a,b) or a,b   one of these, options of groups as well

    trials=20            in all; the same command again, with more if need be, goes on from where it was
    metric=val/nll       of the validation split; or val/accuracy, val/ece, ...
    jobs=1               trials at a time
    prune=true           stop what is worse than the median of the trials before, after as many validations
    study=NAME           a folder beside those of other runs; without it, one that the words above give

Brackets need quotes in a shell. All other words go to every trial: python train.py --help lists them.
"""

import sys

from src.config.errors import UserError
from src.config.guard import start, writing


def main() -> int:
    """Search as the command line says; the exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return 0
    try:
        from src.tune.study import read, tune  # Optuna is an extra
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UserError("tune.py needs Optuna: pip install 'optuna>=4,<5'") from None
    asked = read(sys.argv[1:])
    writing()
    return tune(asked)


if __name__ == "__main__":
    start(main)
