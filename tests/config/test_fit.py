"""What does not fit together is refused, with the way out, before torch is imported."""

import pytest

from src.config.entry import resolve
from src.config.errors import UserError
from src.config.fit import check_fit, options
from tests.commands import composed

VAE = "model=vae data.binarise=dynamic"


def check(words: str) -> None:
    command = composed(*words.split())
    check_fit(resolve(command.cfg), command.choices)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model=vae", "loss=ce reads logits, model=vae gives latents: take model=mlp, or loss=elbo"),
        ("loss=iwae", "loss=iwae reads latents, model=mlp gives logits or features: take model=vae, or loss=ce"),
        (
            "loss=elbo data=python_docs model=gpt",
            "loss=elbo reads latents, model=gpt gives logits: take loss=ce",  # no network has latents of text
        ),
        (
            "loss=denoising",
            "loss=denoising reads denoised images, model=mlp gives logits or features: take model=unet, or loss=ce",
        ),
        ("model=unet", "loss=ce reads logits, model=unet gives denoised images: take model=mlp, or loss=denoising"),
        (
            "loss=denoising model=unet data=python_docs",
            "model=unet reads image, data=python_docs gives text: take model=gpt",
        ),
        (
            "loss=elbo model=vae",
            "loss=elbo with reconstruction=bernoulli is a likelihood of pixels that are 0 or 1, data=mnist_5k gives"
            " grey ones: take data.binarise=dynamic, or loss.reconstruction=gaussian",
        ),
        (
            f"loss=iwae {VAE} loss.reconstruction=gaussian",
            "loss=iwae with reconstruction=gaussian is a density of grey pixels, data.binarise=dynamic makes them 0 or"
            " 1: take data.binarise=null, or loss.reconstruction=bernoulli",
        ),
        (
            f"loss=elbo {VAE} loss.free_bits=0.5 trainer.accumulate_grad_batches=2",
            "loss=elbo with loss.free_bits above 0 is a statistic of the whole batch,"
            " trainer.accumulate_grad_batches=2 cuts it: take trainer.accumulate_grad_batches=1",
        ),
        (
            "loss=nt_xent trainer.accumulate_grad_batches=2",
            "loss=nt_xent is a statistic of the whole batch, trainer.accumulate_grad_batches=2 cuts it: take"
            " trainer.accumulate_grad_batches=1",
        ),
        (
            "loss=nt_xent data=python_docs model=gpt",
            "loss=nt_xent reads features, model=gpt gives logits: take loss=ce",
        ),
        (
            "loss=supcon data=diabetes",
            "loss=supcon learns from classes, data=diabetes gives numbers: take loss=mse",
        ),
        (
            "loss=nt_xent data.batch_size=1",
            "loss=nt_xent is a statistic of the whole batch, and one example has no others: take data.batch_size=2, or"
            " more",
        ),
    ],
)
def test_what_does_not_fit(words: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        check(words)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "words", ["loss=gan model=dcgan", "loss=elbo model=vae data.binarise=dynamic", "loss=denoising model=unet"]
)
def test_mixed_images_do_not_fit_losses_that_learn_what_images_look_like(words: str) -> None:
    with pytest.raises(
        UserError, match=r"learns what images look like, data.mixup=mixup mixes them: take data.mixup=n"
    ):
        check(f"{words} data.mixup=mixup")


def test_a_turn_has_an_example_at_least() -> None:
    check("loss=gan model=dcgan data.batch_size=5 task.discriminator_turns=5")
    with pytest.raises(UserError, match=r"task.discriminator_turns=6 turns share the data.batch_size=5 examples of a"):
        check("loss=gan model=dcgan data.batch_size=5 task.discriminator_turns=6")


def test_mixed_images_do_not_fit_losses_of_pairs() -> None:
    with pytest.raises(UserError, match=r"loss=nt_xent learns from classes, data.mixup=mixup gives distributions"):
        check("loss=nt_xent data.mixup=mixup")


@pytest.mark.parametrize(
    "words",
    [
        *("loss=ce", f"loss=elbo {VAE}", f"loss=iwae {VAE}"),
        "loss=elbo model=vae_iwae loss.reconstruction=gaussian data=cifar10",
        f"loss=elbo {VAE} trainer.accumulate_grad_batches=2",
        f"loss=elbo {VAE} loss.free_bits=0.5",
        "loss=nt_xent trainer=ddp trainer.devices=2",
        "loss=denoising model=unet trainer=ddp trainer.devices=2",
    ],
)
def test_what_fits(words: str) -> None:
    check(words)


def test_options_by_what_their_classes_say() -> None:
    """Of the files that name a class: presets build on another file."""
    assert options("model", gives="latents") == ["model=vae"]
    assert {"loss=elbo", "loss=iwae"} == {*options("loss", reads="latents")}
    assert "loss=ce" in options("loss", soft_targets=True) and "loss=hinge" not in options("loss", soft_targets=True)
