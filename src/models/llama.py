"""A LLaMA-style language model, each part of which can be exchanged for GPT-2's."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import choice, integer, number
from .base import Network, linear_weights
from .transformer import PreNorm, attend, check_tied, checked_sizes, initialise

EPS = 1e-5  # of the norms
MULTIPLE = 8  # the width of the gated MLP is rounded up to it


class Llama(Network):
    """(B, T) token ids -> (B, T, outputs) logits of the next token, T <= block size; no biases anywhere.

    norm: rms (RMSNorm), or layer (LayerNorm).
    position: rotary (queries and keys are turned by their place), or learned (added to the embedding).
    mlp: swiglu (gated, 8/3 as wide), or gelu (4 times as wide): about as many weights each.
    n_kv_head: keys and values that query heads share in groups; null: one for each query head.
    With layer, learned and gelu it is GPT without biases. Weights from N(0, 0.02), those that end a residual branch
    from N(0, 0.02 / sqrt(2 n_layer)).
    Sources: Touvron et al. 2023, arXiv:2302.13971, section 2.2; Zhang & Sennrich 2019, arXiv:1910.07467 (RMSNorm);
    Su et al. 2021, arXiv:2104.09864 (rotary); Shazeer 2020, arXiv:2002.05202 (SwiGLU); Ainslie et al. 2023,
    arXiv:2305.13245 (grouped keys and values).
    """

    inputs = "text"

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        num_classes: int,
        outputs: int,
        n_layer: int,
        n_head: int,
        n_kv_head: int | None,
        n_embd: int,
        dropout: float,
        norm: str,
        position: str,
        rotary_base: float,
        mlp: str,
        tied: bool,
    ) -> None:
        super().__init__()
        (block_size,) = input_shape
        layers, heads, width = checked_sizes(n_layer, n_head, n_embd)
        kv_heads = heads if n_kv_head is None else integer("n_kv_head", n_kv_head, low=1)
        if heads % kv_heads:
            raise ValueError(f"n_kv_head must be a divisor of n_head={heads}, got {kv_heads}")
        choice("norm", norm, ("rms", "layer"))
        choice("mlp", mlp, ("swiglu", "gelu"))
        base = number("rotary_base", rotary_base, low=1)
        if choice("position", position, ("rotary", "learned")) == "rotary" and (width // heads) % 2:
            raise ValueError(f"n_embd must be a multiple of 2 n_head={2 * heads} with position=rotary, got {width}")
        check_tied(tied, outputs, num_classes)
        self.dropout = number("dropout", dropout, low=0, high=0.99)
        self.tokens = nn.Embedding(num_classes, width)
        self.places = nn.Embedding(block_size, width) if position == "learned" else None
        turns = rotations(block_size, width // heads, base) if position == "rotary" else None
        self.blocks = nn.ModuleList(
            LlamaBlock(width, heads, kv_heads, self.dropout, norm, mlp, turns) for _ in range(layers)
        )
        self.norm = norm_of(norm, width)
        self.head = nn.Linear(width, outputs, bias=False)
        initialise(self, layers)
        if tied:
            self.head.weight = self.tokens.weight

    def hidden_matrices(self) -> list[Tensor]:
        return linear_weights(self.blocks)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)  # (B, T, D)
        if self.places is not None:
            x = x + self.places.weight[: ids.shape[1]]  # (B, T, D) + (T, D)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)  # (B, T, D)
        return self.head(self.norm(x))  # (B, T, outputs)


class LlamaBlock(PreNorm):
    """Attention and an MLP without biases, each behind a norm."""

    def __init__(
        self, width: int, heads: int, kv_heads: int, dropout: float, norm: str, mlp: str, turns: Tensor | None
    ) -> None:
        super().__init__()
        self.norm1 = norm_of(norm, width)
        self.attention = GroupedAttention(width, heads, kv_heads, dropout, turns)
        self.norm2 = norm_of(norm, width)
        hidden = MULTIPLE * math.ceil(8 * width / 3 / MULTIPLE) if mlp == "swiglu" else 4 * width
        self.gate = nn.Linear(width, hidden, bias=False) if mlp == "swiglu" else None
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = dropout

    def mlp(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.up(x)) if self.gate is None else F.silu(self.gate(x)) * self.up(x)  # (B, T, hidden)
        return F.dropout(self.down(hidden), self.dropout, self.training)  # (B, T, D)


class GroupedAttention(nn.Module):
    """Causal self-attention, (B, T, D) -> (B, T, D); H query heads share G heads of keys and values.

    turns: (2, block size, D/H/2), the cosines and sines by which queries and keys are turned; None: not turned.
    """

    def __init__(self, width: int, heads: int, kv_heads: int, dropout: float, turns: Tensor | None) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout = heads, kv_heads, dropout
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * (width // heads), bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("turns", turns, persistent=False)
        self.turns: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        heads, groups = self.heads, self.kv_heads
        q, k, v = (
            self.qkv(x).view(b, t, heads + 2 * groups, d // heads).transpose(1, 2).split((heads, groups, groups), dim=1)
        )  # (B, H, T, D/H), and two of (B, G, T, D/H)
        if self.turns is not None:
            q, k = turned(q, self.turns[:, :t]), turned(k, self.turns[:, :t])  # as they were
        k, v = (part.repeat_interleave(heads // groups, dim=1) for part in (k, v))  # (B, H, T, D/H): each to its group
        y = attend(q, k, v, self.dropout if self.training else 0.0, causal=True)  # (B, H, T, D/H)
        y = self.out(y.transpose(1, 2).reshape(b, t, d))  # (B, T, D)
        return F.dropout(y, self.dropout, self.training)


def norm_of(name: str, width: int) -> nn.Module:
    """A norm over the last dimension, with a scale and no shift."""
    return nn.RMSNorm(width, eps=EPS) if name == "rms" else nn.LayerNorm(width, eps=EPS, bias=False)


def rotations(length: int, size: int, base: float) -> Tensor:
    """(2, length, size / 2) float32: cosine and sine of t * base^(-2i / size), for place t and pair i of a head."""
    speed = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)  # (size / 2,) radians a place
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed  # (T, size / 2)
    return torch.stack([angle.cos(), angle.sin()]).float()  # (2, T, size / 2)


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """Turn pair (i, i + D/2) of (B, H, T, D) by its angle at each place; in float32 at least.

    The product of a query and a key then depends on how far apart they are, not on where. Pairs are halves of a head,
    as in Hugging Face's weights; Meta's are neighbours, the same model with rows in another order.
    """
    a, b = (half if half.dtype == torch.float64 else half.float() for half in x.chunk(2, dim=-1))  # (B, H, T, D/2)
    cos, sin = turns.to(a.dtype)  # (T, D/2) each
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)  # (B, H, T, D)
