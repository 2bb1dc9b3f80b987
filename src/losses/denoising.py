"""The error of a denoising network, pixel by pixel."""

from torch import Tensor
from torch.nn import functional as F

from ..checks import choice, number
from .diffusion import DenoisingLoss

DISTANCES = ("mse", "mae", "huber")


class DenoisingErrorLoss(DenoisingLoss):
    """Denoising error: w(snr) * mean over pixels of d(e), with e = target - prediction.

    mse: d(e) = e^2. mae: |e|. huber: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2). The target is the noise,
    the image or v = alpha noise - sigma x0, by ``predict``; w is 1 (simple), or makes the error of the image count
    min(snr, gamma) (min_snr) or what it costs in the variational bound (vlb). mse with predict=noise and weight=simple
    is L_simple of Ho et al.; mse with weight=vlb has the bound itself as its mean over time steps, in nats a pixel and
    up to a constant, whatever is predicted. If the network predicts 0, mse is w for the noise and w times the mean
    square of the image for x0.
    Use it to train a diffusion model, which makes images out of noise. Limits: values of other distances, predictions
    or weights do not compare; mae and huber have the median of the noise as their minimiser and not its mean, which the
    bound and sampling want; with predict=noise and weight=vlb most of the loss is that of the last time steps.
    Source: Ho et al. 2020, arXiv:2006.11239, eq. 14; Hang et al. 2023, arXiv:2303.09556, section 3.4; Kingma et al.
    2021, arXiv:2107.00630, eq. 14 (vlb).
    """

    def __init__(self, *, distance: str, predict: str, weight: str, gamma: float, delta: float) -> None:
        super().__init__(predict=predict, weight=weight, gamma=gamma)
        self.distance = choice("distance", distance, DISTANCES)
        self.delta = number("delta", delta, above=0)

    def of_error(self, error: Tensor) -> Tensor:
        if self.distance == "huber":
            return F.huber_loss(error, error.new_zeros(()).expand_as(error), reduction="none", delta=self.delta)
        return error.square() if self.distance == "mse" else error.abs()
