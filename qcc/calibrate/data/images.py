"""Batches made of image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qcc.calibrate.data.batches import Batch, Batches
from qcc.calibrate.data.image_file import IMAGE_SUFFIXES, read_image
from qcc.calibrate.data.prepare import Preparation, Prepared
from qcc.calibrate.data.preprocess import FitHeight, Preprocess
from qcc.errors import DataError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.nodes import Var
from qcc.model import Model
from qcc.text_lines import read_lines

LIST_SUFFIX = ".txt"


def find_images(data: Path) -> list[Path]:
    """The images that `data` means: those of a folder and the folders in it, by name; those that a text file
    lists, one a line; or the one that it is.

    A line of a list may go on behind the path, as those with labels do, and paths are relative to the list.
    Raises DataError when there is none, or a listed one is not there.
    """
    if data.is_dir():
        found = sorted(path for path in data.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise DataError(f"{data} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        return found
    if data.suffix == LIST_SUFFIX:
        return _listed(data)
    return [data]


def others_beside(data: Path) -> dict[str, int]:
    """How many files of a folder `find_images` passes over, by their endings; those that are hidden are not
    counted. Empty for what is no folder."""
    others = Counter(
        path.suffix.lower() or "without an ending"
        for path in data.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in IMAGE_SUFFIXES
    )
    return dict(sorted(others.items()))


def _listed(file: Path) -> list[Path]:
    found = []
    for place, line in read_lines(file, "it lists the images"):
        words = line.partition("\t")[0].strip()
        names = (words, words.rsplit(None, 1)[0], words.split()[0])  # blanks stand in paths, too
        path = next((file.parent / name for name in names if _is_file(file, name)), None)
        if path is None:
            raise DataError(f"{place}: {words!r} is no file in {file.parent.absolute()}.")
        found.append(path)
    if not found:
        raise DataError(f"{file} lists no image.")
    return found


def _is_file(file: Path, name: str) -> bool:
    return (file.parent / name).is_file()


def image_feed(model: Model) -> Var:
    """The feed that takes an image.  Raises DataError when there is none, or are several."""
    feeds = [model.graph.versions(name)[0] for name in model.feeds]
    images = [var for var in feeds if len(var.shape) == 4]
    if len(images) != 1:
        raise DataError(
            f"the model is fed by {list(model.feeds)}, of which {len(images)} take images (four dimensions),"
            " where one has to: give arrays (.npz) or a function."
        )
    return images[0]


def batch_size(model: Model) -> int:
    """How many images a batch holds: as many as the model declares, or one.  Raises DataError."""
    return max(image_feed(model).shape[0], 1)


def image_batches(model: Model, files: Sequence[Path], preprocess: Preprocess) -> Batches[tuple[Path, ...]]:
    """A batch for each image, or for as many as the model's declared batch holds.

    Reading one raises DataError naming the file that cannot be read or does not come out as the model takes
    it. Raises DataError for feeds that are made neither from an image nor from its size.
    """
    feed = image_feed(model)
    size = batch_size(model)
    if len(files) < size:
        raise DataError(f"the model takes batches of {size} images, and there are {len(files)}.")
    others = [model.graph.versions(name)[0] for name in model.feeds if name != feed.name]
    for var in others:
        if var.name not in _SIZES:
            raise DataError(
                f"the model is fed by {var.name!r}, which is not made from an image (known are"
                f" {', '.join(_SIZES)}): give arrays (.npz) or a function."
            )
    preparation = Preparation(_of_declared_width(preprocess, feed))

    def read(batch: tuple[Path, ...]) -> Batch:
        prepared = [preparation(read_image(file), str(file)) for file in batch]
        for file, one in zip(batch, prepared, strict=True):
            _check(feed, one, file)
        _check_alike(prepared, batch)
        images = np.stack([one.image for one in prepared]).astype(numpy_dtype(feed.dtype), copy=False)
        return {feed.name: images} | {var.name: _sizes(var, prepared) for var in others}

    whole = range(0, len(files) - size + 1, size)
    return Batches([tuple(files[start : start + size]) for start in whole], read)


def _of_declared_width(preprocess: Preprocess, feed: Var) -> Preprocess:
    """Lines of text are squeezed into the width that a model declares, as PaddleOCR does."""
    if feed.shape[2 if preprocess.layout == "NHWC" else 3] < 0:
        return preprocess
    steps = tuple(
        step.model_copy(update={"widest": None}) if isinstance(step, FitHeight) else step
        for step in preprocess.steps
    )
    return preprocess.model_copy(update={"steps": steps})


def _check_alike(prepared: Sequence[Prepared], batch: Sequence[Path]) -> None:
    for one, file in zip(prepared, batch, strict=True):
        if one.image.shape != prepared[0].image.shape:
            first, other = (" x ".join(map(str, each.image.shape)) for each in (prepared[0], one))
            raise DataError(
                f"the model takes batches of {len(batch)} images, and {batch[0]} comes out as {first}, {file}"
                f" as {other}: preprocessing has to bring all to one size (a step Resize, Fit or Pad)."
            )


def _check(feed: Var, one: Prepared, file: Path) -> None:
    if any(
        declared not in (-1, size) for declared, size in zip(feed.shape[1:], one.image.shape, strict=True)
    ):
        wanted = " x ".join("any" if length < 0 else str(length) for length in feed.shape[1:])
        found = " x ".join(map(str, one.image.shape))
        raise DataError(
            f"{file} comes out as {found}, and the model's feed {feed.name!r} takes {wanted}: preprocessing"
            " has to bring all images to this size (a step Resize, Fit, CenterCrop or Pad; `channels: GRAY`"
            " for one channel)."
        )


_SIZES = ("im_shape", "scale_factor", "im_size", "im_info")
_OF_FILE = 3


def _sizes(var: Var, prepared: Sequence[Prepared]) -> np.ndarray:
    """The rows of a feed that tells about sizes: [batch, 2], or [batch, 3] for im_info (height, width,
    scale) and for the im_shape of PaddleDetection 0.x (of the file, and 1)."""
    of_file = var.shape[-1] == _OF_FILE
    rows = {
        "im_shape": [(*one.im_size, 1.0) if of_file else one.im_shape for one in prepared],
        "scale_factor": [one.scale_factor for one in prepared],
        "im_size": [one.im_size for one in prepared],
        "im_info": [(*one.size, one.scale_factor[0]) for one in prepared],
    }
    return np.array(rows[var.name], numpy_dtype(var.dtype))
