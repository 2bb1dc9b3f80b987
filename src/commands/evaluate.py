"""Test a finished run again, or use its network, from its folder alone.

xent evaluate RUN_FOLDER shift=noise
xent evaluate --help
"""

import sys

from ..config.errors import UserError
from ..config.guard import writing


def main() -> int:
    """Do what the command line says; the exit status."""
    # here, so that a signal is heard, and a fault told, while it is imported
    from ..config import evaluation, other_data, sampling
    from ..folder.folder import RunFolder
    from ..system.garbage import uncollected

    if {"-h", "--help"} & set(sys.argv[1:]):
        print(evaluation.USAGE)
        return 0
    if len(sys.argv) == 1:
        raise UserError(f"which run? Name its folder.\n\n{evaluation.USAGE}")
    asked = evaluation.read(sys.argv[1:])
    folder = RunFolder(asked.folder)
    cfg, result = folder.read_finished()
    evaluation.check_own(asked, cfg)
    evaluation.check_kind(asked, cfg["facts"]["kind"])
    evaluation.check_learnt(asked, cfg)
    if asked.sample:
        sampling.check_sampling(asked.sample, cfg)
    if asked.data:
        data, option = other_data.other_data(asked, cfg)
        cfg = cfg | {"data": data, "choices": cfg["choices"] | {"data": option}}
    with uncollected():
        from ..evaluate.command import execute  # torch and Lightning take seconds: only for a command that is right

    writing()
    return execute(asked, folder, cfg, result)
