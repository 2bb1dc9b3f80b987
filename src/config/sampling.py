"""How much a finished run is to make, and how: ``sample=500`` characters of text, or ``sample=64`` images."""

from ..checks import integer, number
from ..plain import Plain
from .errors import UserError
from .signature import constant

OF_TEXT = ("prompt", "top_k", "count")
SAMPLING = ("sample", "temperature", "seed", *OF_TEXT)
MOST = 10_000  # images of one picture
HOTTEST = 100  # times the deviation of the latents in training, so that nothing overflows


def sampling(data: tuple[str, ...], typed: Plain) -> Plain:
    """The settings of a command that asks for text or images. Raises UserError and ValueError."""
    if "sample" not in typed:
        key = next(key for key in typed if key in SAMPLING)
        raise UserError(
            f"{key}= is about samples: say how much to make, sample=500 characters of text or sample=64 images;"
            " or leave it out"
        )
    odd = [*data, *(key for key in typed if key not in SAMPLING)]
    if odd:
        raise UserError(f"sample= makes text or images and does nothing else: leave out {odd[0]}")
    integer("sample", typed["sample"], low=1)
    if typed.get("prompt") == "":
        raise UserError("prompt must be at least one character, got ''")
    if "temperature" in typed:
        number("temperature", typed["temperature"], low=1e-6)  # what is as good as 0: top_k=1
    if typed.get("top_k") is not None:
        integer("top_k", typed["top_k"], low=1)
    integer("count", typed.get("count", 1), low=1)
    integer("seed", typed.get("seed", 0), low=0)
    return typed


def check_sampling(asked: Plain, cfg: Plain) -> None:
    """Raise UserError if a stored run makes nothing, or not what is asked of it."""
    if cfg["facts"]["kind"] == "text":
        return
    tempered, loss = constant(cfg["task"]["_target_"], "tempered"), cfg["choices"]["loss"]
    if tempered is None:  # its task is no GeneratingTask
        raise UserError(f"sample= is for runs that make text or images, and a run with loss={loss} makes neither")
    odd = next((key for key in OF_TEXT if key in asked), None)
    if odd:
        raise UserError(f"{odd}= is about text, and this run makes images: leave it out")
    if not tempered and "temperature" in asked:
        raise UserError(f"temperature= has no meaning for the images of loss={loss}: leave it out")
    if asked.get("temperature", 0) > HOTTEST:
        raise UserError(f"temperature={asked['temperature']:g} is more than latents can take: {HOTTEST} at most")
    if asked["sample"] > MOST:
        raise UserError(f"sample={asked['sample']} is too many images for one picture: take {MOST} at most")
