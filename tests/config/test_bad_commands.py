"""Bad commands: status 2, one message that names the fault and the nearest valid choice, nothing left on disk."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import train
from src.config.entry import resolve
from src.config.errors import UserError
from src.config.fit import check_fit
from src.config.guard import guarded
from tests.commands import QUIET, composed, only_run
from tests.commands import train as train_here
from tests.conftest import ROOT


def folder_of_images(root: Path, classes: int = 2, images: int = 3, suffix: str = "png") -> Path:
    for split in ("train", "test"):
        for k in range(classes):
            folder = root / split / f"class{k}"
            folder.mkdir(parents=True)
            for i in range(images):
                Image.new("RGB", (8, 8), (40 * k, 10 * i, 0)).save(folder / f"{i}.{suffix}")
    return root


def a_file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda here: (here / name).write_bytes(content) and None


def damaged_digits(here: Path) -> None:
    raw = here / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03\x00\x00")
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x02\x01\x02")


def missing_class(here: Path) -> None:
    folder_of_images(here / "odd")
    (here / "odd/test/class1").rename(here / "odd/test/klass1")


def broken_image(here: Path) -> None:
    folder_of_images(here / "images")
    (here / "images/train/class0/0.png").write_bytes(b"no image")


def empty_class(here: Path) -> None:
    folder_of_images(here / "images")
    for path in (here / "images/train/class1").iterdir():
        path.unlink()


TEXT = "data=text_file data.path=text model=gpt"
nothing: Callable[[Path], object] = lambda here: None  # noqa: E731

# command, preparation, what the message must match
TABLE: list[tuple[str, Callable[[Path], object], str]] = [
    # names
    ("modle=mlp", nothing, "unknown key 'modle' at the top level. Did you mean model"),
    ("model=resnt", nothing, "unknown model 'resnt'. Did you mean resnet"),
    ("loss=crossentropy", nothing, "unknown loss 'crossentropy'.*Options: .*ce"),
    ("data=mnits", nothing, "unknown data 'mnits'. Did you mean mnist"),
    ("optimizer=adam", nothing, "unknown optimizer 'adam'. Did you mean adamw"),
    ("scheduler=cosin", nothing, "Did you mean cosine"),
    ("trainer=cuda", nothing, "unknown trainer 'cuda'.*Options: .*gpu"),
    ("experiment=shakespear", nothing, "unknown experiment 'shakespear'. Did you mean shakespeare_char"),
    ("debug=fats", nothing, "Did you mean fast"),
    ("model.widht=[3]", nothing, "unknown key 'widht' in model. Did you mean widths"),
    ("lr=0.1", nothing, "unknown key 'lr' at the top level. optimizer.lr is a key of"),
    ("loss.gamma=3", nothing, "unknown key 'gamma' in loss. loss.gamma is a key of .*loss=focal"),
    ("trainer.epochs=3", nothing, "unknown key 'epochs' in trainer. Did you mean max_epochs"),
    ("+gamma=3", nothing, "unknown key 'gamma' at the top level"),
    ("loss=focal +loss.alpha=1", nothing, "unknown key 'alpha' in loss .*Valid: gamma"),
    (
        "loss=focal loss._target_=src.losses.focal.FokalLoss",
        nothing,
        r"no 'FokalLoss' in focal.py \(there: FocalLoss\)",
    ),
    ("model._target_=src.models.mpl.MLP", nothing, r"no module 'mpl' \(there: .*mlp"),
    # grammar
    ("cifar10", nothing, "not of the form key=value.*Did you mean data=cifar10"),
    ("seed=[1", nothing, r"the value of seed has characters that need quotes of their own: \"seed='\[1'\""),
    ("runs=a=b", nothing, r"\"runs='a=b'\""),
    ("loss = focal", nothing, "'=' has no key: a word is key=value, without spaces"),
    ("resume=", nothing, "resume= has no value; name a folder"),
    ("teacher=", nothing, "teacher= has no value"),
    ("epochs=5", nothing, "Did you mean trainer.max_epochs"),
    ("val_every_n_steps=5", nothing, "Did you mean trainer.val_every_n_steps"),
    ("data=MNIST", nothing, "unknown data 'MNIST'. Did you mean mnist"),
    ("runs=/proc/runs", nothing, "runs: /proc/runs/.* cannot be made"),
    ("data.without=[3] loss=logit_adjusted", nothing, "training split, which has none of '3'"),
    ("data.without=[0,1,2,3,4,5,6,7,8,9]", nothing, "the train split is empty .*data.without"),
    ("ema.decay=1", nothing, "ema.decay must be a number >= 0 and < 1, got 1"),
    ("--epochs 3", nothing, "there is no flag --epochs. Words are key=value; the flags are -m"),
    (
        f"loss={'x' * 100_000}",
        nothing,
        "loss takes the name of an option, and none has 100,000 characters: x{40}[.]{3}$",
    ),
    (f"{'x' * 100_000}=1", nothing, "no key has 100,000 characters: x{40}[.]{3}$"),
    (f"runs={'x' * 100_000}", nothing, "xent: runs: x+[.]{3}x+/mnist_5k-mlp/.* cannot be made: File name too long$"),
    ("runs='~nosuch/x'", nothing, "runs names a home folder that is not known, got '~nosuch/x'"),
    ("resume='~nosuch/x'", nothing, "resume names a home folder that is not known, got '~nosuch/x'"),
    ("loss=distillation teacher='~nosuch/x'", nothing, "teacher names a home folder that is not known"),
    ("seed=1 --config-dir . loss=own", nothing, "the flags are among the words: give loss=own and all other words"),
    ("seed=0,1", nothing, "several values for one run: seed=0,1. With -m .*: python train.py -m seed=0,1"),
    ("seed=1 seed=2", nothing, "seed is there twice: seed=1 and seed=2"),
    ("seed=1 loss=ce seed=1", nothing, "seed is there twice: seed=1 and seed=1"),
    ("loss=focal loss.gamma=1 +loss.gamma=2", nothing, r"loss.gamma is there twice: loss.gamma=1 and \+loss.gamma=2"),
    # many runs
    ("-m loss=ce,focal seed=0,1 loss=brier", nothing, "loss is there twice: loss=ce,focal and loss=brier"),
    ("ablation=mnist_losses seed=0 seed=1", nothing, "seed is there twice: seed=0 and seed=1"),
    ("ablation=mnist_loses", nothing, "unknown ablation 'mnist_loses'. Did you mean mnist_losses"),
    # until its comparisons are decided
    ("ablation=mnist_losses until=foo metric=nll", nothing, "until takes verdict, got 'foo'"),
    ("ablation=mnist_losses until=verdict", nothing, "until=verdict needs the one metric that decides"),
    ("ablation=mnist_losses metric=nll", nothing, "metric= belongs to until=verdict"),
    ("until=verdict metric=nll", nothing, "decides the comparisons of an ablation, and none is named"),
    ("-m loss=ce,focal until=verdict metric=nll", nothing, "decides the comparisons of an ablation, and none is named"),
    ("ablation=mnist_losses until=verdict metric=nll max_seeds=2", nothing, "integer from 3 to 100, got '2'"),
    ("ablation=mnist_losses until=verdict metric=nll max_seeds=abc", nothing, "integer from 3 to 100, got 'abc'"),
    ("ablation=mnist_losses until=verdict metric=nl", nothing, "metric=nl is no metric .* Did you mean nll"),
    (
        "ablation=mnist_losses until=verdict metric=perplexity",
        nothing,
        "is measured, but no difference in it is tested",
    ),
    ("ablation=mnist_losses until=verdict metric=nll seed=0,1", nothing, "seed= and until=verdict do not go together"),
    ("ablation=mnist_losses until=verdict metric=nll model=mlp,resnet", nothing, "so a word has one value"),
    (
        "ablation=mnist_losses until=verdict metric=nll margin=nll:0.01",
        nothing,
        "in its YAML, or \\+ablation.margin=METRIC",
    ),
    (
        "ablation=mnist_losses until=verdikt metric=nll",
        nothing,
        "until takes verdict, got 'verdikt'. Did you mean verdict",
    ),
    ("ablation=mnist_losses until=verdict metric=nll hydra.mode=RUN", nothing, "do not go together"),
    ("ablation=mnist_losses until=verdict metric=nll loss=focal", nothing, "do not go together|baseline"),
    ("ablation=mnist_losses until=verdict metric=nll trainer=smoke", nothing, "runs for debugging are never compared"),
    ("ablation=mnist_losses,focal_gamma", nothing, "one command runs one ablation"),
    ("ablation=mnist_losses +ablation.claims=[{loss:ce}]", nothing, r"claims\[0\].claim must be a text, got None"),
    ("ablation=mnist_losses loss.gama=3", nothing, "unknown key 'gama' in loss"),
    ("ablation=mnist_losses modle=mlp", nothing, "unknown key 'modle' at the top level. Did you mean model"),
    ("ablation=mnist_losses optimizer.lr=abc", nothing, "optimizer.lr must be a number, got 'abc'"),
    ("ablation=mnist_losses runs=a=b", nothing, r"\"runs='a=b'\""),
    (
        "ablation=distillation_temperature",
        nothing,
        "ablation=distillation_temperature needs teacher=...; conf/ablation/",
    ),
    ("-m loss=crossentropy seed=0,1", nothing, "unknown loss 'crossentropy'.*Options: .*ce"),
    ("-m seed=[1", nothing, r"seed='\[1'"),
    ("-m resume=a,b", nothing, "resume=FOLDER finishes one run"),
    ("-m seed=0,1 hydra.launcher.job=2", nothing, "unknown key 'job' in hydra.launcher. Did you mean jobs"),
    ("-m seed=0,1 hydra.launcher.jobs=0", nothing, "hydra.launcher.jobs must be an integer >= 1, got 0"),
    ("-m seed=0,1 hydra.launcher.jobs=all", nothing, "hydra.launcher.jobs must be an integer >= 1, got 'all'"),
    ("-m seed=0,1 hydra.launcher.devices=[0,0]", nothing, r"hydra.launcher.devices must be a list .* got \[0, 0\]"),
    ("-m seed=0,1 hydra.launcher.on_error=ask", nothing, "hydra.launcher.on_error must be one of continue, stop"),
    (
        "-m seed=0,1 hydra/launcher=submitit_slurm",
        nothing,
        "submitit_slurm needs.*pip install 'hydra-submitit-launcher>=",
    ),
    ("ablation=mnist_losses hydra/launcher=ray", nothing, "ray needs.*pip install 'hydra-ray-launcher>=.* 'ray>="),
    ("-m seed=0,1 hydra/launcher=proceses", nothing, "unknown hydra/launcher 'proceses'. Did you mean processes"),
    # types and ranges
    ("loss=focal loss.gamma=abc", nothing, "loss.gamma must be a number, got 'abc'"),
    ("loss=focal loss.gamma=-1", nothing, "loss.gamma must be a number >= 0, got -1"),
    ("loss=smoothed_ce loss.smoothing=2", nothing, r"loss.smoothing must be a number >= 0 and <= 1, got 2"),
    ("loss=smoothed_ce loss.spread=most", nothing, "loss.spread must be one of all, others, got 'most'"),
    ("loss=focal loss.gamma=null", nothing, "loss.gamma must be a number, got null"),
    ("trainer.max_steps=abc", nothing, "trainer.max_steps must be an integer or null, got 'abc'"),
    ("trainer.max_epochs=0", nothing, "trainer.max_epochs must be an integer >= 1, got 0"),
    ("trainer.max_epochs=null", nothing, "the run has no end: set trainer.max_epochs or trainer.max_steps"),
    ("trainer.precision=16", nothing, "trainer.precision must be one of 32-true"),
    ("trainer=cpu trainer.precision=16-mixed", nothing, "16-mixed needs a GPU"),
    ("seed=-1", nothing, "seed must be an integer >= 0 and <= 4294967295, got -1"),
    ("seed=one", nothing, "seed must be an integer, got 'one'"),
    ("model.widths=5", nothing, "model.widths must be a list"),
    ("model.dropout=1.5", nothing, "model.dropout must be a number >= 0 and <= 0.99, got 1.5"),
    ("model.activation=relo", nothing, "model.activation must be one of relu"),
    ("model=resnet model.depth=21", nothing, "model.depth must be one of 8, 18, 20, 32, 56, got 21"),
    ("model=vit model.patch=5", nothing, "model.patch must divide the images' height and width, 28 x 28, got 5"),
    ("model=vit model.heads=3", nothing, "model.width must be a multiple of heads=3, got 128"),
    ("optimizer.lr=abc", nothing, "optimizer.lr must be a number, got 'abc'"),
    ("optimizer.lr=-1", nothing, "optimizer.lr must be a number >= 0, got -1"),
    ("optimizer=sgd optimizer.momntum=0.9", nothing, "unknown key 'momntum' in optimizer.*Did you mean momentum"),
    ("optimizer=muon optimizer.adamw_lr=fast", nothing, "optimizer.adamw_lr must be a number or null, got 'fast'"),
    ("optimizer=muon optimizer.adamw_lr=-1", nothing, "optimizer.adamw_lr must be a number >= 0, got -1"),
    ("optimizer=muon optimizer.ns_steps=0", nothing, "optimizer.ns_steps must be an integer >= 1 and <= 99, got 0"),
    ("optimizer=muon optimizer.adjust_lr_fn=adam", nothing, "optimizer.adjust_lr_fn must be one of match_rms_adamw"),
    ("optimizer=muon optimizer.betas=0.9", nothing, "optimizer.betas must be a list"),
    ("optimizer=muon optimizer.hidden=[]", nothing, "unknown key 'hidden' in optimizer"),
    ("optimizer=muon model=resnet", nothing, "optimizer: Muon is for the matrices between .* this one has none"),
    ("optimizer=moun", nothing, "Did you mean muon"),
    ("scheduler=wsd scheduler.decay=2", nothing, "scheduler.decay must be a number >= 0 and <= 1, got 2"),
    (
        "scheduler=wsd scheduler.shape=sqrt",
        nothing,
        "scheduler.shape must be one of one_minus_sqrt, linear, got 'sqrt'",
    ),
    (
        "scheduler.warmup_steps=100000",
        nothing,
        "scheduler.warmup_steps must be an integer <= 1120, the steps of this run",
    ),
    ("data.batch_size=0", nothing, "data.batch_size must be an integer >= 1, got 0"),
    ("data.without=[12]", nothing, "data.without: there is no class 12; the classes are 0, 1"),
    ("data.without=3", nothing, "data.without must be a list"),
    ("data.val_fraction=1", nothing, "data.val_fraction must be"),
    ("data.train_examples=9999", nothing, "data.train_examples=9999: only 3600 are there"),
    ("data.cutout=-1", nothing, "data.cutout must be an integer >= 0, got -1"),
    ("data.cutout=large", nothing, "data.cutout must be an integer, got 'large'"),
    ("data.mixup=mixcut", nothing, "data.mixup must be one of mixup, cutmix, got 'mixcut'"),
    ("data.mixup_alpha=0", nothing, "data.mixup_alpha must be a number > 0, got 0"),
    ("data.label_noise=1", nothing, "data.label_noise must be a number >= 0 and < 1, got 1"),
    ("data.label_noise=much", nothing, "data.label_noise must be a number, got 'much'"),
    ("data.imbalance=0.5", nothing, "data.imbalance must be a number >= 1, got 0.5"),
    ("data.imbalance=1000", nothing, "data.imbalance=1000 leaves the last class no example of 360"),
    ("data.binary=even", nothing, "data.binary must be null, odd_even or two lists of classes, got 'even'"),
    ("data.binary=[[0,1]]", nothing, "data.binary must be null, odd_even or two lists of classes"),
    ("data.binary=[[0],[11]]", nothing, "data.binary: there is no class 11; the classes are 0, 1"),
    ("data.binary=[[0,1],[1]]", nothing, "data.binary: class 1 is there twice"),
    ("ema.decay=2", nothing, "ema.decay must be a number >= 0 and < 1, got 2"),
    ("logger=wandbb", nothing, "logger must be one of tensorboard, csv, wandb, mlflow or a list or null, got 'wandbb'"),
    ("x_axis=samples", nothing, "x_axis must be one of step, samples_seen, got 'samples'"),
    ("logger=wandb", nothing, "logger=wandb needs the package wandb"),
    # what does not fit together
    ("data=python_docs", nothing, "model=mlp reads image or table, data=python_docs gives text: take model=gpt"),
    ("model=gpt", nothing, "model=gpt reads text, data=mnist_5k gives image: take model=mlp, model=resnet or"),
    ("data=python_docs model=gpt model.positions=8", nothing, "model.positions must be an integer >= 64"),
    ("data=python_docs model=gpt model.n_head=5", nothing, "model.n_embd must be a multiple of n_head=5, got 128"),
    ("data=python_docs model=gpt loss=bce samples.prompt='→'", nothing, "samples.prompt: the character '→' is not in"),
    (
        "loss=hinge data.mixup=cutmix",
        nothing,
        "loss=hinge learns from classes, data.mixup=cutmix gives .*"
        "take data.mixup=null or loss=bce, brier, ce, distillation, focal, kl, poly1, smoothed_ce, z_loss\n",
    ),
    ("data.mixup=mixup debug=overfit", nothing, "trainer.overfit_batches validates on training batches"),
    (
        "compile=reduce-overhead trainer.accumulate_grad_batches=2",
        nothing,
        "takes no trainer.accumulate_grad_batches > 1",
    ),
    (
        "data.train_examples=100 data.batch_size=30 trainer.accumulate_grad_batches=4",
        nothing,
        "trainer.accumulate_grad_batches=4: an epoch has 3 batches of 30 .*too few for an optimizer step",
    ),
    (
        "debug=overfit trainer.accumulate_grad_batches=4",
        nothing,
        "an epoch has 1 batches of .*too few for",
    ),
    (
        "loss=mmce trainer.accumulate_grad_batches=2",
        nothing,
        "loss=mmce with .* take trainer.accumulate_grad_batches=1",
    ),
    (
        "loss=mmce data=python_docs model=gpt",
        nothing,
        "loss=mmce with loss.penalty above 0 is .* data=python_docs gives text",
    ),
    ("data=python_docs model=gpt data.mixup=mixup", nothing, "unknown key 'mixup' in data"),
    (
        "model._target_=src.losses.kl.KullbackLeiblerLoss ~model.widths ~model.batch_norm ~model.dropout"
        " ~model.activation",
        nothing,
        "no network",
    ),
    # views
    ("loss=nt_xent loss.temperature=0", nothing, "loss.temperature must be a number > 0, got 0"),
    ("loss=nt_xent task.projector=[]", nothing, r"task.projector must be a list of at least one integer .*, got \[\]"),
    ("loss=nt_xent task.projector=[0]", nothing, "task.projector must be an integer >= 1, got 0"),
    ("loss=nt_xent task.projector=128", nothing, "task.projector must be a list.*, got 128"),
    ("loss=nt_xent task.crop=0", nothing, "task.crop must be a number > 0 and <= 1, got 0"),
    ("loss=nt_xent task.flip=1", nothing, "task.flip must be true or false, got 1"),
    ("loss=nt_xent task.jitter=2", nothing, "task.jitter must be a number >= 0 and <= 1, got 2"),
    ("loss=nt_xent model=gpt data=python_docs", nothing, "loss=nt_xent reads features, model=gpt gives logits"),
    (
        "loss=nt_xent model=torchvision model.name=squeezenet1_0",
        nothing,
        "model=torchvision: TorchvisionModel has no linear layer at its end",
    ),
    # data
    ("data=image_folder", nothing, "data.root has no value"),
    ("data=image_folder data.root=nowhere", nothing, "no folder nowhere"),
    ("data=image_folder data.root=.", nothing, "has no folder train/"),
    ("data=image_folder data.root=images", empty_class, "class1"),
    (
        "data=image_folder data.root=images",
        lambda here: folder_of_images(here / "images", suffix="gif"),
        r"images/train/class0 has no image \(there: 3 .gif\)",
    ),
    ("data=image_folder data.root=images", lambda here: folder_of_images(here / "images", classes=1), "two classes"),
    ("data=image_folder data.root=odd", missing_class, "train/ and test/ differ in the classes class1, klass1"),
    ("data=image_folder data.root=images", broken_image, "class0/0.png is no image that can be used"),
    ("data.resident=gpu", nothing, "data.resident must be one of auto, device, host, got 'gpu'"),
    ("data=python_docs model=gpt data.resident=host", nothing, "unknown key 'resident' in data.*Valid: "),
    ("data=mnist data.root=.", damaged_digits, "raw/train-images-idx3-ubyte is damaged.*delete it"),
    (TEXT, nothing, "no file text: name a text with data.path=FILE"),
    ("data=text_file model=gpt", nothing, "data.path has no value"),
    (TEXT, a_file("text", b""), "the text is empty"),
    (TEXT, a_file("text", b"aaaaaaaaaaaaaaaaa" * 99), "two classes, the text has only the character 'a'"),
    (TEXT, a_file("text", b"short text"), "a block needs 65: take a longer text or a smaller data.block_size"),
    (TEXT + " data.batch_size=9999", a_file("text", b"to be or not " * 99), "data.batch_size must be <= "),
    (TEXT, a_file("text", b"caf\xe9 " * 999), r"text is not UTF-8: byte 0xe9 at 3"),
    (TEXT.replace("data.path=text", "data.path=."), nothing, ". is a folder, not a file"),
    (
        TEXT.replace("data.path=text", "data.path=pipe"),
        lambda here: os.mkfifo(here / "pipe"),
        "pipe is a pipe, and data",
    ),
    (TEXT.replace("data.path=text", "data.path='~nosuch/text'"), nothing, "data.path names a home folder that is not"),
    ("data=mnist data.root='~nosuch'", nothing, "data.root names a home folder that is not known, got '~nosuch'"),
    ("data.without=[10]", nothing, "data.without: there is no class 10; the classes are 0, 1,"),
    # sizes
    (
        "model.widths=[100000000000]",
        nothing,
        r"too large: model.widths=\[100000000000\] makes .* take .* GiB to train, and",
    ),
    ("model.widths=[100000000000,100000000000]", nothing, "is more than torch can count"),
    ("model=vit model.layers=1000000000", nothing, "model.layers must be an integer >= 1 and <= 10000"),
    ("trainer.threads=1000000", nothing, "trainer.threads must be an integer >= 1 and <= 1024, got 1000000"),
    ("trainer.devices=1000000000", nothing, "trainer.devices must be an integer >= 1 and <= 1024"),
    ("seed=4294967296", nothing, "seed must be an integer >= 0 and <= 4294967295, got 4294967296"),
    (
        "trainer.max_steps=99999999999999999999",
        nothing,
        "trainer.max_steps must be an integer .* <= 92233720",
    ),
    ("seed=1e3", nothing, "seed must be an integer, got 1000.0"),
    ("compile=1", nothing, "compile must be true or false or one of auto, reduce-overhead, got 1"),
    ("overwrite=1", nothing, "overwrite must be true or false, got 1"),
    ("optimizer.betas=0.9", nothing, "optimizer.betas must be a list of 2: a number, a number, got 0.9"),
    ("optimizer.betas=[0.9,2]", nothing, r"optimizer.betas=\[0.9, 2\]: Invalid beta parameter"),
    ("loss=distillation teacher=nowhere", nothing, "teacher=nowhere: nowhere is no run's folder"),
    ("runs=${nothing}", nothing, "Interpolation key 'nothing' not found"),
    ("ablation=mnist_losses model=gpt", nothing, "model=gpt reads text, data=mnist_5k gives image"),
    ("-m loss=hinge,fokal", nothing, "1 of 2 runs could not run, so none starts. loss=fokal: unknown loss 'fokal'"),
    ("-m loss=hinge,ce data.mixup=mixup", nothing, "1 of 2 runs could not run.*loss=hinge learns from classes"),
    ("-m seed=range(1000000)", nothing, "has more than 20,000 values"),
    ("debug=true", nothing, "debug takes the name of an option, got true"),
    ("-m seed=0,1 hydra.launcher.devices=0", nothing, "hydra.launcher.devices must be a list of different GPUs"),
    ("-m seed=0,1 hydra.launcher.devices=[a]", nothing, r"hydra.launcher.devices must be a list .* got \['a'\]"),
    ("-m seed=0,1 hydra/launcher=[processes]", nothing, "hydra/launcher takes one option"),
    ("optimizer.lr=0,001", nothing, "several values for one run: optimizer.lr=0,001"),
    ("loss..gamma=3", nothing, "'loss..gamma' is no key; a word is key=value"),
    # folders
    ("runs=plain/runs", a_file("plain", b"x"), "plain is a file"),
    ("resume=nowhere", nothing, "nowhere is no run's folder: it has no config.yaml"),
    ("resume=.", nothing, "no run's folder"),
]


@pytest.mark.parametrize(
    ("command", "prepare", "expected"), TABLE, ids=[f"{i}-{row[0][:80]}" for i, row in enumerate(TABLE)]
)
def test_bad_command(
    command: str,
    prepare: Callable[[Path], object],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    prepare(here)
    check(command.split(" "), expected, here, monkeypatch, capfd, cache=tmp_path / "cache")


def check(
    words: list[str],
    expected: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    cache: Path,
) -> None:
    """Run ``train.py WORDS`` in ``here``: status 2, a message of one paragraph, no file made or changed."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), *words])
    before = state(here)
    threads = torch.get_num_threads()
    try:
        status = guarded(train.main)
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    finally:
        torch.set_num_threads(threads)
    _, errors = capfd.readouterr()
    assert status == 2
    assert re.search(expected, errors), errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) <= 2 or "usage:" in errors, errors
    assert state(here) == before
    assert not cache.exists()


def state(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run, below here/."""
    here = tmp_path / "here"
    here.mkdir()
    assert train_here(*QUIET, "trainer.max_steps=3", "model.widths=[8]", f"runs={here}") == 0
    return only_run(here)


def test_resume_takes_no_other_key(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [f"resume={finished}", "loss=focal"]
    check(words, "leave out loss=focal", tmp_path / "here", monkeypatch, capfd, tmp_path / "cache")


def test_configuration_that_was_changed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (finished / "result.json").unlink()
    config = finished / "config.yaml"
    config.write_text(config.read_text().replace("- 8", "- 9"))
    expected = r"config.yaml was changed after the run wrote it \(model.widths is \[8\] there and \[9\] here\): undo"
    check([f"resume={finished}"], expected, tmp_path / "here", monkeypatch, capfd, tmp_path / "cache")


def test_checkpoint_that_is_none(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (finished / "result.json").unlink()
    (finished / "checkpoints/last.ckpt").write_bytes(b"half a check")
    check([f"resume={finished}"], "no checkpoint of xent", tmp_path / "here", monkeypatch, capfd, tmp_path / "cache")


def test_checkpoint_of_another_version(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (finished / "result.json").unlink()
    path = finished / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["callbacks"]["ExactCheckpoint"]["format"] += 1
    torch.save(checkpoint, path)
    expected = "last.ckpt was written by another version of xent"
    check([f"resume={finished}"], expected, tmp_path / "here", monkeypatch, capfd, tmp_path / "cache")


@pytest.mark.parametrize(("devices", "nodes", "key"), [(2, 1, "devices"), (1, 2, "num_nodes")])
def test_a_statistic_of_the_batch_wants_one_device(devices: int, nodes: int, key: str) -> None:
    """By itself: most machines refuse a second node first."""
    command = composed("loss=mmce", "trainer=ddp", f"trainer.devices={devices}", f"trainer.num_nodes={nodes}")
    cfg = resolve(command.cfg)
    with pytest.raises(
        UserError, match=rf"loss=mmce with loss.penalty above 0 is .*, trainer.{key}=2 cuts it: take trainer.{key}=1"
    ):
        check_fit(cfg, command.choices)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    check(["trainer=gpu"], "torch sees no GPU here; take trainer=cpu", tmp_path, monkeypatch, capfd, tmp_path / "cache")


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    words = ["compile=true", "trainer=cpu"]
    check(words, r"compile=true needs a C\+\+ compiler", tmp_path, monkeypatch, capfd, tmp_path / "cache")


def test_key_set_by_an_experiment_names_its_file(tmp_path: Path) -> None:
    """A copy of the project, because experiments live in its conf/."""
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "train.py", tmp_path / "train.py")
    (tmp_path / "conf/experiment/odd.yaml").write_text(
        "# @package _global_\nexperiment: odd\ntraner:\n  max_epochs: 3\n"
    )
    done = subprocess.run([sys.executable, "train.py", "experiment=odd"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search(r"unknown key 'traner'.*Did you mean trainer.*conf/experiment/odd.yaml", done.stderr), done.stderr


REAL = [
    ("model=resnt", "Did you mean resnet", True),
    ("loss=focal loss.gama=3", "Did you mean gamma", True),
    ("loss=focal loss.gamma=abc", "must be a number", True),
    ("optimizer.lr=fast", "must be a number", True),
    ("data=null", "a group takes the name of an option", True),
    ("ablation=mnist_loses", "Did you mean mnist_losses", True),
    ("ablation=mnist_losses loss.gama=3", "unknown key 'gama' in loss", True),
    ("-m loss=focal,ce optimizer.lr=fast", "must be a number", True),
    ("data=image_folder data.root=nowhere", "no folder nowhere", False),
]


# to look where torch's files are is no import
WITHOUT_TORCH = """
import sys
def refuse(event, args):
    if event == "import" and args[0].partition(".")[0] == "torch":
        raise ImportError("too early")
sys.addaudithook(refuse)
"""


ALIKE = ("loss=focal loss.gamma=abc", "optimizer.lr=fast", "data=null", "ablation=mnist_loses")


@pytest.mark.parametrize(
    ("command", "expected", "composing"),
    [pytest.param(*row, marks=[pytest.mark.slow] if row[0] in ALIKE else [], id=row[0]) for row in REAL],
)
def test_real_command(command: str, expected: str, composing: bool, tmp_path: Path) -> None:
    """As a process of its own; composition errors come without torch."""
    path, folder = tmp_path / "path", tmp_path / "folder"
    path.mkdir()
    folder.mkdir()
    if composing:
        (path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *command.split(" ")],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert list(folder.iterdir()) == []
