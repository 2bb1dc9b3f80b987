"""A run's folder: its name, its state, and what is in it."""

import contextlib
import fnmatch
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..config.errors import UserError
from ..metrics.columns import Family, family_of
from ..names import called
from ..plain import Plain
from ..system.files import DamagedError, read_yaml, synced, write_json, write_yaml
from . import debugging
from .lock import LOCK, held, is_file_of
from .sums import check_config, check_files, read_sealed, with_sums

# Keys of config.yaml without which a run cannot be tested again.
TESTED_WITH = (
    *("data", "model", "loss", "trainer", "teacher", "seed", "compile", "task", "samples", "facts"),
    "identity_facts",
)
# All that a run, and evaluate.py on it, writes: folder -> names or patterns of its files. WandB's folder is its own.
WRITTEN = {
    "": (
        *("config.yaml", "result.json", "metrics.csv", "timing.csv", "train.log", "weights.safetensors"),
        *("predictions.npz", "samples.txt", "events.out.tfevents.*"),
    ),
    "checkpoints": ("last.ckpt", "best.ckpt"),
    "evaluations": ("*.json", "*.csv", "*.png"),
    "export": ("model.onnx", "model.onnx.json", "model.pt2", "model.pt2.json"),
    "figures": (
        *("confusion.png", "reliability.png", "confidence.png", "mistakes.png", "nll_by_position.png"),
        *("reconstructions.png", "samples.png", "latents.png", "traversal.png", "map.png"),
        *("predicted_against_true.png", "error_by_target.png", "ranks.png", "interval_coverage.png"),
        *("cosines.png", "singular_values.png", "neighbours.png", "features.png", "similarity.png", "captions.png"),
        *("lines.png", "edits_by_kind.png", "errors_by_length.png", "times.png", "chain.png"),
        "events.out.tfevents.*",
    ),
    "samples": ("step*.png",),
    "profile": ("hooks.txt", "operators.txt", "trace.json.gz"),
}
WANDB = "wandb"
ANEW = "train anew with overwrite=true"

BUSY = "another process is training this very run"


def home_of(cfg: Plain, choices: Plain) -> Path:
    """The folder that the command names, else of all runs of an ablation, else of an experiment, else of a data set and
    a model; runs for debugging have one of their own."""
    name = cfg["name"] or choices["ablation"] or choices["experiment"] or f"{choices['data']}-{choices['model']}"
    runs = Path(cfg["runs"]).expanduser()
    return runs / debugging.FOLDER / name if debugging.debugging(cfg, choices) else runs / name


class RunFolder:
    """``<home>/<label, else slug>-<id8>/seed<k>``; the home is ``home_of`` its command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.result = path / "result.json"
        self.metrics = path / "metrics.csv"
        self.timing = path / "timing.csv"
        self.log = path / "train.log"
        self.weights = path / "weights.safetensors"
        self.figures = path / "figures"
        self.samples = path / "samples"
        self.profile = path / "profile"
        self.predictions = path / "predictions.npz"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"
        self._lock: int | None = None
        self._config: Plain | None = None  # as this process wrote it

    def read_result(self) -> Plain:
        """What result.json says; {} where there is none. Raises UserError if it is damaged."""
        try:
            return read_sealed(self.result)
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            raise UserError(f"{error}; {ANEW}") from None

    def measured(self, result: Plain) -> Family:
        """What the run measures whose result.json says ``result``. Raises UserError if it does not say."""
        try:
            return family_of(result.get("family"))
        except ValueError as error:
            why = f"{self.result} does not say what is measured ({error})"
            raise UserError(f"{why}: damaged, or written by another version of xent") from None

    def write_result(self, result: Plain) -> None:
        """Write result.json, with the checksums of itself and of the files that it describes."""
        paths = self._tested() if result["status"] == "finished" else []
        write_json(self.result, with_sums(result, self._config, paths))

    def _tested(self) -> list[Path]:
        """The files that are complete once a run is finished."""
        return [self.weights, self.predictions, self.metrics, self.timing]

    def check(self, result: Plain, *paths: Path) -> None:
        """Raise UserError where a file is not what ``result``, of this folder's result.json, says that it was.

        Without ``paths``, all that are there: what was deleted to save room is no damage.
        """
        try:
            check_files(result, paths or [path for path in self._tested() if path.exists()])
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is missing; {ANEW}") from None
        except DamagedError as error:
            raise UserError(f"{error}; put it back, or {ANEW}") from None

    def check_config(self, result: Plain, config: Plain) -> None:
        """Raise UserError where config.yaml holds another configuration than it did; paths and the like may differ."""
        try:
            check_config(result, self.config, config)
        except DamagedError as error:
            raise UserError(f"{error}; put it back, or {ANEW}") from None

    def read_config(self) -> Plain:
        """What config.yaml holds. Raises UserError where this is no run's folder."""
        try:
            config = read_yaml(self.config)
            if not isinstance(config, dict) or "choices" not in config:
                raise DamagedError(self.config, "it holds no configuration of a run")
        except FileNotFoundError:
            seeds = sorted(path.name for path in self.path.glob("seed*"))
            hint = f" Did you mean {self.path / seeds[0]}?" if seeds else ""
            raise UserError(f"{self.path} is no run's folder: it has no config.yaml.{hint}") from None
        except DamagedError as error:
            raise UserError(f"{self.path} is no run's folder: {error}") from None
        return config

    def read_finished(self) -> tuple[Plain, Plain]:
        """Configuration and result of a finished run. Raises UserError."""
        config, result = self.read_config(), self.read_result()
        status = result.get("status", "not started")
        if status != "finished":
            retry = " retry_failed=true" if status == "failed" else ""
            raise UserError(f"{self.path} is {status}: finish it first, {called('train')} resume={self.path}{retry}")
        lacking = [key for key in TESTED_WITH if key not in config]
        if lacking:
            raise UserError(f"{self.config} has no {lacking[0]}: damaged, or written by another version of xent")
        self.measured(result)
        return config, result

    def write_config(self, config: Plain) -> None:
        write_yaml(self.config, config)
        self._config = config

    def clear(self) -> None:
        """Delete all that a run wrote; the lock stays, and no link is followed.

        What says that the run is finished, or where to resume it, goes first: after a kill in between it is one that is
        to be trained. Raises UserError, with nothing deleted, where there is anything else.
        """
        folders, files = self._contents()
        first = [path for path in (self.result, self.last) if path in files]
        last = [path for path in (self.config,) if path in files]
        try:
            for path in [*first, *sorted({*files} - {*first, *last}), *last]:
                path.unlink()
                if path in first:
                    synced(path.parent)
            for folder in folders:
                if folder.name == WANDB:
                    shutil.rmtree(folder)
                else:
                    folder.rmdir()
        except OSError as error:
            raise UserError(f"{error.filename or self.path} cannot be deleted: {error.strerror}") from None

    def _contents(self) -> tuple[list[Path], list[Path]]:
        """Folders and files that a run wrote. Raises UserError where there is anything else."""
        folders, files = [], []
        for below, names in WRITTEN.items():
            place = self.path / below
            if below and place not in folders:
                continue
            with os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = place / entry.name
                    plain = entry.name.removeprefix(".").removesuffix(".partial")  # of a write that was killed
                    name = plain if entry.name == f".{plain}.partial" else entry.name
                    if entry.is_dir(follow_symlinks=False) and not below and name in (*WRITTEN, WANDB):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False) and any(fnmatch.fnmatchcase(name, p) for p in names):
                        files.append(path)
                    elif below or entry.name != LOCK:
                        raise UserError(
                            f"{path} is nothing that a run writes: nothing in {self.path} is deleted; move it away"
                        )
        return folders, files

    def check_links(self) -> None:
        """Raise UserError where something in the folder is a link: a run that is resumed would write elsewhere."""
        for place in (self.path, *(self.path / below for below in WRITTEN if below)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise UserError(
                            f"{place / entry.name} is a link, and a run writes through none: put a copy there"
                        )

    def check_place(self) -> None:
        """Raise UserError if the folder could not be made, or a file of it not be written on."""
        try:
            existing = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        except OSError as error:
            raise UserError(f"runs: {self.path} cannot be made: {error.strerror}") from None
        if not existing.is_dir():
            raise UserError(f"runs: {self.path} cannot be made, {existing} is a file")
        if not os.access(existing, os.W_OK | os.X_OK):
            made = "is" if existing == self.path else f"cannot be made, {existing} is"
            raise UserError(f"runs: {self.path} {made} not writable")
        if os.path.lexists(self.log) and not stat.S_ISREG(self.log.lstat().st_mode):  # a pipe would be waited for
            raise UserError(f"runs: {self.log} is nothing that a run writes: move it away")
        for path in (self.path / LOCK, self.metrics, self.timing, self.log, self.checkpoints):
            if path.exists() and not os.access(path, os.W_OK):
                raise UserError(f"runs: {path} is not writable")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold it alone. Raises UserError if another process does."""
        with held(self.path, f"{self.path}: {BUSY}") as self._lock:
            try:
                yield
            finally:
                self._lock = None

    def check_held(self) -> None:
        """Raise OSError where the folder that this process holds was deleted meanwhile, or another is in its place."""
        if self._lock is not None and not is_file_of(self._lock, self.path / LOCK):
            raise FileNotFoundError(f"the run's folder {self.path} was deleted while it was trained")
