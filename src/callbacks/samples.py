"""What a network makes while it learns: the text of a language run, the images of one that makes images."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ..data.alphabet import default_prompt, encode
from ..data.base import Spec, generator
from ..folder.folder import RunFolder
from ..ranks import ranks
from ..system.files import write_bytes, write_text
from ..tasks.generation import generate
from .events import EventFiles


class Samples(Callback):
    """Shows what a network makes at each validation, by the weights that are validated: the average, if there is one.

    ``write`` keeps what is made of the weights that are tested. The draws leave the global random state untouched.
    Rank 0 alone shows and writes.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """By now the average is in its place, and it is taken away before ``on_validation_end``."""
        if ranks.rank() == 0:
            boards = [logger for logger in trainer.loggers if isinstance(logger, EventFiles)]
            self.show(pl_module, trainer.global_step, boards)

    def show(self, task: Any, step: int, boards: list[EventFiles]) -> None:
        raise NotImplementedError

    def write(self, task: Any, step: int) -> None:
        raise NotImplementedError


class TextSamples(Samples):
    """Text in TensorBoard, and at the end in samples.txt. The draws depend on (seed, step) alone."""

    def __init__(self, folder: Path, spec: Spec, seed: int, settings: dict[str, Any]) -> None:
        self.path, self.spec, self.seed, self.settings = folder / "samples.txt", spec, seed, settings
        self.prompt = encode(settings["prompt"] or default_prompt(spec), spec)

    def show(self, task: Any, step: int, boards: list[EventFiles]) -> None:
        for board in boards:
            text = "\n\n---\n\n".join(f"```\n{sample}\n```" for sample in self.draw(task, step))
            board.text("samples", text, step)

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


class ImageSamples(Samples):
    """A grid of images in TensorBoard and in the folder samples/, at the end in figures/samples.png.

    The latents depend on the seed alone, so that one image is seen as it changes.
    """

    def __init__(self, folder: RunFolder, seed: int) -> None:
        self.folder, self.seed = folder, seed

    def show(self, task: Any, step: int, boards: list[EventFiles]) -> None:
        picture = task.grid(self.seed)
        self._write(self.folder.samples / f"step{step:07d}.png", picture)
        for board in boards:
            board.image("samples", picture, step)

    def write(self, task: Any, step: int) -> None:
        self._write(self.folder.figures / "samples.png", task.grid(self.seed))

    def _write(self, path: Path, picture: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, picture)
