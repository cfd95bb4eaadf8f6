"""`--calibrate DATA`: what it may name, read as batches, and the scales that are measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from qcc.cli.data import CONFIG_SUFFIXES, open_source
from qcc.cli.paths import FILE
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


def calibration_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--calibrate DATA` and `--preprocess FILE.yml`."""
    calibrate = click.option(
        "--calibrate",
        type=click.Path(path_type=Path),
        metavar="DATA",
        help="Measure on this data, once, the scales that the model measures at every run"
        " (activation_type=abs_max), and those that no training has observed. A training configuration"
        f" (.yml): {COUNTED_IMAGES} images of its training set. Arrays: a .npz file per batch with an array"
        " per feed, a .npy file for models with one feed, or a folder of them. Images: a folder, prepared as"
        " --preprocess says, or -c, or as stands beside the model or `qcc quantize MODEL` has recorded.",
    )
    preprocess = click.option(
        "--preprocess",
        type=FILE,
        metavar="FILE.yml",
        help="How images of --calibrate are prepared (`qcc config help Preprocess`).",
    )
    return calibrate(preprocess(command))


def calibration_data(
    path: Path | None,
    config: Path | None,
    preprocess: Path | None,
    model: Path | None,
    model_filename: str | None,
) -> CalibrationData | None:
    """What a command line gives; `model`: the place of the model, None for a checkpoint.

    Raises UsageError for `preprocess` without data, and ModelFormatError where there is no model.
    """
    from qcc.frontend.layout import find_program

    if path is None:
        if preprocess is not None:
            raise click.UsageError(no_data("--preprocess"))
        return None
    program = None if model is None else find_program(model, model_filename)
    return CalibrationData(path, config, preprocess, program)


def no_data(option: str) -> str:
    return f"{option} says how the images of --calibrate DATA are prepared, and there is no --calibrate."


@dataclass(frozen=True)
class CalibrationData:
    """What `--calibrate` names: `path`.

    Images are prepared as `preprocess` says, or else as the training configuration `config` wants them, or
    else as stands beside the model's `program`, or was recorded when it was quantized; `program` is None for
    a checkpoint, beside which nothing stands.
    """

    path: Path
    config: Path | None
    preprocess: Path | None
    program: Path | None

    @property
    def of_images(self) -> bool:
        """Whether it names images, to be prepared, and not a training configuration or arrays."""
        from qcc.calibrate.data.arrays import has_arrays

        return self.path.suffix not in CONFIG_SUFFIXES and not has_arrays(self.path)

    def batches(self, model: Model) -> Batches[Any]:
        """Raises DataError or ConfigError when it is neither a training configuration, nor files of arrays,
        nor images."""
        from qcc.calibrate.data.arrays import read_batches

        if not self.path.exists():
            raise DataError(f"{self.path} does not exist: there is no data to measure scales on.")
        if not self.of_images:
            if self.preprocess is not None:
                raise ConfigError(
                    f"--preprocess says how images are prepared, and --calibrate {self.path} gives none."
                )
            of_configuration = self.path.suffix in CONFIG_SUFFIXES
            return _of_configuration(self.path) if of_configuration else read_batches(model, self.path)
        if self.preprocess is not None or self.config is None:
            return self._prepared(model)
        return _of_images(self.path, self.config)

    def _prepared(self, model: Model) -> Batches[Any]:
        """Images, prepared as `preprocess`, or what stands beside the program, says."""
        from qcc.calibrate.data.batches import Batches

        if self.program is None and self.preprocess is None:
            raise DataError(
                f"{self.path} is no training configuration (.yml) and holds no arrays (.npy, .npz); where it"
                " holds images, say by -c CONFIG or --preprocess FILE.yml how they are prepared for the"
                " network."
            )
        places = [] if self.program is None else [self.program.parent]
        source = open_source(
            model, self.program or self.path, str(self.path), self.preprocess, COUNTED_IMAGES, places
        )
        assert isinstance(source.batches, Batches)
        return source.batches

    def calibrated(self, model: Model, *, is_run: bool = False) -> Model:
        """The model with fixed activation scales.

        Raises ModelFormatError when the model has no scale that could be measured, unless what is written
        of it `is_run` on the data.
        """
        from qcc.calibrate.activations import measured, with_scales
        from qcc.numerics import SCALE_FLOOR
        from qcc.passes.static_scales import ops_to_calibrate

        count = len({op.input("X").name for op in ops_to_calibrate(model.graph)})
        if not count and is_run:
            echo(f"there are no scales to measure; what is written is run on {self.path}.")
            return model
        if not count:
            raise ModelFormatError(_nothing_to_calibrate(model))
        batches = self.batches(model)
        with progress(_LABEL, len(batches), Console(stderr=True)) as report:
            scales = measured(model, used(batches, report))
        echo(
            f"calibrated {counted(count, 'activation scale')} on {counted(len(batches), 'batch')} of"
            f" {self.path}."
        )
        zero = [name for name, scale in scales.items() if scale == SCALE_FLOOR]
        if zero:
            others = f", the first of {len(zero)} that are" if len(zero) > 1 else ""
            echo(
                f"notice: {zero[0]!r} is zero on all of the data{others}: whatever else it is later is lost;"
                " give data on which it is not."
            )
        return with_scales(model, scales)

    def one_batch(self, model: Model) -> Batch | None:
        """An ordinary batch, cut to one sample where the model takes any number, for comparing runs of the
        model; None when there is none."""
        from qcc.calibrate.data.one_sample import one_sample, ordinary

        batches = self.batches(model)
        if not len(batches):
            return None
        batch = batches.read(ordinary(batches.items, batches.read))
        return one_sample(model, batch) if all(name in batch for name in model.feeds) else None


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
