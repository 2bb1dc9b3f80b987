"""What a kind of image file gives: pixels worked out by hand from what was saved, or a refusal."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from src.data.decoding import decoded

RNG = np.random.default_rng(0)
GREY = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
COLOURS = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
NO_REFERENCE = "no fixed black and white"


def saved(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def pixels(raw: bytes, side: int = 8) -> np.ndarray:
    """(side, side, 3)"""
    return decoded(io.BytesIO(raw), (3, side, side)).transpose(1, 2, 0)


def two_frames(kind: str) -> bytes:
    return saved(Image.new("RGB", (8, 8)), kind, save_all=True, append_images=[Image.fromarray(COLOURS)])


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, -1).astype(np.uint8)


def tiff(array: np.ndarray, bits: int, *, black_is_zero: int = 1, numbers: int = 1, orientation: int = 1) -> bytes:
    """A little-endian grey TIFF of 8 x 8, written by hand: Pillow writes not all kinds."""
    tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: black_is_zero, 273: 8 + 2 + 12 * 11 + 4, 274: orientation, 277: 1}
    tags |= {278: 8, 279: array.nbytes, 339: numbers}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + array.tobytes()


def png(width: int, height: int) -> bytes:
    """A grey PNG that says it is so large; its pixels are black."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes((width + 1) * min(height, 10)))),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("array", [COLOURS, COLOURS[..., 0]], ids=["colour", "grey"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"])
def test_ordinary_images_are_what_pillow_reads(kind: str, array: np.ndarray) -> None:
    raw = saved(array, kind)
    np.testing.assert_array_equal(pixels(raw), np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")))
    expected = Image.open(io.BytesIO(raw)).convert("RGB").resize((5, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels(raw, 5), np.asarray(expected))


@pytest.mark.parametrize(
    "raw",
    [
        saved(GREY, "PNG"),
        saved(GREY, "TIFF"),
        saved(GREY, "PPM"),
        saved(Image.frombytes("I;16B", (8, 8), GREY.astype(">u2").tobytes()), "TIFF"),
        tiff(GREY, 16),
        tiff(65535 - GREY, 16, black_is_zero=0),
    ],
    ids=["PNG", "TIFF", "PGM", "TIFF, big-endian", "TIFF by hand", "TIFF, white is zero"],
)
def test_grey_of_16_bits_is_its_upper_8(raw: bytes) -> None:
    np.testing.assert_array_equal(pixels(raw), grey(GREY >> 8))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "16 bits, signed": (lambda: tiff((GREY.astype(int) - 32768).astype(np.int16), 16, numbers=2), NO_REFERENCE),
    "8 bits, signed": (lambda: tiff(COLOURS[..., 0], 8, numbers=2), NO_REFERENCE),
    "12 bits": (lambda: tiff(RNG.integers(0, 256, (8, 12), dtype=np.uint8), 12), NO_REFERENCE),
    "32 bits": (lambda: tiff(GREY.astype(np.uint32), 32), NO_REFERENCE),
    "32 bits, signed": (lambda: saved(GREY.astype(np.int32), "TIFF"), NO_REFERENCE),
    "floating point": (lambda: saved(GREY.astype(np.float32), "TIFF"), NO_REFERENCE),
    "an animation": (lambda: two_frames("WEBP"), "2 frames"),
    "pages": (lambda: two_frames("TIFF"), "2 frames"),
    "an enormous one": (lambda: png(30_000, 30_000), "decompression bomb"),
    "no pixels": (lambda: png(0, 0), "cannot identify"),
    "nothing": (lambda: b"", "cannot identify"),
    "a program": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "cannot identify"),
    "half a JPEG": (lambda: saved(RNG.integers(0, 256, (80, 80, 3), dtype=np.uint8), "JPEG")[:4000], "truncated"),
    "half a PNG": (lambda: saved(RNG.integers(0, 256, (80, 80, 3), dtype=np.uint8), "PNG")[:4000], "truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_reading_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(Exception, match=message):
        pixels(make())


def test_a_flipped_bit_in_a_png_is_refused() -> None:
    raw = bytearray(saved(COLOURS, "PNG"))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(OSError, match="broken data stream"):
        pixels(bytes(raw))


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_what_is_transparent_lies_on_white(kind: str) -> None:
    rgba = np.dstack([COLOURS, ALPHA])
    la = Image.merge("LA", [Image.fromarray(COLOURS[..., 0].copy()), Image.fromarray(ALPHA)])
    np.testing.assert_allclose(pixels(saved(rgba, kind)), over_white(COLOURS, ALPHA), atol=1)
    np.testing.assert_allclose(pixels(saved(la, kind)), over_white(grey(COLOURS[..., 0]), ALPHA), atol=1)
    opaque = np.dstack([COLOURS, np.full((8, 8), 255, np.uint8)])
    np.testing.assert_array_equal(pixels(saved(opaque, kind)), COLOURS)


def test_one_transparent_colour() -> None:
    clear = (COLOURS[0, 0] == COLOURS).all(-1)
    raw = saved(COLOURS, "PNG", transparency=tuple(COLOURS[0, 0].tolist()))
    np.testing.assert_array_equal(pixels(raw), np.where(clear[..., None], 255, COLOURS))


def test_palettes() -> None:
    image = Image.fromarray(COLOURS).quantize(16)
    expected, index = np.asarray(image.convert("RGB")), np.asarray(image)
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        np.testing.assert_array_equal(pixels(saved(image, kind)), expected)
    clear = saved(image, "PNG", transparency=bytes([0] * 8 + [255] * 8))
    np.testing.assert_array_equal(pixels(clear), np.where((index < 8)[..., None], 255, expected))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_is_black_or_white(kind: str) -> None:
    bits = COLOURS[..., 0] > 127
    np.testing.assert_array_equal(pixels(saved(bits, kind)), grey(bits * 255))


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_their_camera_was(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels(saved(COLOURS, kind, exif=exif)), TURNED[orientation](COLOURS))
    by_hand = tiff(GREY, 16, orientation=orientation)
    np.testing.assert_array_equal(pixels(by_hand), grey(TURNED[orientation](GREY >> 8)))
    jpeg = saved(COLOURS, "JPEG", exif=exif, quality=100, subsampling=0)
    np.testing.assert_allclose(pixels(jpeg).astype(int), TURNED[orientation](COLOURS).astype(int), atol=4)


def test_inks() -> None:
    inks = Image.fromarray(COLOURS).convert("CMYK")
    np.testing.assert_array_equal(pixels(saved(inks, "TIFF")), COLOURS)
    raw = saved(inks, "JPEG", quality=100)  # as Adobe writes it, inverted
    np.testing.assert_allclose(pixels(raw).astype(int), COLOURS.astype(int), atol=4)
    marker = raw.index(b"Adobe")
    with pytest.raises(ValueError, match="marker of Adobe's"):
        pixels(raw[: marker - 4] + raw[marker + 12 :])


def test_a_profile_of_other_colours_is_heeded_and_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"____").replace(b"gXYZ", b"rXYZ").replace(b"____", b"gXYZ")
    raw = saved(COLOURS, "PNG", icc_profile=swapped)  # its first channel is green
    np.testing.assert_allclose(pixels(raw).astype(int), COLOURS[..., [1, 0, 2]].astype(int), atol=3)
    for profile in (srgb, b"no profile" * 20):
        np.testing.assert_array_equal(pixels(saved(COLOURS, "PNG", icc_profile=profile)), COLOURS)
        np.testing.assert_array_equal(pixels(saved(COLOURS[..., 0], "PNG", icc_profile=profile)), grey(COLOURS[..., 0]))
    clear = saved(np.dstack([COLOURS, np.zeros((8, 8), np.uint8)]), "PNG", icc_profile=swapped)
    assert (pixels(clear) == 255).all()
