"""Text that a language run writes while it learns."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ..data.alphabet import default_prompt, encode
from ..data.base import Spec, generator
from ..system.files import write_text
from ..tasks.generation import generate
from .events import EventFiles


class TextSamples(Callback):
    """Writes samples to TensorBoard at each validation; ``write`` puts those of the final weights into samples.txt.

    The draws depend on (seed, step) alone and leave the global random state untouched.
    """

    def __init__(self, folder: Path, spec: Spec, seed: int, settings: dict[str, Any]) -> None:
        self.path, self.spec, self.seed, self.settings = folder / "samples.txt", spec, seed, settings
        self.prompt = encode(settings["prompt"] or default_prompt(spec), spec)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, EventFiles):
                text = "\n\n---\n\n".join(f"```\n{sample}\n```" for sample in self.draw(pl_module, trainer.global_step))
                logger.text("samples", text, trainer.global_step)

    def write(self, task: Any, step: int) -> None:
        write_text(self.path, "\n\n--------\n\n".join(self.draw(task, step)) + "\n")

    def draw(self, task: Any, step: int) -> list[str]:
        settings = self.settings
        ids = generate(
            task.model,
            task.loss,
            self.prompt.to(task.device).expand(settings["count"], -1),
            length=settings["length"],
            context=self.spec.input_shape[0],
            temperature=settings["temperature"],
            top_k=settings["top_k"],
            g=generator("samples", self.seed, step),
        )
        return ["".join(self.spec.class_names[i] for i in row) for row in ids.tolist()]
