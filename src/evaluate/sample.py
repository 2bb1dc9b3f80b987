"""Text of a finished language run."""

import torch

from ..config.errors import UserError
from ..data.alphabet import default_prompt, encode
from ..data.base import generator
from ..plain import Plain
from ..runs.rebuild import Rebuilt, check_classifies
from ..tasks.generation import generate


def sample(run: Rebuilt, cfg: Plain, asked: Plain, device: str) -> list[str]:
    """Text of the run's model, each piece from the prompt on. Raises UserError."""
    check_classifies(run, "sample")
    settings = cfg["samples"] | {"seed": cfg["seed"]} | asked
    try:
        prompt = encode(settings["prompt"] or default_prompt(run.spec), run.spec)
    except ValueError as error:
        raise UserError(f"prompt: {error}") from None
    place = torch.device("cuda" if device == "gpu" else "cpu")
    ids = generate(
        run.model.to(place),
        run.loss.to(place),
        prompt.to(place).expand(settings["count"], -1),
        length=settings["length"],
        context=run.spec.input_shape[0],
        temperature=settings["temperature"],
        top_k=settings["top_k"],
        g=generator("evaluation", settings["seed"]),
    )
    return ["".join(run.spec.class_names[i] for i in row) for row in ids.tolist()]
