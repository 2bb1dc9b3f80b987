"""The project's own example of a report, for docs/example/, and the README's picture of its first screen.

python train.py ablation=mnist_losses
python docs/example.py runs/mnist_losses    # needs chromium and chromedriver
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.screenshots import chromium
from src.figures.style import save, sharp
from src.report.figures import curves_of, learning_curves, looks, pooled_grid
from src.report.forest import forest_of
from src.report.write import write_report

OUT = Path(__file__).with_suffix("")
SCREEN = {"width": 1200, "height": 870, "deviceScaleFactor": 1, "mobile": False}
PICTURES = {
    "forest": "Difference of each loss to ce, with its 95 % interval; the shaded side is better",
    "nll": "Validation nll while training: mean over seeds, the band from the lowest to the highest",
    "ece": "Validation ece while training",
    "reliability": "Reliability, all seeds pooled",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, (comparison,), *_ = write_report([Path(sys.argv[1])], None, Path(folder))
        text = (Path(folder) / "report.md").read_text()
        with chromium() as driver:
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
            driver.get((Path(folder) / "report.html").as_uri())
            driver.execute_script("document.documentElement.style.overflow = 'hidden'")  # no scroll bar
            driver.save_screenshot(str(OUT / "page.png"))
    labels = [group.label for group in comparison.groups]
    look_of = looks(labels)
    curves = {group.label: curves_of(group) for group in comparison.groups}
    save(sharp(forest_of(comparison)), OUT / "forest.png")
    for name in ("nll", "ece"):
        known = {label: own[f"val/{name}"] for label, own in curves.items()}
        save(learning_curves(known, comparison.section.family.column(name), look_of), OUT / f"{name}.png")
    save(pooled_grid(comparison.groups, comparison.section.title), OUT / "reliability.png")
    made = f"\n`python train.py ablation=mnist_losses`, then `python report.py {sys.argv[1]}`: its report.md, and\n"
    pictures = "".join(f"\n![{caption}]({name}.png)\n" for name, caption in PICTURES.items())
    title, _, rest = text.partition("\n")
    (OUT / "report.md").write_text(f"{title}\n{made}some of report.html's pictures.\n{rest}\n## Pictures\n{pictures}")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    main()
