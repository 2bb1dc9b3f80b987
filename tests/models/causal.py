"""What holds for every language model."""

import torch
from torch import Tensor, nn


def assert_it_does_not_look_ahead(model: nn.Module, ids: Tensor) -> None:
    """The logits at a place depend on its token and on those before, and on nothing later. ids: (B, T), below 5."""
    length = ids.shape[1]
    with torch.no_grad():
        before = model(ids)
        for t in range(length):
            changed = ids.clone()
            changed[:, t] = (ids[:, t] + 1) % 5
            after = model(changed)
            torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
            assert all((after[:, later] != before[:, later]).any() for later in range(t, length)), "it looks back"
