"""The whole of a run on a device that is not the CPU: nothing is made in the wrong place, and no step waits.

Every loss, model, augmentation and optimizer, and what surrounds a step: gradients, accumulation, clipping, schedule,
average of the weights, scores, validation, test, temperature, shift, samples. Not compilation, autocast, several ranks,
and what a GPU's own kernels do.
"""

import json
import subprocess
import sys

import pytest

from tests.commands import CLASSIFYING
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# what is put into the loss, by its name in whole.py, and what is said of it
PLANTED = {
    "planted=number": "DataDependentOutputException",
    "planted=branch": "DataDependentOutputException",
    "planted=copy": "WaitsError",
    "planted=place": "FakeTensorDeviceMismatchError",
    "planted=index": "DynamicOutputShapeException",
}
TEXT = "data=python_docs data.block_size=16 model=gpt model.n_layer=1"
SMALL = "model=resnet model.depth=8"
LATENT = "model=vae model.widths=[8] model.latents=2 data.binarise=dynamic task.val_samples=3 task.test_samples=3"
TOWERS = "data=digit_captions data.batch_size=16 model=two_towers model.widths=[4] model.n_layer=1"
AUGMENTED = "data.pad=2 data.flip=true data.cutout=4"
WORDS = (
    f"loss=bce {AUGMENTED} optimizer=muon trainer.accumulate_grad_batches=2 trainer.gradient_clip_val=1",
    f"{TEXT} optimizer=adamw_gpt",
    f"loss=distillation {SMALL} data.resident=host",
    f"loss=hinge {AUGMENTED} data.binary=odd_even optimizer=sgd",
    "loss=ce loss.class_weights=balanced data.mixup=cutmix model=vit model.layers=1",
    *(f"loss={name} model.widths=[8]" for name in CLASSIFYING),
    *(f"loss={name} data.binary=odd_even model.widths=[8]" for name in CLASSIFYING),
    *(f"loss={name} {TEXT}" for name in CLASSIFYING if name != "mmce"),
    *(f"loss={name} loss.class_weights=effective_number" for name in ("ce", "smoothed_ce", "bce", "focal")),
    *("model=resnet", "model=resnet9", "model=vit", "model=mlp model.batch_norm=true", "data.mixup=mixup loss=kl"),
    # AdamW that is not fused looks at its count of steps, which is the host's, and has no value here
    *(f"{TEXT} optimizer=muon", f"{SMALL} optimizer=sgd", "optimizer=sgd optimizer.fused=false"),
    "model=vit data.resident=host",
    *(f"loss=iwae {LATENT}", f"loss=elbo {LATENT} loss.free_bits=0.5", f"loss=elbo {LATENT} data.resident=host"),
    *(f"loss={name} {TOWERS}" for name in ("clip", "clip loss.duplicates=masked", "siglip")),
    *("scheduler=wsd", "scheduler=step", "data.label_noise=0.4", "data.imbalance=10", "data.without=[3]"),
)


def faults(*names: str) -> dict[str, str]:
    """What goes wrong in each, found in a process of their own."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.devices.whole", *names]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return faults(*WORDS, *(f"{name} model.widths=[8]" for name in PLANTED))


@pytest.mark.parametrize("words", WORDS)
def test_nothing_waits_and_nothing_is_elsewhere(words: str, found: dict[str, str]) -> None:
    assert found[words] == ""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, found: dict[str, str]) -> None:
    assert PLANTED[name] in found[f"{name} model.widths=[8]"]
