"""What a search is for when nobody says."""

import pytest

from src.sweep.jobs import Job
from src.tune.search import METRICS
from src.tune.study import make_composer, metric_of


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("classification", "val/nll"),
        ("distillation", "val/nll"),
        ("regression", "val/crps"),
        ("of_ones_own", "val/nll"),
        (None, "val/nll"),
    ],
)
def test_the_metric_is_what_chooses_in_the_family_of_the_task(task: str | None, metric: str) -> None:
    job = Job([])
    job.choices = {"task": task}
    assert metric_of(job) == metric
    assert METRICS[metric] == "minimize"


def test_the_loss_brings_the_task() -> None:
    composer = make_composer()
    for loss in ("focal", "distillation"):
        job = Job([f"loss={loss}", *(["teacher=."] if loss == "distillation" else [])])
        composer.compose(job)
        assert (job.fault, metric_of(job)) == (None, "val/nll")
