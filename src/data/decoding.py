"""From an image file to 8 bits of red, green and blue: as a viewer shows it on a white page, or not at all."""

import functools
import io
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

from .base import DataError

VERSION = 2  # of what is made of a file; another one decodes all anew
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")  # Pillow has others, one of which starts a program
Shape = tuple[int, int, int]  # channels (1 or 3), height, width
LIKE_SRGB = 2  # levels of 255 by which a colour profile may differ from sRGB and be left alone
SIXTEEN_BITS = ("PNG", "PPM")  # of whose files Pillow makes 32 bits, in some versions
# It warns of an image half as large as one that it refuses.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decoded(file: BinaryIO, shape: Shape) -> np.ndarray:
    """(C, H, W) uint8 pixels of an image file: colours for C = 3, grey for C = 1, resized where its size is another.

    Raises ValueError for a kind of image that has no one reading, and anything for a damaged file.
    """
    return fitted(read(file), shape)


def read(file: BinaryIO) -> Image.Image:
    """An image file in 8 bits of RGB, as ``upright`` gives it. Raises as ``decoded`` does."""
    with Image.open(file, formats=FORMATS) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise ValueError(f"it has {image.n_frames} frames or pages, an example is one image")  # type: ignore[attr-defined]
        return upright(image)


def fitted(rgb: Image.Image, shape: Shape) -> np.ndarray:
    """(C, H, W) uint8 pixels of an RGB image, resized (bilinear) to H x W; grey is Pillow's (ITU-R 601)."""
    channels, height, width = shape
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(rgb if channels == 3 else rgb.convert("L")).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def upright(image: Image.Image) -> Image.Image:
    """The image in 8 bits of RGB, turned as its EXIF data say, its colours those of sRGB, over white."""
    image.load()
    profile = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    image = eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        image = image.convert("L") if image.mode in ("L", "LA", "La", "1") else rgba.convert("RGB")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        raise ValueError("its CMYK has no marker of Adobe's, so that 0 may be all ink or none")
    transform = to_srgb(profile, image.mode) if profile else None
    rgb = image.convert("RGB") if transform is None else transformed(image, transform)
    if alpha is not None:
        page = Image.new("RGB", rgb.size, "white")
        page.paste(rgb, mask=alpha)
        rgb = page
    return rgb


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as its upper 8; Pillow's own conversion clips it to white. Raises ValueError for other kinds."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF: 258 bits, 262 photometric interpretation, 339 kind of number
    whole = image.mode.startswith("I;16") and tags.get(258, (16,)) == (16,)
    whole |= image.mode == "I" and image.format in SIXTEEN_BITS
    if any(kind != 1 for kind in tags.get(339, (1,))) or (image.mode[0] in "IF" and not whole):
        raise ValueError("its numbers have no fixed black and white: save it with 8 or 16 unsigned bits")
    if image.mode == "1":
        return image.convert("L")
    if not whole:
        return image
    white_is_zero = tags.get(262) == 0  # which Pillow heeds in 8 bits alone
    levels = np.asarray(image).astype(np.uint32) >> 8
    return Image.fromarray((255 - levels if white_is_zero else levels).astype(np.uint8))


def transformed(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    rgb = ImageCms.applyTransform(image, transform)
    assert rgb is not None
    return rgb


@functools.lru_cache(maxsize=64)
def to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of pixels with this colour profile; None where they are, or where it is not one of this mode."""
    try:
        there = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(there, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode not in ("L", "RGB"):
            return transform
        grid = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), -1).reshape(18, -1, 3)
        colours = Image.fromarray(grid if mode == "RGB" else grid[..., 0].copy())
        change = ImageChops.difference(transformed(colours, transform), colours.convert("RGB"))
    except (ImageCms.PyCMSError, OSError):
        return None
    return transform if max(high for _, high in change.getextrema()) > LIKE_SRGB else None  # type: ignore[misc]


def unusable(path: str, error: Exception) -> DataError:
    """The message for a file that is no image, by what Pillow says, without the open file that it names."""
    reason = str(error).partition(" <_io.")[0] or type(error).__name__
    return DataError(f"{path} is no image that can be used ({reason}); replace or remove it")
