"""A small GPT: decoder-only transformer with learned positions."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer, number
from .base import Network, linear_weights
from .transformer import Block, check_tied, checked_sizes, initialise


class GPT(Network):
    """(B, T) token ids -> (B, T, outputs) logits of the next token, T <= ``positions``.

    positions: learned positions; None for the data's block size. tied: the head is the embedding transposed.
    Weights from N(0, 0.02), those that end a residual branch from N(0, 0.02 / sqrt(2 n_layer)), biases 0.
    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3; as in nanoGPT.
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
        n_embd: int,
        dropout: float,
        bias: bool,
        tied: bool,
        positions: int | None,
    ) -> None:
        super().__init__()
        (block_size,) = input_shape
        layers, heads, width = checked_sizes(n_layer, n_head, n_embd)
        self.positions = block_size if positions is None else integer("positions", positions, low=1)
        if block_size > self.positions:
            raise ValueError(f"positions must be an integer >= {block_size} (data.block_size), got {self.positions}")
        check_tied(tied, outputs, num_classes)
        self.dropout = number("dropout", dropout, low=0, high=0.99)
        self.tokens = nn.Embedding(num_classes, width)
        self.places = nn.Embedding(self.positions, width)
        self.blocks = nn.ModuleList(Block(width, heads, self.dropout, bias, causal=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = nn.Linear(width, outputs, bias=False)
        initialise(self, layers)
        if tied:
            self.head.weight = self.tokens.weight

    def hidden_matrices(self) -> list[Tensor]:
        return linear_weights(self.blocks)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]  # (B, T, D) + (T, D)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)  # (B, T, D)
        return self.head(self.norm(x))  # (B, T, outputs)
