"""A generator and a discriminator of convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import integer
from .base import GenerativeNetwork


class DCGAN(GenerativeNetwork):
    """Images of H x W pixels, multiples of 4: from latents, (B, latents) -> (B, C, H, W), and to scores, (B,).

    The generator: linear to 2 ``width`` channels of H/4 x W/4, then two transposed convolutions of stride 2, to
    ``width`` channels and to the image, BatchNorm and ReLU before each, tanh at the end. The discriminator: two
    convolutions of stride 2, to ``width`` and 2 ``width`` channels, each followed by LeakyReLU of slope 0.2, then
    linear. It has no BatchNorm, which would let it compare the images of a batch. All kernels are 4 x 4, weights start
    from N(0, 0.02^2), biases at 0.
    Source: Radford et al. 2016, arXiv:1511.06434, section 3 and 4, with half of its layers for small images.
    """

    inputs = "image"

    def __init__(self, *, input_shape: Sequence[int], latents: int, width: int) -> None:
        super().__init__()
        self.latents, width = integer("latents", latents, low=1), integer("width", width, low=1)
        channels, height, rest = input_shape[0], input_shape[1], input_shape[2]
        if height % 4 or rest % 4:
            raise ValueError(f"images must have multiples of 4 pixels a side, got {height} x {rest}")
        small = (2 * width, height // 4, rest // 4)
        size = small[0] * small[1] * small[2]
        self.generator = nn.Sequential(
            *(nn.Linear(latents, size, bias=False), nn.Unflatten(1, small), nn.BatchNorm2d(2 * width), nn.ReLU()),
            *(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh()),
        )
        self.discriminator = nn.Sequential(
            *(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Flatten(), nn.Linear(size, 1), nn.Flatten(0)),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def generate(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def discriminate(self, images: Tensor) -> Tensor:
        return self.discriminator(images)
