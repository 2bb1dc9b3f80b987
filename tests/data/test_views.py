"""Views of images: parts of them, the same ones for the same draws, and what is done to colours."""

import colorsys
import math

import pytest
import torch
from torch import Tensor

from src.data.base import Chance, Spec
from src.data.views import Views, cropped, recoloured, turned

GREYS = Spec("image", (1, 28, 28), ("a",), (1,), (0.3,), (0.4,))
COLOURS = Spec("image", (3, 32, 32), ("a",), (1,), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
ALL = Views(crop=None, flip=True, jitter=0.5, grey=0.2)


def ramp(size: int = 28) -> Tensor:
    """(1, 2, size, size): the place of each pixel's centre, across and down, from 0 to 1."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return torch.stack(torch.meshgrid(place, place, indexing="xy"))[None]


def test_a_view_is_a_part_of_its_image() -> None:
    """On an image whose pixels say where they are: area, sides and place of the part, which is never outside."""
    draws = torch.rand(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for smallest in (0.2, 0.6):
        x = cropped(ramp().expand(500, -1, -1, -1), smallest, False, draws)
        step = x[:, :, 14, 14] - x[:, :, 13, 13]  # of both coordinates, one pixel on: 1/28 of a side of the part
        width, height = step[:, 0] * 28, step[:, 1] * 28
        area = width * height
        torch.testing.assert_close(area, smallest + (1 - smallest) * draws[:, 0])
        assert (width / height).log().abs().max() <= math.log(4 / 3) + 1e-9 and max(
            width.max(), height.max()
        ) <= 1 + 1e-9
        centre = (x[:, :, 14, 14] + x[:, :, 13, 13]) / 2
        for side, middle in ((width, centre[:, 0]), (height, centre[:, 1])):
            assert (middle - side / 2).min() >= -1e-9 and (middle + side / 2).max() <= 1 + 1e-9
        assert (width / height).min() < 0.85 and (width / height).max() > 1.15 and centre.std(0).min() > 0.01


def test_the_whole_image_is_left_as_it_is_and_mirrored_half_the_time() -> None:
    x = torch.rand(400, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = torch.rand(400, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(cropped(x, 1.0, False, draws), x)
    found = cropped(x, 1.0, True, draws)
    mirrored = draws[:, 4] < 0.5
    assert 150 < mirrored.sum() < 250
    torch.testing.assert_close(found[mirrored], x[mirrored].flip(3))
    torch.testing.assert_close(found[~mirrored], x[~mirrored])


@pytest.mark.parametrize("spec", [GREYS, COLOURS])
def test_a_view_is_a_function_of_name_and_step_and_ranks_share_it(spec: Spec) -> None:
    x = torch.randn(12, *spec.input_shape, generator=torch.Generator().manual_seed(0))
    whole = ALL.draw(x, spec, Chance(3, 7, size=12), "first view")
    assert whole.shape == x.shape
    for rank in range(3):
        rows = slice(rank, None, 3)
        part = ALL.draw(x[rows], spec, Chance(3, 7, size=12, rows=rows), "first view")
        assert part.equal(whole[rows])
    torch.manual_seed(99)
    assert ALL.draw(x, spec, Chance(3, 7, size=12), "first view").equal(whole)
    for other in (Chance(3, 8, size=12), Chance(4, 7, size=12)):
        assert not ALL.draw(x, spec, other, "first view").allclose(whole)
    assert not ALL.draw(x, spec, Chance(3, 7, size=12), "second view").allclose(whole)


def test_small_images_show_more_of_themselves() -> None:
    """0.6 up to 28 pixels a side, 0.2 of larger ones."""
    plain = {"flip": False, "jitter": 0.0, "grey": 0.0}
    for spec, smallest in ((GREYS, 0.6), (COLOURS, 0.2)):
        x, chance = torch.randn(4, *spec.input_shape), Chance("val", 0, size=4)
        own = Views(crop=None, **plain).draw(x, spec, chance, "view")
        assert own.equal(Views(crop=smallest, **plain).draw(x, spec, chance, "view"))


def test_a_turn_of_the_hue() -> None:
    """Greys stay; a third of a turn makes red green, to what YIQ and HSV agree on; a whole turn changes nothing."""
    x = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(turned(x, torch.full((5,), 2 * math.pi, dtype=torch.float64)), x)
    grey = x[:, :1].expand(-1, 3, -1, -1)
    third = torch.full((5,), 2 * math.pi / 3, dtype=torch.float64)
    torch.testing.assert_close(turned(grey, third), grey, rtol=0, atol=1e-3)
    thrice = turned(turned(turned(x, third), third), third)
    torch.testing.assert_close(thrice, x)
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[None, :, None, None]
    hue = colorsys.rgb_to_hsv(*turned(red, third[:1]).clamp(0, 1).flatten().tolist())[0]
    assert hue == pytest.approx(1 / 3, abs=0.1) or hue == pytest.approx(2 / 3, abs=0.1)


def test_colours_are_changed_in_most_views_and_gone_in_some() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(2000, -1, -1, -1)
    y = recoloured(x, 0.5, 0.2, torch.rand(2000, 6, generator=torch.Generator().manual_seed(1)))
    assert y.min() >= 0 and y.max() <= 1
    grey = (y == y[:, :1]).flatten(1).all(1)
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.03)
    same = (y == x).flatten(1).all(1)
    assert same.float().mean().item() == pytest.approx(0.2 * 0.8, abs=0.03)
    assert recoloured(x, 0.0, 0.0, torch.rand(2000, 6)).allclose(x, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("crop", [0, -0.1, 1.01, "a", float("nan"), True]),
        ("flip", [None, 1, "yes"]),
        ("jitter", [-0.1, 1.1, None, "a", float("nan")]),
        ("grey", [-0.1, 1.1, None, "a"]),
    ],
)
def test_bad_settings_are_refused_by_name(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be "):
            Views(**{"crop": None, "flip": True, "jitter": 0.5, "grey": 0.2, name: value})  # type: ignore[arg-type]
