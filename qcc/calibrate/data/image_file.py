"""Reading image files, strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from qcc.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to uint8 [H, W, 3] in RGB order; the orientation that EXIF notes is not applied.

    Raises DataError that names the file when it is missing, truncated or no image. (OpenCV's reader would
    fill up what a truncated JPEG lacks with grey.)
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no image file that can be read.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be decoded: {error}.") from error
