"""Test a finished run again, from its folder alone: as it was tested, on other data, under shift; or sample its text.

python evaluate.py RUN_FOLDER shift=noise
python evaluate.py --help
"""

import sys

from src.config.errors import UserError
from src.config.guard import start, writing


def main() -> int:
    """Do what the command line says; the exit status."""
    from src.config import evaluation  # here, so that a signal is heard, and a fault told, while it is imported
    from src.garbage import uncollected
    from src.runs.folder import RunFolder

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
    if asked.data:
        data, option = evaluation.other_data(asked, cfg)
        cfg = cfg | {"data": data, "choices": cfg["choices"] | {"data": option}}
    with uncollected():
        from src.runs.evaluation import execute  # torch and Lightning take seconds: only for a command that is right

    writing()
    return execute(asked, folder, cfg, result)


if __name__ == "__main__":
    start(main)
