"""The family of denoising: what the network of a diffusion model predicts, and what a loss of that must answer.

An image x0 is mixed with noise: x = alpha x0 + sigma noise, with alpha^2 + sigma^2 = 1. snr = alpha^2 / sigma^2 says at
which level, an example each.
"""

from torch import Tensor

from ..checks import choice, number
from .base import Loss, upcast

PREDICTIONS = ("noise", "x0", "v")
WEIGHTS = ("simple", "min_snr", "vlb")


def levels(snr: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """(N,), (N, ...) -> (N, 1, ...) each: alpha and sigma, with as many dimensions as the images have."""
    snr = snr.to(images.dtype).view(-1, *[1] * (images.ndim - 1))
    return (snr / (1 + snr)).sqrt(), (1 + snr).rsqrt()


class DenoisingLoss(Loss):
    """Loss of what a network says of noisy images: ``forward(prediction, x0, noise, snr, bound) -> (N,)``.

    The first three have the shape of the images, (N, ...), the others are (N,). ``predict`` is the link, what the
    network gives: noise; x0, the image without noise; or v = alpha noise - sigma x0 (Salimans & Ho 2022,
    arXiv:2202.00512, appendix D). An example's number is the mean over pixels of ``of_error``, times its weight.

    ``weight`` says how much each level counts. An error e of the image at this level is an error sqrt(snr) e of the
    noise, and sqrt(snr + 1) e of v.
    simple: 1, whatever is predicted. So what is predicted decides how levels count.
    min_snr: of the squared error of the image min(snr, gamma), so 1 / snr times that of the noise and 1 / (snr + 1)
    times that of v (Hang et al. 2023, arXiv:2303.09556, section 3.4).
    vlb: of the squared error of the image ``bound``, what it costs in the variational bound, in nats a pixel.
    """

    reads = "denoised images"
    imitates = True

    def __init__(self, *, predict: str, weight: str, gamma: float) -> None:
        super().__init__()
        self.predict = choice("predict", predict, PREDICTIONS)
        self.weight = choice("weight", weight, WEIGHTS)
        self.gamma = number("gamma", gamma, above=0)

    def of_error(self, error: Tensor) -> Tensor:
        """(N, ...) -> the same: the loss of each pixel's error, target - prediction."""
        raise NotImplementedError

    def target(self, x0: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
        """(N, ...), (N, ...), (N,) -> (N, ...): what the network should have given."""
        if self.predict == "v":
            alpha, sigma = levels(snr, x0)
            return alpha * noise - sigma * x0
        return noise if self.predict == "noise" else x0

    def denoised(self, prediction: Tensor, x: Tensor, snr: Tensor) -> Tensor:
        """(N, ...), (N, ...), (N,) -> (N, ...): the image x0 in the noisy x, as the prediction has it; not clipped."""
        prediction = upcast(prediction)
        alpha, sigma = levels(snr, prediction)
        x = x.to(prediction.dtype)
        if self.predict == "v":
            return alpha * x - sigma * prediction
        return (x - sigma * prediction) / alpha if self.predict == "noise" else prediction

    def weights(self, snr: Tensor, bound: Tensor) -> Tensor:
        """(N,), (N,) -> (N,): how much the error of what is predicted counts."""
        if self.weight == "simple":
            return snr.new_ones(snr.shape)
        of_image = bound if self.weight == "vlb" else snr.clamp(max=self.gamma)
        if self.predict == "x0":
            return of_image
        return of_image / (snr if self.predict == "noise" else snr + 1)

    def forward(self, prediction: Tensor, x0: Tensor, noise: Tensor, snr: Tensor, bound: Tensor) -> Tensor:
        """(N, ...), (N, ...), (N, ...), (N,), (N,) -> (N,): one number per example."""
        prediction = upcast(prediction)
        x0, noise, snr, bound = (given.to(prediction.dtype) for given in (x0, noise, snr, bound))
        error = self.target(x0, noise, snr) - prediction
        return self.weights(snr, bound) * self.of_error(error).flatten(1).mean(1)
