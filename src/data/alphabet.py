"""A text's characters as the numbers that a model reads."""

import torch
from torch import Tensor

from .base import Spec


def default_prompt(spec: Spec) -> str:
    """A line break; in a text without any, its commonest character."""
    return "\n" if "\n" in spec.class_names else max(zip(spec.class_counts, spec.class_names, strict=True))[1]


def encode(text: str, spec: Spec) -> Tensor:
    """Text -> (1, T) ids. Raises ValueError naming a character that the alphabet lacks."""
    index = {character: i for i, character in enumerate(spec.class_names)}
    for character in text:
        if character not in index:
            raise ValueError(f"the character {character!r} is not in the text's alphabet of {len(index)}")
    return torch.tensor([[index[character] for character in text]])
