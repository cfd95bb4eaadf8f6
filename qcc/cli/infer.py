"""`qcc infer`: what a detector finds in pictures."""

from __future__ import annotations

from pathlib import Path

import click

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
    use_tb: bool,
    tb_log_dir: Path,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Draw what the detector MODEL, in any form, finds in pictures, with JSON beside each.

    At the end it is timed on the first picture: 10 runs to warm up, then the median of 100.
    """
    from qcc.train.config import DetectorConfig, load_config

    config = load_config(config_path, overrides)
    if not isinstance(config, DetectorConfig):
        raise click.UsageError(f"{config_path} describes a {config.architecture}, which finds no boxes.")

    import qcc
    from qcc.calibrate.data.image_file import read_image
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.evaluation.infer import Detector, find_images
    from qcc.train.evaluation.infer import infer as run
    from qcc.train.loop.board import board_in
    from qcc.train.tasks.detector import infer_class_names

    images = find_images(infer_dir, infer_img)
    loaded = qcc.load(str(model), model_filename=model_filename, params_filename=params_filename)
    check_fits(loaded, config)
    names = infer_class_names(config, dataset_dir)
    detector = Detector(loaded, config, names)
    with board_in(tb_log_dir if use_tb else None) as board:
        if board is not None:
            board.rewind(0)
        for picture, found in run(detector, images, output_dir, draw_threshold):
            text = ", ".join(f"{one.class_name} {one.score:.2f}" for one in found) or "nothing"
            echo(f"{picture}: {text}")
            if board is not None:
                board.show(picture)
    time = detector.time(read_image(images[0]))
    echo(f"{time:.2f} ms per image (median of 100 runs, Paddle, {detector.device})")
    tell_next("bench", model)
