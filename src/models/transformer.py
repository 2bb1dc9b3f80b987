"""What transformers share: the block of text and images; the checks and the initial weights of language models."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer
from .base import RepeatedBlock


class Attention(nn.Module):
    """Self-attention, (B, T, D) -> (B, T, D); where ``causal``, of each position to itself and those before."""

    def __init__(self, width: int, heads: int, dropout: float, bias: bool, causal: bool) -> None:
        super().__init__()
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)  # 3 of (B, H, T, D/H)
        dropout = self.dropout if self.training else 0.0
        y = attend(q, k, v, dropout, self.causal)  # (B, H, T, D/H)
        y = self.out(y.transpose(1, 2).reshape(b, t, d))  # (B, T, D)
        return F.dropout(y, self.dropout, self.training)


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float, causal: bool) -> Tensor:
    """(B, H, T, D/H) each -> the same, in the inputs' precision; on a CPU in float32 at least.

    There the backward pass is several times slower in bfloat16 (torch 2.13).
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
    with torch.autocast("cpu", enabled=False):
        y = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), dropout_p=dropout, is_causal=causal)
    return y.to(q.dtype)


class PreNorm(RepeatedBlock):
    """Pre-norm block of a transformer: x + attention(norm1(x)), then x + mlp(norm2(x)); (B, T, D) -> (B, T, D).

    FSDP shards a network block by block. A sub-class has ``norm1``, ``attention`` and ``norm2``.
    """

    norm1: nn.Module
    attention: nn.Module
    norm2: nn.Module

    def mlp(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D), each position by itself."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))  # (B, T, D)
        return x + self.mlp(self.norm2(x))  # (B, T, D)


class Block(PreNorm):
    """The block of GPT-2 and ViT: layer norm, an MLP four times as wide, GELU."""

    def __init__(self, width: int, heads: int, dropout: float, bias: bool, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, bias=bias)
        self.attention = Attention(width, heads, dropout, bias, causal)
        self.norm2 = nn.LayerNorm(width, bias=bias)
        self.up = nn.Linear(width, 4 * width, bias)
        self.down = nn.Linear(4 * width, width, bias)
        self.dropout = dropout

    def mlp(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.up(x))  # (B, T, 4 D)
        return F.dropout(self.down(hidden), self.dropout, self.training)  # (B, T, D)


def checked_sizes(n_layer: int, n_head: int, n_embd: int) -> tuple[int, int, int]:
    """The three, if they are positive integers and the width is a multiple of the heads; ValueError otherwise."""
    layers, heads, width = (
        integer(name, value, low=1, high=10_000 if name == "n_layer" else None)
        for name, value in (("n_layer", n_layer), ("n_head", n_head), ("n_embd", n_embd))
    )
    if width % heads:
        raise ValueError(f"n_embd must be a multiple of n_head={heads}, got {width}")
    return layers, heads, width


def check_tied(tied: bool, outputs: int, num_classes: int) -> None:
    """Raise ValueError if a head that is the embedding transposed would not give as many outputs as the loss wants."""
    if tied and outputs != num_classes:
        raise ValueError(
            f"tied must be false where the loss wants {outputs} outputs for {num_classes} tokens, got True"
        )


def initialise(network: nn.Module, layers: int) -> None:
    """Weights from N(0, 0.02), those that end a residual branch from N(0, 0.02 / sqrt(2 layers)); biases 0."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            ends_branch = name.endswith((".out", ".down"))
            nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * layers) if ends_branch else 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def glorot(network: nn.Module) -> None:
    """Weights of linear layers by Glorot's uniform rule, query, key and value each on its own; their biases 0.

    Source: Glorot & Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks, eq. 16.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            for part in module.weight.chunk(3 if name.endswith(".qkv") else 1):
                nn.init.xavier_uniform_(part)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
