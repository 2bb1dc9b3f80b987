"""Text from a language model."""

import torch
from torch import Tensor, nn

from ..losses.base import LogitLoss, upcast


@torch.no_grad()
def generate(
    model: nn.Module,
    loss: LogitLoss,
    prompt: Tensor,
    *,
    length: int,
    context: int,
    temperature: float,
    top_k: int | None,
    g: torch.Generator,
) -> Tensor:
    """(B, T) ids -> (B, T + length): each next id drawn from P^(1/temperature), of the ``top_k`` most probable alone.

    The model sees the last ``context`` ids. The draws come from ``g``, a CPU generator; the global one is untouched.
    Where the loss gives no probabilities, the softmax of its scores stands in.
    """
    training = model.training
    model.eval()
    ids = prompt
    for _ in range(length):
        scores = model(ids[:, -context:])[:, -1]
        log_p = loss.log_probs(scores)
        log_p = upcast(scores if log_p is None else log_p) / temperature
        if top_k is not None and top_k < log_p.shape[-1]:
            log_p = log_p.masked_fill(log_p < log_p.topk(top_k).values[:, -1:], -torch.inf)
        drawn = torch.multinomial(log_p.softmax(-1).cpu(), 1, generator=g)
        ids = torch.cat([ids, drawn.to(ids.device)], 1)
    model.train(training)
    return ids
