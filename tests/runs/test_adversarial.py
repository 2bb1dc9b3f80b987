"""Whole runs of generative adversarial networks, with the judge that scores them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.base import generator
from src.folder.folder import RunFolder
from src.metrics.families import LIKENESS, PAIRS
from src.runs.rebuild import rebuild
from tests.callbacks.test_recorder import events
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.teams import finished
from tests.runs.test_exactness import killed_at_random, resume_from_every_checkpoint
from tests.test_own_family import give

GAN = (
    *("data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=200", "trainer.limit_eval_batches=2"),
    *("model=dcgan", "model.width=2", "model.latents=4", "optimizer=adamw_gan", "trainer.log_every_n_steps=2"),
    *("trainer.max_steps=6", "trainer.val_every_n_steps=3", "checkpoint.every_n_steps=2"),
)
# a loss of somebody's own, and its option: with a row of the contract test, all that a newcomer writes
RELATIVISTIC = """
from torch.nn.functional import softplus

from xent.losses.adversarial import AdversarialLoss


class RelativisticLoss(AdversarialLoss):
    def forward(self, real, made):
        return softplus(made - real)

    def generator(self, made):
        return softplus(-made)
"""
OPTION = """
defaults: [/task@_global_.task: adversarial, _self_]
_target_: relativistic.RelativisticLoss
r1: 0.5
"""
METRICS = {"coverage", "sample_precision", "kernel_distance", "frechet_distance", "class_kl", "told_apart", "memorised"}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier, for all tests here."""
    runs = tmp_path_factory.mktemp("judge")
    assert train(*QUIET, "data.train_examples=300", "model.widths=[8]", "trainer.max_epochs=1", f"runs={runs}") == 0
    return only_run(runs)


@pytest.mark.parametrize(
    "words",
    [
        ("loss=gan", "loss.r1=1"),
        pytest.param(
            ("loss=wgan_gp", "task.discriminator_turns=2", "ema.decay=0.5", "trainer.gradient_clip_val=0.5"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda words: words[0],
)
def test_it_resumes_from_every_checkpoint(
    words: tuple[str, ...], judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume_from_every_checkpoint((*QUIET, *GAN, *words, f"judge={judge}"), tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_loss_of_ones_own_is_two_files_and_a_row(judge: Path, tmp_path: Path) -> None:
    """It gets its task, its players, the penalty and the judge, and another such loss gives another network."""
    (tmp_path / "conf/loss").mkdir(parents=True)
    (tmp_path / "relativistic.py").write_text(RELATIVISTIC)
    (tmp_path / "conf/loss/relativistic.yaml").write_text(OPTION)
    words = (*QUIET, *GAN, f"judge={judge}")
    own = ("--config-dir", str(tmp_path / "conf"), "loss=relativistic")
    finished(*own, *words, f"runs={tmp_path / 'own'}", env={"PYTHONPATH": str(tmp_path)})
    assert train(*words, "loss=gan", "loss.r1=0.5", f"runs={tmp_path / 'gan'}") == 0
    ours, theirs = (only_run(tmp_path / name) for name in ("own", "gan"))
    assert result_of(ours)["metrics"]["test"].keys() == result_of(theirs)["metrics"]["test"].keys() > METRICS
    assert (ours / "weights.safetensors").read_bytes() != (theirs / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_killed_many_times_at_random_moments(judge: Path, tmp_path: Path) -> None:
    words = (*QUIET, *GAN[:-3], "loss=wgan_gp", "task.discriminator_turns=2", "ema.decay=0.9", f"judge={judge}")
    killed_at_random((*words, "trainer.max_steps=60", "checkpoint.every_n_steps=1"), tmp_path, kills=6)


def test_a_run_is_judged_and_tested_again(judge: Path, tmp_path: Path) -> None:
    assert train(*QUIET, *GAN, "loss=gan_hinge", f"judge={judge}", f"runs={tmp_path}", "figures=true") == 0
    run = only_run(tmp_path)
    result = result_of(run)
    assert {"loss", "discriminator", "generator", *METRICS} == set(result["metrics"]["test"])
    assert result["floors"].keys() == {"real images"}
    with np.load(run / "predictions.npz") as columns:
        means = {name: columns[name].mean(dtype=float) for name in PAIRS}
        for ratio in (column for column in LIKENESS if column.ratio):
            assert result["metrics"]["test"][ratio.name] == pytest.approx(means[ratio.ratio[0]], rel=1e-5)
        assert means["compared_pairs"] == 1
        assert columns["real_features"].shape == columns["made_features"].shape == (400, 8)
    assert (run / "figures/neighbours.png").is_file()
    drawn = (run / "figures/samples.png").read_bytes()
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step0000003.png", "step0000006.png"]
    judge.rename(judge.with_name("away"))  # nobody needs it to make images
    try:
        assert give("evaluate.py", run, "sample=64") == 0
    finally:
        judge.with_name("away").rename(judge)
    assert (run / "evaluations/sample64.png").read_bytes() == drawn == (run / "samples/step0000006.png").read_bytes()
    z = torch.randn(16, 4, generator=generator("latents", "samples", 0, 0))
    first = np.asarray(Image.open(run / "figures/samples.png"))[:56:2, :56:2]
    with torch.no_grad():
        made = rebuild(run).model.generate(z)[0, 0]  # type: ignore[operator]
    np.testing.assert_allclose(first, 127.5 * (made.numpy() + 1), atol=0.501)
    facts = RunFolder(run).read_config()["identity_facts"]
    assert len(facts["judge"]) == 64 and "teacher" not in facts
    assert give("evaluate.py", run) == 0
    assert json.loads((run / "evaluations/test.json").read_text())["same_as_result"] is True


def test_a_judge_that_has_changed_judges_nothing(
    judge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "judge"
    shutil.copytree(judge, own)
    assert train(*QUIET, *GAN, "loss=gan", f"judge={own}", f"runs={tmp_path / 'runs'}") == 0
    shutil.rmtree(own)
    words = ("data.train_examples=300", "model.widths=[8]", "trainer.max_epochs=1", "seed=1")
    assert train(*QUIET, *words, f"runs={tmp_path / 'other'}") == 0
    shutil.move(only_run(tmp_path / "other"), own)
    assert give("evaluate.py", only_run(tmp_path / "runs")) == 2
    assert f"judge={own} is not the network that judged this run" in capfd.readouterr().err


def test_scores_are_histograms(judge: Path, tmp_path: Path) -> None:
    """Without its penalty, the discriminator of wgan_gp minimises the mean of made scores less that of real ones."""
    words = (*QUIET, *GAN, "loss=wgan_gp", "loss.weight=0", f"judge={judge}")
    assert train(*words, "logger=tensorboard", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    losses = {int(row[0]): float(row[4]) for row in rows if row[3] == "val/discriminator"}
    means = {}
    for name in ("real_score", "made_score"):
        found = {event.step: event.histogram_value for event in events(run).Histograms(f"val/{name}")}
        means[name] = {step: value.sum / value.num for step, value in found.items()}
        assert {value.num for value in found.values()} == {400}
    assert means["real_score"].keys() == losses.keys() == {3, 6}
    for step, loss in losses.items():
        assert means["made_score"][step] - means["real_score"][step] == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("loss=gan",), "loss=gan needs a judge: judge=RUN_FOLDER"),
        (("loss=gan", "judge=nowhere"), "judge=nowhere: nowhere is no run's folder"),
        (("loss=gan", "model=mlp", "judge=JUDGE"), "loss=gan reads generated images, model=mlp gives logits"),
        (("loss=ce", "model=mlp", "judge=JUDGE"), "is heard by losses of networks that make images"),
        (("loss=wgan_gp", "judge=JUDGE", "compile=true"), "takes a second derivative"),
        (("loss=gan", "loss.r1=1", "judge=JUDGE", "compile=auto"), "loss=gan with loss.r1 above 0 takes a second"),
        (("loss=gan", "judge=JUDGE", "trainer=ddp"), "trainer.strategy=ddp is for one optimizer"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: tuple[str, ...], message: str, judge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = [word.replace("JUDGE", str(judge)) for word in words]
    model = [] if any(word.startswith("model=") for word in words) else ["model=dcgan"]
    assert give("train.py", *own, *model, f"runs={tmp_path}") == 2
    said = capfd.readouterr().err
    assert message in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory, judge: Path) -> dict[str, Path]:
    """Folders that are no judge of ten digits, by what is wrong with them."""
    home = tmp_path_factory.mktemp("strangers")
    short = (*QUIET, "trainer.max_steps=1", "trainer.limit_eval_batches=1")
    runs = {
        "a likelihood": ("data.binarise=dynamic", "model=vae", "loss=elbo", "task.test_samples=1"),
        "other classes": ("data.binary=odd_even", "model.widths=[8]"),
        "text": ("data=python_docs", "model=gpt", "model.n_layer=1", "model.n_embd=8", "samples.count=0"),
        "scores": ("loss=hinge", "model.widths=[8]"),
    }
    found = {}
    for name, words in runs.items():
        assert train(*short, *words, f"runs={home / name.replace(' ', '_')}") == 0
        found[name] = only_run(home / name.replace(" ", "_"))
    for name in ("unfinished", "damaged"):
        found[name] = Path(shutil.copytree(judge, home / name))
    (home / "unfinished/weights.safetensors").unlink()
    (home / "damaged/weights.safetensors").write_bytes(b"no weights")
    shutil.copytree(judge, home / "old")
    config = (home / "old/config.yaml").read_text()
    (home / "old/config.yaml").write_text(config.replace("identity_facts:", "facts_of_identity:"))
    return found | {"old": home / "old"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a likelihood", "that run gives no classes: its loss is NegativeELBOLoss"),
        ("other classes", "knows other classes: 2 there, 10 here"),
        ("text", "reads text, the data give image"),
        ("scores", "was trained with a loss whose scores are no probabilities"),
        ("unfinished", "has no weights.safetensors"),
        ("damaged", ""),
        ("old", ""),
    ],
)
def test_what_is_no_judge_is_refused(
    what: str, message: str, strangers: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (("model=dcgan", "loss=gan"), ("data.binarise=dynamic", "model=vae", "loss=elbo")):
        assert give("train.py", *words, f"judge={strangers[what]}", f"runs={tmp_path}") == 2
        said = capfd.readouterr().err
        assert f"judge={strangers[what]}" in said and message in said and "Traceback" not in said
        assert not list(tmp_path.iterdir())


FAMILIES = {
    "elbo": ("data.binarise=dynamic", "model=vae", "model.widths=[8]", "task.val_samples=2", "task.test_samples=2"),
    "denoising": ("model=unet", "model.widths=[8]", "task.val_steps=2", "task.test_steps=2", "task.sampling_steps=2"),
}


@pytest.mark.parametrize("loss", FAMILIES)
def test_another_family_may_have_a_judge(loss: str, judge: Path, tmp_path: Path) -> None:
    """Its own metrics are as they are without a judge, bit for bit."""
    words = (*QUIET, *GAN[:4], f"loss={loss}", *FAMILIES[loss], "trainer.max_steps=2")
    found = []
    for own in ((), (f"judge={judge}",)):
        assert train(*words, *own, f"runs={tmp_path / str(len(own))}") == 0
        found.append(only_run(tmp_path / str(len(own))))
    plain, judged = (result_of(run)["metrics"]["test"] for run in found)
    assert judged.keys() - plain.keys() == METRICS - {"told_apart"}
    assert {name: judged[name] for name in plain} == plain
    assert (found[0] / "weights.safetensors").read_bytes() == (found[1] / "weights.safetensors").read_bytes()
    assert "floors" not in result_of(found[0]) and result_of(found[1])["floors"].keys() == {"real images"}
    assert give("evaluate.py", found[1]) == 0
    assert json.loads((found[1] / "evaluations/test.json").read_text())["same_as_result"] is True
