"""Does confidence tell right answers from wrong ones?"""

import torch
from torch import Tensor

from .calibration import tie_means


def auroc(confidence: Tensor, right: Tensor) -> float | None:
    """Area under the ROC curve of confidence for right (N,) bool against wrong: P(c_right > c_wrong) + P(=) / 2.

    By ranks (Mann & Whitney 1947). None where all are right, or all wrong.
    """
    from scipy.stats import rankdata  # here, as in calibration.py

    hits = int(right.sum())
    misses = len(right) - hits
    if hits == 0 or misses == 0:
        return None
    ranks = rankdata(confidence.numpy())
    return float((ranks[right.numpy()].sum() - hits * (hits + 1) / 2) / (hits * misses))


def aurc(confidence: Tensor, right: Tensor) -> float:
    """Area under the risk-coverage curve: the mean over i = 1..N of the error among the i most confident.

    Ties are averaged over their order. Source: Geifman et al. 2019, arXiv:1805.08206.
    """
    conf, order = confidence.sort(descending=True)
    errors = (1 - tie_means(conf, right[order])).cumsum(0)
    return (errors / torch.arange(1, len(errors) + 1)).mean().item()
