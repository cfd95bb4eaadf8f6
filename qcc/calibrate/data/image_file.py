"""Reading image files, strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from qcc.errors import DataError
from qcc.inputs import open_input, why

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to uint8 [H, W, 3] in RGB order, turned as EXIF notes that it is to be seen.

    So does PaddleDetection's reader, OpenCV's, for training, evaluation and inference alike. Of 16 bits of
    grey the upper 8 are taken, as OpenCV takes them.

    Raises DataError that names the file when it is missing, truncated, no image, or one of 32 bits or
    floats, which have no scale. (OpenCV's reader would fill up what a truncated JPEG lacks with grey.)
    """
    try:
        with open_input(path) as stream, Image.open(stream) as image:
            return np.asarray(_eight_bits(_turned(image), image.format).convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no image file that can be read.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be decoded: {why(error)}.") from error


# What EXIF's orientation says is to be done, by its number; 1 is nothing.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned(image: Image.Image) -> Image.Image:
    """As Pillow's `exif_transpose` does, which writes all notes anew, and fails where another one is
    damaged."""
    image.load()  # by which a TIFF is turned already
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """Raises ValueError for an image whose values have no known range."""
    # Portable grey maps have 16 bits at most, which Pillow keeps, spread over that range, in 32.
    has_16_bits = image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PPM")
    if image.mode in ("I", "F") and not has_16_bits:
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    if has_16_bits:
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image
