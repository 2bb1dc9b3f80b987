"""Retrieval: images and captions in one space, judged by which caption an image finds, and which image a caption."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import Batch, EvalLoader
from ..figures.retrieval import pictures
from ..losses.towers import HIGHEST_SCALE, TowerLoss
from ..metrics.calibration import bin_table, ece
from ..metrics.families import RETRIEVAL
from ..metrics.retrieval import best_places, places, same_words, spelled
from ..metrics.sums import Measure, Sums
from ..plain import Plain
from ..ranks.gather import gathered, own_rows
from .base import Task
from .calibration import bins, interval
from .stepping import Named, Seen

AT = (1, 5)  # of recall


class RetrievalTask(Task):
    """Trains an image tower and a text tower by a loss over pairs; the name of an image's class is its caption.

    In validation and test an image finds its caption among those of all classes. recall_at_k is the share of images
    whose caption is among the first k; unseen_recall_at_1 that of images whose caption no training image has,
    seen_recall_at_1 that of the others. nll, confidence and ece are of the softmax over all captions of e^s a.b, s as
    it was learnt. word_accuracy is the share of the words of the first caption that are right, place by place. In the
    test, text_recall_at_k is the share of captions one of whose images is among the first k of all test images. Ties
    count against the right answer. loss is over the pairs of a batch, and so depends on its size.
    """

    model: Any  # two towers
    seen: Tensor  # (K,) bool: captions of training images
    words: Tensor  # (K, W) of captions, as numbers
    family = RETRIEVAL
    minimises = TowerLoss
    gathers = True
    columns = (
        *("recall_at_1", "recall_at_5", "seen", "unseen", "seen_at_1", "unseen_at_1"),
        *("word_accuracy", "nll", "confidence"),
    )

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.register_buffer("seen", torch.tensor(self.spec.class_counts) > 0, persistent=False)
        self.register_buffer("words", spelled(self.spec.class_names), persistent=False)
        self.texts: Tensor | None = None  # (K, D) of all captions, as the latest test had them

    def stepped(self) -> None:
        self.model.scalars["log_scale"].clamp_(max=math.log(HIGHEST_SCALE))

    def measure(self, *, whole: bool) -> Measure:
        """In training no image is compared with all captions."""
        return Sums(("loss", *(self.columns if whole else ())), self.derived)

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        return super().derived(means) | self._scalars()

    def _scalars(self) -> dict[str, float]:
        """The numbers that were learnt for the loss: "scale", e^s, and what else there is."""
        found = {name: value.item() for name, value in self.model.scalars.items()}
        return {"scale": math.exp(found.pop("log_scale"))} | found

    def judge(self, given: Named) -> Seen:
        return self._compared(given, self.model(given["inputs"]))

    def _compared(self, given: Named, images: Tensor) -> Seen:
        """The loss of pairs with these embeddings of their images; in training, with those of all ranks."""
        captions = given["targets"]  # none, where a rank only computes along with the others
        images, texts = images[: len(captions)], self.model.texts(captions)
        if self.training:
            pairs, rows = (gathered(images), gathered(texts), gathered(captions)), own_rows()
        else:
            pairs, rows = (images, texts, captions), slice(None)
        return {"loss": self.loss(*pairs, rows=rows, **self.model.scalars)}, {"targets": captions}

    def examine(self, given: Named) -> Seen:
        """The answer has the embeddings of all captions too, "texts" (K, D): not a row an example."""
        images, texts = self.model(given["inputs"]), self.model.all_texts()
        terms, answer = self._compared(given, images)
        images = images[: len(answer["targets"])]
        logits = self.loss.similarities(images, texts, self.model.scalars["log_scale"])  # (N, K)
        return terms, answer | {"embedding": images, "logits": logits, "texts": texts}

    def examples(self, answer: Named) -> Named:
        """The columns, the caption that was found first (guess) and the image's embedding."""
        targets = answer["targets"]
        if "logits" not in answer:  # in training
            return {"targets": targets}
        logits = answer["logits"].double()
        log_p, guess, place = logits.log_softmax(-1), logits.argmax(-1), places(logits, targets)
        first, fifth = ((place < k).double() for k in AT)
        seen = self.seen[targets].double()
        same, present = same_words(self.words[targets], self.words[guess])
        return {
            "targets": targets,
            "guess": guess,
            "recall_at_1": first,
            "recall_at_5": fifth,
            "seen": seen,
            "unseen": 1 - seen,
            "seen_at_1": first * seen,
            "unseen_at_1": first * (1 - seen),
            "word_accuracy": same.sum(-1).double() / present.sum(-1),
            "nll": -log_p.gather(-1, targets[:, None])[:, 0],
            "confidence": log_p.amax(-1).exp(),
            "embedding": answer["embedding"].float(),
        }

    def test_step(self, batch: Batch, batch_idx: int) -> Named:
        answer = super().test_step(batch, batch_idx)
        self.texts = answer["texts"].detach().float()
        return answer

    def _texts_of_test(self) -> Tensor:
        assert self.texts is not None
        return self.texts.cpu()

    def conclude(self, examples: Named) -> Plain:
        """Which images a caption finds, how well confidence is calibrated, and the accuracy at each place of words."""
        targets, right = examples["targets"], examples["recall_at_1"]
        texts = self._texts_of_test()
        present: Tensor = torch.unique(targets)
        found = best_places(texts[present] @ examples["embedding"].T, present[:, None] == targets)
        words = self.words.cpu()
        same, there = same_words(words[targets], words[examples["guess"]])
        return {
            "metrics": {f"text_recall_at_{k}": (found < k).double().mean().item() for k in AT}
            | {"ece": ece(bin_table(examples["confidence"], right)).item()},
            "intervals": {"ece": interval(examples["confidence"], right, 1)},
            "bins": {"test": bins(examples["confidence"], right)},
            "places": (same.sum(0).double() / there.sum(0)).tolist(),
            "floors": {"chance": self._chance(words, len(present))},
        }

    def _chance(self, words: Tensor, present: int) -> Plain:
        """What captions that are drawn at random reach."""
        classes = len(words)
        same, there = same_words(words[:, None], words)
        rates = {f"recall_at_{k}": min(1.0, k / classes) for k in AT}
        return rates | {
            "unseen_recall_at_1": 1 / classes,
            "seen_recall_at_1": 1 / classes,
            "text_recall_at_1": 1 / present,
            "word_accuracy": (same.sum(-1) / there.sum(-1)).mean().item(),
            "nll": math.log(classes),
        }

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        texts = self._texts_of_test()
        return pictures(title, result, examples, loader, self.spec, texts, self._scalars()["scale"])
