"""The symmetric cross-entropy of CLIP."""

import math

from torch import Tensor

from .towers import EVERY, TowerLoss


class ContrastiveLanguageImageLoss(TowerLoss):
    """CLIP: -1/2 log p(caption i | image i) - 1/2 log p(image i | caption i), p the softmax of e^s a_i.b_j.

    It is cross-entropy, twice: which caption of the batch belongs to this image, and which image to this caption. a and
    b are the embeddings of images and captions, of length 1, and s is learnt: it starts at ln(1/0.07) and stays below
    ln 100. For N pairs with equal embeddings it is ln N, and it nears 0 if pairs are found without doubt. Another pair
    of the batch with the same caption is a wrong answer (negatives: then 0 cannot be reached), one of several right
    answers with equal shares (soft), or left out (masked). A text tower without dropout gives equal captions equal
    embeddings, and then the mean over the batch is the same for soft as for negatives.
    Use it to embed two kinds of things in one space, and to classify by names that training never saw. Limits: its
    value depends on the size of the batch, and a small batch asks easy questions; equal captions are common if there
    are few.
    Source: Radford et al. 2021, arXiv:2103.00020, figure 3.
    """

    scale = 1 / 0.07

    def __init__(self, *, duplicates: str, fixed_scale: float | None) -> None:
        super().__init__(duplicates=duplicates, fixed_scale=fixed_scale)

    def forward(
        self, images: Tensor, texts: Tensor, captions: Tensor, *, log_scale: Tensor, rows: slice = EVERY
    ) -> Tensor:
        own, others = self.pairs(captions, rows)
        of_images = self._entropy(self.similarities(images[rows], texts, log_scale), own, others)
        of_texts = self._entropy(self.similarities(texts[rows], images, log_scale), own, others)
        return (of_images + of_texts) / 2

    def _entropy(self, z: Tensor, own: Tensor, others: Tensor) -> Tensor:
        """(n, N) logits -> (n,): cross-entropy with the right answers."""
        if self.duplicates == "masked":
            z = z.masked_fill(others, -math.inf)
        right = (own | others) if self.duplicates == "soft" else own
        log_p = z.log_softmax(-1)
        return -log_p.masked_fill(~right, 0.0).sum(-1) / right.sum(-1)
