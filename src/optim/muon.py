"""Muon for a network's hidden matrices and AdamW for its other parameters, as one optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from ..checks import choice, integer, number

Group = dict[str, Any]


class Muon(Optimizer):
    """A hidden matrix W (A x B) of gradient G: M <- momentum M + (1 - momentum) G; W <- W - lr (s O + weight_decay W).

    O is the update's nearest orthogonal matrix, about: ``ns_steps`` Newton-Schulz iterations in bfloat16 of M, looked
    ahead by Nesterov's rule. s is 0.2 sqrt(max(A, B)) for ``adjust_lr_fn`` match_rms_adamw, so that lr and weight decay
    are those of AdamW, or sqrt(max(1, A / B)) for original, where lr is near 0.02. The rest (input layer, embedding,
    head, convolutions, vectors) is AdamW's, at ``adamw_lr``, or at lr where that is None.

    ``params``: groups with their weight_decay, as in torch; ``hidden``: those of them that are hidden matrices. Both
    parts are torch's own. A matrix that holds query, key and value is one matrix. Raises ValueError where ``hidden`` is
    empty.
    Sources: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982, section 2.2 (s).
    """

    def __init__(
        self,
        params: Sequence[Group],
        *,
        hidden: Sequence[Tensor],
        lr: float,
        adamw_lr: float | None,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        ns_steps: int,
        adjust_lr_fn: str,
        betas: Sequence[float],
        eps: float,
        fused: bool,
    ) -> None:
        if not hidden:
            raise ValueError(
                "Muon is for the matrices between a network's first and last layer, and this one has none:"
                " take optimizer=adamw or optimizer=sgd"
            )
        lr = number("lr", lr, low=0)
        decay: Group = {"weight_decay": number("weight_decay", weight_decay, low=0)}
        own: Group = {"momentum": number("momentum", momentum, low=0, below=1), "nesterov": nesterov}
        own |= {"ns_steps": integer("ns_steps", ns_steps, low=1, high=99)}
        own |= {"adjust_lr_fn": choice("adjust_lr_fn", adjust_lr_fn, ("match_rms_adamw", "original"))}
        adamw: Group = {"lr": lr if adamw_lr is None else number("adamw_lr", adamw_lr, low=0)}
        adamw |= {"betas": pair("betas", betas), "eps": number("eps", eps, low=0), "fused": fused}
        ids = {id(matrix) for matrix in hidden}
        self.muon = torch.optim.Muon(chosen(params, lambda p: id(p) in ids), lr=lr, **decay, **own)
        self.adamw = AdamW(chosen(params, lambda p: id(p) not in ids), **adamw, **decay)
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {"lr": lr})
        self._share()

    def _share(self) -> None:
        """One state and one list of groups: what a schedule, a checkpoint or a device does to this is done to both."""
        count = len(self.muon.param_groups)
        self.muon.state = self.adamw.state = self.state
        self.muon.param_groups, self.adamw.param_groups = self.param_groups[:count], self.param_groups[count:]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()  # type: ignore[no-untyped-call]
        self.adamw.step()
        return loss


def chosen(groups: Sequence[Group], wanted: Callable[[Tensor], bool]) -> list[Group]:
    """The groups with those of their parameters alone that are wanted, without the empty ones."""
    cut = [{**group, "params": [p for p in group["params"] if wanted(p)]} for group in groups]
    return [group for group in cut if group["params"]]


def pair(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Two numbers in [0, 1), or ValueError."""
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 2:
        raise ValueError(f"{name} must be two numbers, got {values!r}")
    first, second = (number(name, value, low=0, below=1) for value in values)
    return first, second
