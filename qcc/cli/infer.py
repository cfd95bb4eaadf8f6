"""`qcc infer`: what a detector finds in pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.chosen_engine import chosen_engine, engine_option, only_one
from qcc.cli.finite import FiniteRange
from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.cli.training_options import (
    OverridesCommand,
    config_option,
    dataset_option,
    model_options,
    overrides_option,
    use_tb_option,
)

if TYPE_CHECKING:
    from qcc.train.config import DetectorConfig
    from qcc.train.evaluation.infer import Detector


@click.command(cls=OverridesCommand)
@model_options()
@config_option
@dataset_option
@overrides_option
@click.option("--infer_dir", type=Path, help="Look at all images of this folder.")
@click.option("--infer_img", type=Path, help="Look at this image.")
@click.option("--output_dir", type=Path, default=Path("output"), show_default=True, help="For the results.")
@click.option(
    "--draw_threshold",
    type=FiniteRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least score of a detection that is drawn.",
)
@engine_option
@use_tb_option
@click.option(
    "--tb_log_dir",
    type=Path,
    default=Path("tb_log_dir/image"),
    show_default=True,
    metavar="DIR",
    help="Where --use_tb writes the pictures.",
)
def infer(
    model: Path,
    config_path: Path,
    dataset_dir: Path | None,
    overrides: tuple[str, ...],
    infer_dir: Path | None,
    infer_img: Path | None,
    output_dir: Path,
    draw_threshold: float,
    engine: str | None,
    use_tb: bool,
    tb_log_dir: Path,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Draw what the detector MODEL, in any form, finds in pictures, with JSON beside each.

    MODEL may also be a file of Paddle Lite for x86 (.nb) or an ONNX file (.onnx).

    At the end it is timed on the first picture: 10 runs to warm up, then the median of 100.
    """
    from qcc.train.config import DetectorConfig, load_config

    config = load_config(config_path, overrides)
    if not isinstance(config, DetectorConfig):
        raise click.UsageError(f"{config_path} describes a {config.architecture}, which finds no boxes.")

    from qcc.calibrate.data.image_file import read_image
    from qcc.train.evaluation.infer import find_images
    from qcc.train.evaluation.infer import infer as run
    from qcc.train.loop.board import board_in
    from qcc.train.tasks.detector import infer_class_names

    images = find_images(infer_dir, infer_img)
    if infer_dir is not None and output_dir.resolve() == infer_dir.resolve():
        raise click.UsageError(f"--output_dir {output_dir} is the folder of the images: give another one.")
    names = infer_class_names(config, dataset_dir)
    chosen = chosen_engine(engine, model, model_filename, params_filename)
    with ExitStack() as stack:
        if chosen is None:
            opened = _in_paddle(model, model_filename, params_filename, config, names)
        else:
            opened = _in_engine(chosen, model, config, names)
        detector, where = stack.enter_context(opened)
        board = stack.enter_context(board_in(tb_log_dir if use_tb else None))
        if board is not None:
            board.rewind(0)
        for picture, found in run(detector, images, output_dir, draw_threshold):
            text = ", ".join(f"{one.class_name} {one.score:.2f}" for one in found) or "nothing"
            echo(f"{picture}: {text}")
            if board is not None:
                board.show(picture)
        time = detector.time(read_image(images[0]))
    echo(f"{time:.2f} ms per image (median of 100 runs, {where})")
    tell_next("bench", model)


def _in_paddle(
    model: Path,
    model_filename: str | None,
    params_filename: str | None,
    config: DetectorConfig,
    names: Sequence[str],
) -> AbstractContextManager[tuple[Detector, str]]:
    import qcc
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.evaluation.infer import detector_in_paddle

    loaded = qcc.load(str(model), model_filename=model_filename, params_filename=params_filename)
    check_fits(loaded, config)
    return detector_in_paddle(loaded, config, names)


@contextmanager
def _in_engine(
    engine: str, model: Path, config: DetectorConfig, names: Sequence[str]
) -> Iterator[tuple[Detector, str]]:
    from qcc.measure.loaded import cases_of
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.evaluation.infer import detector_in

    with tempfile.TemporaryDirectory(prefix="qcc-") as scratch:
        case = only_one("infer", cases_of(engine, model, Path(scratch)))
        if case.subject.model is not None:
            check_fits(case.subject.model, config)
        with detector_in(case, config, names) as opened:
            yield opened
