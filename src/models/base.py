"""What every network says of itself."""

from typing import ClassVar, Literal

from torch import nn


class Network(nn.Module):
    """A network: ``forward(inputs) -> logits``. The builder passes the data's sizes by name.

    A constructor may take ``input_shape``, ``num_classes`` (of the data) and ``outputs`` (logits that the loss wants).
    """

    inputs: ClassVar[Literal["image", "text"]]
