"""What every network says of itself."""

from typing import ClassVar

from torch import Tensor, nn


class Network(nn.Module):
    """A network: ``forward(inputs) -> logits``. The builder passes the data's sizes by name.

    A constructor may take ``input_shape``, ``num_classes`` (of the data) and ``outputs`` (logits that the loss wants).
    """

    inputs: ClassVar[str]  # image, text, table; several: "image or table"

    def hidden_matrices(self) -> list[Tensor]:
        """The weights that ``optimizer=muon`` orthogonalises: matrices that map hidden units to hidden units.

        Not those of the input layer, of an embedding or of the head. None unless a network says which.
        """
        return []


def linear_weights(module: nn.Module) -> list[Tensor]:
    """The weights of all linear layers in a module."""
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
