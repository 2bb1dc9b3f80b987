"""Text, one class a character: predict the next one."""

import hashlib
import urllib.request
from dataclasses import replace

import torch
from torch import Tensor

from .. import checks
from ..checks import integer, number
from .base import Data, DataError, Pair, Spec, generator
from .content import digest, opened
from .encoded import Encoded, encoded, no_text, numbered, points_of

SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
MAPPED_FROM = 2**25  # bytes of a file that is not read into memory but through a memory map
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


class TextData(Data):
    """A text cut into training, validation and test parts, in this order; ``read`` gives the whole of it.

    block_size: characters of context. batch_size: windows a training batch, over all devices, drawn with replacement.
    eval_batch_size: windows a batch in validation and test, which cover every character once, in blocks.
    val_fraction, test_fraction: shares of the text. With test_fraction 0 the test split is the validation split.

    The alphabet is that of the whole text. An epoch is as many steps as pass over the training part's length once.
    """

    kind = "text"
    name: str
    device = torch.device("cpu")
    in_memory = True
    lookup: Tensor | None = None  # (K,) what a model calls each of the ids that the parts hold, where that differs

    def __init__(
        self, *, block_size: int, batch_size: int, eval_batch_size: int, val_fraction: float, test_fraction: float
    ) -> None:
        self.block_size = integer("block_size", block_size, low=1)
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.5)
        self.test_fraction = number("test_fraction", test_fraction, low=0, high=0.4)
        self.own_test = self.test_fraction > 0
        if not self.own_test:
            self.notes = ("this data set has no test split of its own: test/ repeats the validation split",)

    def read(self) -> str:
        """The whole text. Raises DataError."""
        raise NotImplementedError

    def content(self) -> Encoded:
        text = self.read()
        if not text:
            raise DataError(f"{self.name}: the text is empty")
        points = points_of(text)
        alphabet, _, ids = numbered(torch.bincount(points))
        return Encoded(ids.index_select(0, points), tuple(alphabet), digest(text.encode()))

    def load(self) -> None:
        ids, alphabet, _ = self.taken()
        if len(alphabet) < 2:
            raise DataError(
                f"{self.name}: a loss needs at least two classes, the text has only the character {alphabet[0]!r}"
            )
        train_end = int(len(ids) * (1 - self.val_fraction - self.test_fraction))  # cut off, as nanoGPT does
        val_end = int(len(ids) * (1 - self.test_fraction))
        self.parts = {"train": ids[:train_end], "val": ids[train_end:val_end], "test": ids[val_end:]}
        if self.test_fraction == 0:
            self.parts["test"] = self.parts["val"]
        for split, part in self.parts.items():
            if len(part) <= self.block_size:
                raise DataError(
                    f"{self.name}: the {split} split has {len(part)} characters, a block needs {self.block_size + 1}:"
                    " take a longer text or a smaller data.block_size"
                )
        windows = len(self.parts["train"]) - self.block_size
        if self.batch_size > windows:
            raise DataError(
                f"data.batch_size must be <= {windows}, the windows of the training text, got {self.batch_size}"
            )
        counts = torch.bincount(self.parts["train"], minlength=len(alphabet))
        self.spec = Spec(self.kind, (self.block_size,), alphabet, tuple(counts.tolist()))

    def check_sizes(self, spec: Spec) -> None:
        if self.block_size > spec.input_shape[0]:
            raise DataError(
                f"data.block_size={self.block_size}: the model reads blocks of {spec.input_shape[0]} characters at most"
            )

    def adopt(self, spec: Spec) -> None:
        self.check_sizes(spec)
        index = {character: i for i, character in enumerate(spec.class_names)}
        used = torch.bincount(self.parts["test"], minlength=self.spec.num_classes).tolist()
        odd = [c for c, n in zip(self.spec.class_names, used, strict=True) if n and c not in index]
        if odd:
            raise DataError(
                f"{self.name}: the test split has {', '.join(map(repr, odd[:5]))}{' ...' * (len(odd) > 5)}, not in the"
                f" model's alphabet of {len(index)} characters"
            )
        self.lookup = torch.tensor([index.get(character, -1) for character in self.spec.class_names])
        self.parts = {"test": self.parts["test"]}
        self.spec = replace(spec, input_shape=(self.block_size,))

    def to(self, device: torch.device) -> None:
        """A text that is mapped stays where it is: its windows go to the device."""
        self.device = device
        if self.in_memory:
            self.parts = {split: part.to(device) for split, part in self.parts.items()}
        if self.lookup is not None:
            self.lookup = self.lookup.to(device)

    def batches_per_epoch(self) -> int:
        return max(1, len(self.parts["train"]) // (self.batch_size * self.block_size))

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        part = self.parts["train"]
        step, own = self.part(number, rank, world)
        starts = torch.randint(
            len(part) - self.block_size, (self.step_size, 1), generator=generator("windows", seed, step)
        )
        return self._windows(part, starts[own], self.block_size)

    def eval_batches(self, split: str) -> int:
        windows, rest = divmod(len(self.parts[split]) - 1, self.block_size)
        return -(-windows // self.eval_batch_size) + (rest > 0)

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        """Blocks one after the other; the characters left over make a last batch of one short block.

        With ``limit``, so many batches of blocks that lie evenly in the split.
        """
        part = self.parts[split]
        windows = (len(part) - 1) // self.block_size
        first = index * self.eval_batch_size
        taken = windows if limit is None else min(windows, limit * self.eval_batch_size)
        if first >= windows:
            start = torch.tensor([[windows * self.block_size]])
            return self._windows(part, start, len(part) - 1 - windows * self.block_size)
        numbers = torch.arange(first, min(first + self.eval_batch_size, taken)) * windows // taken
        return self._windows(part, numbers[:, None] * self.block_size, self.block_size)

    def _windows(self, part: Tensor, starts: Tensor, length: int) -> Pair:
        """(B, 1) starts -> inputs (B, length) and, one character on, targets (B, length)."""
        windows = part[(starts + torch.arange(length + 1)).to(part.device)].to(self.device).long()
        if self.lookup is not None:
            windows = self.lookup[windows]
        return windows[:, :-1], windows[:, 1:]


class PythonDocs(TextData):
    """The reference text that comes with the standard library (``pydoc_data.topics``). It differs between Pythons."""

    name = "python_docs"

    def read(self) -> str:
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise DataError("python_docs: this Python comes without pydoc_data; use data=tiny_shakespeare") from error
        return "\n".join(text for _, text in sorted(topics.items()))


class TinyShakespeare(TextData):
    """1,115,394 characters of Shakespeare; by custom the first 90 % train and the rest validate.

    Source: Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural Networks.
    """

    name = "tiny_shakespeare"

    def __init__(self, *, root: str, **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.root = checks.path("root", root)

    def read(self) -> str:
        path = self.root / "tiny_shakespeare" / "input.txt"
        if path.exists():
            raw = path.read_bytes()
        else:
            try:
                with urllib.request.urlopen(SHAKESPEARE_URL, timeout=30) as answer:
                    raw = answer.read()
            except OSError as error:
                raise DataError(
                    f"tiny_shakespeare is not at {path} and could not be downloaded ({error}). Put it there, name"
                    " another folder with data.root=FOLDER, or use data=python_docs, which needs no download"
                ) from error
        if hashlib.sha256(raw).hexdigest() != SHAKESPEARE_SHA256:
            raise DataError(f"{path} is not the usual file (its SHA-256 differs); delete it, or use data=text_file")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(raw)
            partial.replace(path)
        return raw.decode()


class TextFile(TextData):
    """Any UTF-8 file. One of ``MAPPED_FROM`` bytes or more is encoded once and read through a memory map."""

    name = "text_file"

    def __init__(self, *, path: str, **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.path = checks.path("path", path)
        self.in_memory = not self.path.is_file() or self.path.stat().st_size < MAPPED_FROM

    def content(self) -> Encoded:
        if not self.path.exists():
            raise DataError(f"no file {self.path}: name a text with data.path=FILE")
        return super().content() if self.in_memory else encoded(self.path)

    def read(self) -> str:
        try:
            with opened(self.path) as file:
                return file.read().decode("utf-8-sig")
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise no_text(self.path, error) from error
