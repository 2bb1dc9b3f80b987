"""What the runs of each loss made, side by side: the picture that their family says shows it at a glance."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import markupsafe

from ..system.files import DamagedError, read_bytes
from .about import address
from .compare import Comparison
from .groups import Group
from .words import listed

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST, WIDEST = 2**21, 4096  # bytes and pixels of a picture that a page holds
A_ROW = 4  # pictures of a row in Markdown


@dataclass(frozen=True)
class Face:
    """A PNG file of a run: ``data`` as a page holds it, ``address`` from the page, width and height in pixels."""

    label: str
    seed: int
    data: markupsafe.Markup
    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Faces:
    """``shown`` in rows of ``A_ROW``; ``notes``: why some are not."""

    caption: str = ""
    rows: list[list[Face]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def faces(comparison: Comparison, labels: Sequence[str], out: Path) -> Faces:
    """Of each loss in ``labels`` the picture of one run, of the lowest seed that all have; else of its own lowest."""
    told = comparison.section.family.face
    groups = [group for group in comparison.groups if group.label in labels and group.finished]
    if told is None or not groups:
        return Faces()
    common = set.intersection(*({*group.finished} for group in groups))
    found, notes, lacking = [], [], []
    for group in groups:
        try:
            found.append(_face(group, min(common or group.finished), told[0], out))
        except FileNotFoundError:
            lacking.append(group.label)
        except DamagedError as error:
            notes.append(f"{group.label}: {error.path.name} is not shown: {error.reason}")
    if not found:
        return Faces(notes=notes)
    of = f"the run with seed {min(common)} of each loss" if common else "one run of each loss"
    none = f" {listed(lacking)} drew none." if lacking else ""
    rows = [found[i : i + A_ROW] for i in range(0, len(found), A_ROW)]
    return Faces(f"{told[1]}, by {of}.{none}", rows, notes)


def _face(group: Group, seed: int, name: str, out: Path) -> Face:
    """Raises FileNotFoundError and DamagedError."""
    path = group.finished[seed].folder / "figures" / f"{name}.png"
    content = read_bytes(path, LARGEST)
    if not content.startswith(SIGNATURE) or len(content) < 24:
        raise DamagedError(path, "it is no PNG file")
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= WIDEST and 0 < height <= WIDEST):
        raise DamagedError(path, f"it is {width} x {height} pixels large")
    data = markupsafe.Markup(f"data:image/png;base64,{base64.b64encode(content).decode()}")
    return Face(group.label, seed, data, address(path, out), width, height)
