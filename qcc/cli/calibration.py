"""`--calibrate DATA`: what it may name, read as batches, and the scales that are measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from qcc.cli.data import CONFIG_SUFFIXES, open_source
from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.errors import ConfigError, DataError, ModelFormatError
from qcc.shown import counted

if TYPE_CHECKING:
    from qcc.calibrate.data.batches import Batch, Batches
    from qcc.model import Model


COUNTED_IMAGES = 256
"""How many images of a configuration's training set are looked at, evenly spread."""
_LABEL = "measuring scales"


calibrate_option = click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Measure on this data, once, the scales that the model measures at every run"
    " (activation_type=abs_max), and those that no training has observed. A training configuration (.yml):"
    f" {COUNTED_IMAGES} images of its training set. Arrays: a .npz file per batch with an array per feed, a"
    " .npy file for models with one feed, or a folder of them. Images: a folder, prepared as stands"
    " beside the model or `qcc quantize MODEL` has recorded, or with -c.",
)


def calibrated_on(model: Model, data: Path, config_path: Path | None, home: Path | None = None) -> Model:
    """The model with fixed activation scales; see `calibration_batches` for what `data` may be.

    Raises ModelFormatError when the model has no scale that could be measured.
    """
    from qcc.calibrate.activations import calibrated
    from qcc.passes.static_scales import ops_to_calibrate

    count = len({op.input("X").name for op in ops_to_calibrate(model.graph)})
    if not count:
        raise ModelFormatError(_nothing_to_calibrate(model))
    batches = calibration_batches(model, data, config_path, home)
    with progress(_LABEL, len(batches), Console(stderr=True)) as report:
        result = calibrated(model, used(batches, report))
    echo(f"calibrated {counted(count, 'activation scale')} on {counted(len(batches), 'batch')} of {data}.")
    return result


def _nothing_to_calibrate(model: Model) -> str:
    from qcc.quantization import state

    form = state(model.graph)
    if form == "float":
        return (
            "the model is float and has no scales to calibrate: quantize it first, without training by"
            " `qcc quantize MODEL --data PHOTOS -o OUT`, or in training by `qcc quantize -c CONFIG`."
        )
    return (
        f"the model is {form} and its activation scales are fixed, so that there is nothing to calibrate:"
        " leave out --calibrate."
    )


def used(batches: Batches[Any], report: Callable[[int], None]) -> Iterator[Batch]:
    """The batches, told of as they are used."""
    for done, batch in enumerate(batches, 1):
        yield batch
        report(done)


def first_batch(model: Model, data: Path, config_path: Path | None, home: Path | None = None) -> Batch | None:
    """The first batch of DATA, cut to one sample where the model takes any number, for comparing runs of the
    model; None when there is none."""
    batch = next(iter(calibration_batches(model, data, config_path, home)), None)
    if batch is None or any(name not in batch for name in model.feeds):
        return None
    shapes = {name: model.graph.var(name).shape for name in model.feeds}
    return {name: batch[name][: 1 if shape[:1] == (-1,) else None] for name, shape in shapes.items()}


def calibration_batches(
    model: Model, data: Path, config_path: Path | None, home: Path | None = None
) -> Batches[Any]:
    """The batches of DATA: a training configuration, files of arrays, or images, prepared as `config_path`
    wants them, or else as stands beside the model `home`, or was recorded when it was quantized.

    Raises DataError or ConfigError when it is none of these.
    """
    if not data.exists():
        raise DataError(f"{data} does not exist: there is no data to measure scales on.")
    if data.suffix in CONFIG_SUFFIXES:
        return _of_configuration(data)
    from qcc.calibrate.data.arrays import has_arrays, read_batches

    if has_arrays(data):
        return read_batches(model, data)
    if config_path is None and home is not None:
        return _as_recorded(model, data, home)
    if config_path is None:
        raise DataError(
            f"{data} is no training configuration (.yml) and holds no arrays (.npy, .npz); where it holds"
            " images, say by -c CONFIG how they are prepared for the network."
        )
    return _of_images(data, config_path)


def _as_recorded(model: Model, data: Path, home: Path) -> Batches[Any]:
    from qcc.calibrate.data.batches import Batches
    from qcc.frontend.layout import find_program

    source = open_source(model, find_program(home, None), str(data), None, COUNTED_IMAGES, [home])
    assert isinstance(source.batches, Batches)
    return source.batches


def _of_configuration(path: Path) -> Batches[int]:
    from qcc.train.config import load_config
    from qcc.train.tasks.build import build_task

    return build_task(load_config(path, ())).calibration_batches(COUNTED_IMAGES)


def _of_images(data: Path, config_path: Path) -> Batches[Path]:
    from qcc.train.config import DetectorConfig, load_config

    config = load_config(config_path, ())
    if not isinstance(config, DetectorConfig):
        raise ConfigError(
            f"{config_path} describes a {config.architecture}, which is not trained on image files:"
            f" calibrate it with --calibrate {config_path}."
        )
    from qcc.calibrate.data.batches import Batches
    from qcc.calibrate.data.image_file import read_image
    from qcc.train.evaluation.infer import find_images, image_feeds

    images = find_images(*((data, None) if data.is_dir() else (None, data)))
    size = config.yolo_test_feed.image_shape[1:]
    return Batches(images, lambda image: image_feeds(read_image(image), size))
