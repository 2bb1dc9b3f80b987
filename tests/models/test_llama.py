"""The LLaMA-style model: its parts against definitions written anew, and its limit cases."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.models.gpt import GPT
from src.models.llama import Llama, LlamaBlock, rotations, turned
from tests.models.causal import assert_it_does_not_look_ahead

SMALL: dict[str, Any] = {
    **{"input_shape": (12,), "num_classes": 5, "outputs": 5, "n_layer": 2, "n_head": 4, "n_kv_head": None},
    **{"n_embd": 32, "dropout": 0.0, "norm": "rms", "position": "rotary", "rotary_base": 1e4, "mlp": "swiglu"},
    "tied": True,
}
GPT_PARTS = {"norm": "layer", "position": "learned", "mlp": "gelu"}


def small(**changes: Any) -> Llama:
    torch.manual_seed(0)
    model = Llama(**SMALL | changes)
    for parameter in model.parameters():  # larger than at the start: so that every part matters
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def ids(n: int = 3, length: int = 12) -> Tensor:
    return torch.randint(5, (n, length), generator=torch.Generator().manual_seed(1))


def by_complex_numbers(x: Tensor, base: float) -> Tensor:
    """Su et al. 2021, section 3.2.2: the pair (i, i + D/2) is a complex number, times e^(i t base^(-2i/D))."""
    values = x.double().numpy()
    half = values.shape[-1] // 2
    z = values[..., :half] + 1j * values[..., half:]
    t, i = np.arange(x.shape[-2])[:, None], np.arange(half)
    z = z * np.exp(1j * t * base ** (-i / half))
    return torch.from_numpy(np.concatenate([z.real, z.imag], -1))


@pytest.mark.parametrize("base", [10.0, 1e4, 5e5])
def test_turning_is_a_product_of_complex_numbers(base: float) -> None:
    x = torch.randn(2, 3, 50, 16)
    torch.testing.assert_close(
        turned(x, rotations(50, 16, base)).double(), by_complex_numbers(x, base), rtol=0, atol=1e-5
    )


def test_turning_is_that_of_neighbours_in_another_order() -> None:
    """Meta's pairing: (2i, 2i + 1) of a head."""
    x = torch.randn(1, 1, 9, 8)
    order = torch.arange(8).view(4, 2).T.flatten()  # 0 2 4 6 1 3 5 7
    t, i = torch.arange(9)[:, None].double(), torch.arange(4)
    z = torch.view_as_complex(x[0, 0].double().view(9, 4, 2)) * torch.polar(
        torch.ones(9, 4).double(), t * 1e4 ** (-i / 4)
    )
    expected = torch.view_as_real(z).flatten(1)
    torch.testing.assert_close(
        turned(x[..., order], rotations(9, 8, 1e4))[0, 0].double(), expected[:, order], rtol=0, atol=1e-5
    )


def test_a_product_of_turned_vectors_depends_on_their_distance_alone() -> None:
    turns = rotations(40, 16, 1e4)
    q, k = (torch.randn(16).expand(1, 1, 40, 16) for _ in range(2))
    products = (turned(q, turns)[0, 0] @ turned(k, turns)[0, 0].T).double()
    for distance in range(-39, 40):
        along = products.diagonal(distance)
        assert (along - along[0]).abs().max() < 1e-4
    assert products[0].std() > 0.1, "and it does depend on that"


def test_turning_keeps_bfloat16_and_works_in_float32() -> None:
    x = torch.randn(1, 2, 200, 8).bfloat16()
    turns = rotations(200, 8, 1e4)
    got = turned(x, turns)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, turned(x.float(), turns).bfloat16(), rtol=0, atol=0)


def block_by_hand(block: LlamaBlock, x: np.ndarray, heads: int, groups: int, norm: str, rotary: bool) -> np.ndarray:
    """(T, D) -> (T, D), one position and one head at a time, in NumPy."""
    weights = {name: value.double().numpy() for name, value in block.state_dict().items()}
    length, width = x.shape
    size = width // heads

    def normed(v: np.ndarray, name: str) -> np.ndarray:
        v = v - v.mean() if norm == "layer" else v
        return v / math.sqrt((v**2).mean() + 1e-5) * weights[f"{name}.weight"]

    def placed(v: np.ndarray, t: int) -> np.ndarray:
        if not rotary:
            return v
        z = (v[: size // 2] + 1j * v[size // 2 :]) * np.exp(1j * t * 1e4 ** (-2 * np.arange(size // 2) / size))
        return np.concatenate([z.real, z.imag])

    rows = np.stack([weights["attention.qkv.weight"] @ normed(row, "norm1") for row in x]).reshape(length, -1, size)
    out = np.zeros_like(x)
    for t in range(length):
        mixed = []
        for h in range(heads):
            own = h * groups // heads  # heads in a row share keys and values
            keys, values = rows[:, heads + own], rows[:, heads + groups + own]
            scores = np.array([placed(rows[t, h], t) @ placed(keys[s], s) / math.sqrt(size) for s in range(t + 1)])
            share = np.exp(scores - scores.max())
            mixed.append((share / share.sum()) @ values[: t + 1])
        middle = x[t] + weights["attention.out.weight"] @ np.concatenate(mixed)
        y = normed(middle, "norm2")
        up = weights["up.weight"] @ y
        if "gate.weight" in weights:
            gate = weights["gate.weight"] @ y
            hidden = gate / (1 + np.exp(-gate)) * up
        else:
            hidden = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in up])
        out[t] = middle + weights["down.weight"] @ hidden
    return out


@pytest.mark.parametrize(
    "changes", [{}, {"n_kv_head": 2}, {"n_kv_head": 1}, {"norm": "layer"}, {"position": "learned"}, {"mlp": "gelu"}]
)
def test_block_against_numpy(changes: dict[str, Any]) -> None:
    keys = SMALL | changes
    model = small(**changes).double()
    x = torch.randn(2, 12, 32, dtype=torch.float64)
    rotary = keys["position"] == "rotary"
    expected = [
        block_by_hand(model.blocks[0], row.numpy(), 4, keys["n_kv_head"] or 4, keys["norm"], rotary)  # type: ignore[arg-type]
        for row in x
    ]
    atol = 1e-5 if rotary else 1e-10  # the cosines are float32
    np.testing.assert_allclose(model.blocks[0](x).detach().numpy(), np.stack(expected), rtol=1e-6, atol=atol)


def test_with_gpts_parts_it_is_gpt() -> None:
    model = small(**GPT_PARTS)
    gpt = GPT(
        **{key: SMALL[key] for key in ("input_shape", "num_classes", "outputs", "n_layer", "n_head", "n_embd")},
        dropout=0.0,
        bias=False,
        tied=True,
        positions=None,
    )
    gpt.load_state_dict(model.state_dict())  # the same names, too
    assert torch.equal(model(ids()), gpt.eval()(ids()))


def test_a_group_for_each_head_is_attention_of_many_heads() -> None:
    whole, grouped = small(), small(n_kv_head=4)
    assert torch.equal(whole(ids()), grouped(ids()))


def test_grouped_keys_are_copies_of_the_groups() -> None:
    """Two groups: the model with four heads of keys and values whose weights are those of its group."""
    grouped, whole = small(n_kv_head=2), small()
    state = grouped.state_dict()
    for name in [name for name in state if name.endswith("qkv.weight")]:
        q, k, v = state[name].view(8, 8, 32).split((4, 2, 2))
        state[name] = torch.cat([q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0)]).flatten(0, 1)
    whole.load_state_dict(state)
    torch.testing.assert_close(whole(ids()), grouped(ids()))


@pytest.mark.parametrize("changes", [{}, {"position": "learned"}, {"n_kv_head": 1}])
def test_no_logits_depend_on_later_tokens(changes: dict[str, Any]) -> None:
    assert_it_does_not_look_ahead(small(**changes), ids())


def test_shorter_sequences_are_the_beginning_of_longer_ones() -> None:
    model, x = small(), ids()
    with torch.no_grad():
        whole = model(x)
        for t in range(1, 13):
            torch.testing.assert_close(model(x[:, :t]), whole[:, :t], rtol=1e-4, atol=1e-5)


def test_it_knows_the_order_of_tokens() -> None:
    """Without places, attention of a last token to the same set of tokens would be the same."""
    model = small()
    x = ids()
    swapped = x[:, [1, 0, *range(2, 12)]]
    differs = x[:, 0] != x[:, 1]
    assert differs.any()
    assert ((model(x)[:, -1] - model(swapped)[:, -1]).abs().amax(-1) > 1e-3)[differs].all()


def test_the_norms_of_mixed_precision_work_in_float32() -> None:
    model, seen = small(), []
    for module in model.modules():
        if isinstance(module, nn.RMSNorm):
            module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        model(ids())
    assert seen == 5 * [(torch.float32, torch.float32)]


def test_sizes() -> None:
    """At nanoGPT's shape for a CPU both have about 0.8 million weights: the comparison is at equal size."""
    shape = {"input_shape": (64,), "num_classes": 65, "outputs": 65, "n_layer": 4, "n_embd": 128}
    llama = sum(p.numel() for p in small(**shape).parameters())
    gpt = sum(p.numel() for p in small(**shape, **GPT_PARTS).parameters())
    assert llama == 65 * 128 + 4 * (4 * 128**2 + 3 * 128 * 344 + 2 * 128) + 128
    assert gpt == 65 * 128 + 64 * 128 + 4 * (12 * 128**2 + 2 * 128) + 128
    assert 0.99 < llama / gpt < 1.01


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = Llama(**SMALL | {"n_layer": 3, "n_embd": 128, "num_classes": 65, "outputs": 65})
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            std = 0.02 / math.sqrt(6) if name.endswith(("out.weight", "down.weight")) else 0.02
            assert abs(float(weight.detach().std()) / std - 1) < 5 / math.sqrt(2 * weight.numel()), name
        else:
            assert (weight == 1).all(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_kv_head": 3}, "n_kv_head must be a divisor of n_head=4, got 3"),
        ({"n_kv_head": 0}, "n_kv_head must be an integer >= 1, got 0"),
        ({"n_embd": 30}, "n_embd must be a multiple of n_head=4, got 30"),
        ({"n_embd": 36}, "n_embd must be a multiple of 2 n_head=8 with position=rotary, got 36"),
        ({"norm": "batch"}, "norm must be one of rms, layer, got 'batch'"),
        ({"position": "alibi"}, "position must be one of rotary, learned, got 'alibi'"),
        ({"mlp": "relu"}, "mlp must be one of swiglu, gelu, got 'relu'"),
        ({"rotary_base": 0}, "rotary_base must be a number >= 1, got 0"),
        ({"dropout": 1}, "dropout must be a number >= 0 and <= 0.99, got 1"),
        ({"outputs": 6}, "tied must be false where the loss wants 6 outputs for 5 tokens, got True"),
    ],
)
def test_bad_argument(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Llama(**SMALL | changes)
