"""Within what two losses count as equal: ``margin=accuracy:0.005,nll:0.01``."""

import math
import re
from collections.abc import Collection

from .columns import shown


def margins_of(text: str) -> dict[str, float]:
    """Metric's name -> its margin. Raises ValueError for what is none."""
    found: dict[str, float] = {}
    if comma := re.search(r":\s*(\d+),(\d+)\s*(,|$)", text):
        raise ValueError(f"a decimal is written with a dot: {comma[1]}.{comma[2]}, not {comma[1]},{comma[2]}")
    for part in text.split(","):
        name, colon, size = (piece.strip() for piece in part.partition(":"))
        if not (name and colon):
            raise ValueError(f"{shown(part)} is no METRIC:SIZE, such as accuracy:0.005")
        if name in found:
            raise ValueError(f"{name} has two margins")
        try:
            found[name] = float(size)
        except ValueError:
            raise ValueError(f"the margin of {name} should be a number above 0, not {shown(size)}") from None
        if not 0 < found[name] < math.inf:
            raise ValueError(f"the margin of {name} should be a number above 0, not {shown(size)}")
    return found


def check_names(margins: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError for a metric that is none of the ``known`` ones, which a report tests."""
    for name in margins:
        if name not in known:
            raise ValueError(f"no metric {shown(name)} is tested; there are {', '.join(known)}")
