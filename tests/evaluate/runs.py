"""The runs that evaluate.py is tried on, and how to look at a run's folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.commands import QUIET

DIGITS = (*QUIET, "data.train_examples=300", "data.batch_size=20", "data.eval_batch_size=300", "trainer.max_epochs=3")
IMAGES = (*DIGITS, "model.widths=[16]")
TEXT = (
    *(*QUIET, "data=text_file", "data.block_size=8", "data.batch_size=4", "model=gpt", "model.n_layer=1"),
    *("model.n_head=2", "model.n_embd=16", "trainer.max_steps=40", "samples.length=5", "optimizer.lr=0.01"),
)
MAKES_IMAGES = (
    *(*DIGITS, "data.binarise=dynamic", "model=vae", "model.widths=[16]", "model.latents=3", "loss=elbo"),
    *("task.val_samples=2", "task.test_samples=2", "ema.decay=0.9"),
)
RUNS: dict[str, tuple[str, ...]] = {
    "images": IMAGES,
    "resnet": (*DIGITS, "model=resnet", "model.depth=8", "trainer.limit_eval_batches=1", "trainer.max_steps=9"),
    "ema": (*IMAGES, "ema.decay=0.9"),
    "best": (*IMAGES, "checkpoint.best=true", "optimizer.lr=0.1", "trainer.val_every_n_steps=5"),
    "hinge": (*IMAGES, "loss=hinge"),
    "weighted": (*IMAGES, "loss.class_weights=balanced", "data.imbalance=5", "data.train_examples=null"),
    "binary": (*IMAGES, "loss=bce", "data.binary=odd_even"),
    "mixup": (*IMAGES, "data.mixup=mixup"),
    "grid": (*IMAGES, "task.criterion=ece_grid"),
    "double": (*IMAGES, "trainer.precision=64-true"),
    "bfloat16": (*IMAGES, "trainer.precision=bf16-mixed"),
    "overfit": (*IMAGES, "trainer.overfit_batches=2", "data.pad=2"),
    "distillation": (*IMAGES, "loss=distillation"),
    "distillation in float64": (*IMAGES, "loss=distillation", "trainer.precision=64-true"),
    "compiled": (*IMAGES, "compile=true"),
    "vae": MAKES_IMAGES,
    "text": TEXT,
    "tied": (*TEXT, "model.tied=true", "trainer.limit_eval_batches=2"),
}
WORDS = "to be or not to be, that is the question: a=b; "


def state(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def status(value: str) -> Callable[[Path], object]:
    def write(run: Path) -> None:
        (run / "result.json").write_text(json.dumps({"status": value, "error": "x"}))

    return write


def pictures(root: Path, shade: dict[str, int], size: int = 8, test: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", test)):
        for name, level in shade.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(level, 60, (size, size, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


FOLDER = (
    *(*QUIET, "data=image_folder", "data.image_size=8", "data.batch_size=8", "data.pad=0", "data.flip=false"),
    *("model.widths=[8]", "trainer.max_steps=30"),
)
