"""Make and gather the pictures of calibration.md, and the forest plot of the README, from a finished sweep.

python train.py ablation=fashion_calibration
python evaluate.py runs/fashion_calibration/ce-*/seed0 shift=all
python docs/calibration.py runs/fashion_calibration
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.figures.style import save, sharp
from src.report.compare import compare
from src.report.figures import pooled_grid
from src.report.forest import forest_of
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.write import find_baseline

OUT = Path(__file__).with_suffix("")


def main() -> None:
    family = Path(sys.argv[1])
    (section,) = sections_of(find_runs([family]))
    comparison = compare(section, find_baseline(section, None))
    save(sharp(forest_of(comparison)), OUT / "forest.png")
    save(pooled_grid(section.groups, section.title), OUT / "losses.png")
    (run,) = family.glob("ce-*/seed0")
    for name in ("reliability", "confidence", "mistakes"):
        shutil.copyfile(run / "figures" / f"{name}.png", OUT / f"{name}.png")
    (shift,) = (run / "evaluations").glob("*shift*.png")
    shutil.copyfile(shift, OUT / "shift.png")


if __name__ == "__main__":
    main()
