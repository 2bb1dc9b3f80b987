"""What a finished run makes: the text of a language run, or images."""

from pathlib import Path

import torch

from ..config.errors import UserError
from ..data.alphabet import default_prompt, encode
from ..data.base import generator
from ..figures.grids import grid
from ..plain import Plain
from ..runs.build import construct
from ..runs.rebuild import Rebuilt, check_classifies
from ..runs.teacher import KINDS
from ..system.files import write_bytes
from ..tasks.generating import GeneratingTask
from ..tasks.generation import generate
from .done import Done


def images(run: Rebuilt, cfg: Plain, asked: Plain, device: str, name: str) -> Done:
    """A grid of images, made by the weights that were tested; of the run's own seed, it begins with those of the run's
    figures/samples.png."""
    task: GeneratingTask = construct(cfg, "task", spec=run.spec, model=run.model, loss=run.loss, **dict.fromkeys(KINDS))
    task.to("cuda" if device == "gpu" else "cpu")
    settings = {"seed": cfg["seed"], "temperature": 1.0} | asked
    made = task.generate(asked["sample"], settings["seed"], temperature=settings["temperature"])

    def write(path: Path) -> None:
        write_bytes(path, grid(made.numpy()))

    says = f"{len(made):,} images, of latents of seed {settings['seed']} at temperature {settings['temperature']:g}"
    return Done(settings, {f"{name}.png": write}, [says])


def text(run: Rebuilt, cfg: Plain, asked: Plain, device: str) -> list[str]:
    """Text of the run's model, each piece from the prompt on. Raises UserError."""
    check_classifies(run, "sample")
    settings = cfg["samples"] | {"seed": cfg["seed"], "count": 1} | asked
    try:
        prompt = encode(settings["prompt"] or default_prompt(run.spec), run.spec)
    except ValueError as error:
        raise UserError(f"prompt: {error}") from None
    place = torch.device("cuda" if device == "gpu" else "cpu")
    ids = generate(
        run.model.to(place),
        run.loss.to(place),
        prompt.to(place).expand(settings["count"], -1),
        length=settings["sample"],
        context=run.spec.input_shape[0],
        temperature=settings["temperature"],
        top_k=settings["top_k"],
        g=generator("evaluation", settings["seed"]),
    )
    return ["".join(run.spec.class_names[i] for i in row) for row in ids.tolist()]
