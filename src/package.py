"""Where this package's files are."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONF = next(path for path in (FOLDER / "conf", FOLDER.parent / "conf") if path.is_dir())  # installed; in the tree
