"""The address that opens TensorBoard on what compares losses.

python -m src.folder.links FOLDER PORT    prints how to start TensorBoard there, and the address
"""

import contextlib
import json
import shlex
import sys
from pathlib import Path
from urllib.parse import urlencode

from ..metrics.columns import Family, family_of
from ..metrics.families import CLASSIFICATION
from ..system.files import DamagedError
from .sums import read_sealed

PORT = 6006  # TensorBoard's own
# TensorBoard calls a run by its path below the folder that it reads, and that folder itself ".".
RUNS = r"^(?!debug/)(.*/)?(seed\d+|\.)$"
# One colour for each <loss and changes>, whatever the seed, the hash of the identity and the folders above; the hash
# counts where a name does not hold all changes. In the folder of one loss the names do not hold it: all are alike.
LOSS = r"([^/]+-etc-[0-9a-f]{8}|[^/]+(?=-[0-9a-f]{8}/))[^/]*/seed\d+$|^(?:seed\d+|\.)$"


def tensorboard_link(folder: Path, port: int = PORT) -> str:
    """The address of a TensorBoard that reads ``folder``: all runs, those of an ablation, or those of a loss.

    It opens the Time Series on pinned validation scores, without smoothing, with one colour for each loss and its
    parameters. The scores are those of the first run in the folder, or a classifier's while there is none.
    """
    pins = [{"plugin": "scalars", "tag": f"val/{name}"} for name in family_below(folder).charts]
    query = {
        "pinnedCards": json.dumps(pins, separators=(",", ":")),
        "runFilter": RUNS,
        "runColorGroup": f"regex:{LOSS}",
        "smoothing": "0",
    }
    return f"http://localhost:{port}/?{urlencode(query)}#timeseries"


def family_below(folder: Path) -> Family:
    """What the first run measures that is found in a folder and says so; what a classifier does if there is none."""
    with contextlib.suppress(OSError):
        for path in folder.glob("**/result.json"):
            with contextlib.suppress(OSError, ValueError, DamagedError):
                return family_of(read_sealed(path).get("family"))
    return CLASSIFICATION


def how_to_look(folder: Path, port: int = PORT) -> str:
    """The lines that say how to see a folder's curves."""
    start = f"tensorboard --logdir {shlex.quote(str(folder))}" + (f" --port {port}" if port != PORT else "")
    return f"curves:     {start}\nthen open:  {tensorboard_link(folder, port)}"


if __name__ == "__main__":
    print(how_to_look(Path(sys.argv[1]), int(sys.argv[2])))
