"""What a judge sees in real digits that were changed in a known way: the table of docs/generated.md, made anew."""

from pathlib import Path

import pytest

from docs.distortions import NAMES, judged
from tests.commands import QUIET, only_run, train

WORSE = ("none of the last class", "half of the second class", "noise, deviation 0.2", "noise, deviation 0.5")


@pytest.mark.slow
def test_coverage_sees_each_distortion_and_the_kernel_distance_all_but_copies(real_data: Path, tmp_path: Path) -> None:
    """1,000 images of MNIST, a judge of one epoch. Two draws of real images are the floor."""
    words = (*QUIET, "data=mnist", f"data.root={real_data}", "model=convnet", "trainer.max_epochs=1")
    assert train(*words, f"runs={tmp_path}") == 0
    table, accuracy = judged(only_run(tmp_path), None, 1000, 0)
    coverage, kernel = (
        {name: values[NAMES.index(which)] for name, values in table.items()}
        for which in ("coverage", "kernel distance x 1000")
    )
    assert accuracy > 0.95
    real = min(coverage["real ones"], coverage["others"])
    assert real > 0.94 and abs(kernel["real ones"]) < 10 and abs(kernel["others"]) < 10
    for name in (*WORSE, "3 x 3 blur"):
        assert coverage[name] < real - 0.03, name
        assert kernel[name] > max(abs(kernel["real ones"]), abs(kernel["others"])), name
    assert coverage["100 images, ten times each"] < 0.6 * real
    assert kernel["100 images, ten times each"] < kernel["3 x 3 blur"] / 5
