"""What `qcc bench` runs the models on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.stdout import echo

if TYPE_CHECKING:
    from qcc.calibrate.data.batches import Batch
    from qcc.measure.subjects import Subject


def open_inputs(
    subjects: Sequence[Subject], data: str | None, preprocess: Path | None, batch: int, scratch: Path
) -> tuple[Iterable[Batch] | None, str]:
    """Batches, and words about where they are from; without `--data` a made-up photo where it is known how
    photos are prepared, else none."""
    if data is None:
        return _made_up(subjects, scratch)
    return _batches(subjects, data, preprocess, batch), "data"


def _batches(subjects: Sequence[Subject], data: str, preprocess: Path | None, batch: int) -> Iterable[Batch]:
    """The batches of DATA, as the first Paddle model takes them."""
    from qcc.cli.data import open_source

    for subject in subjects:
        if subject.model is not None:
            homes = [one.home for one in subjects]
            return open_source(subject.model, subject.original, data, preprocess, batch, homes).batches
    raise click.UsageError(
        "--data is prepared for a model of Paddle: give the float MODEL, too, or leave out --data."
    )


def _made_up(subjects: Sequence[Subject], scratch: Path) -> tuple[Iterable[Batch] | None, str]:
    """A made-up photo, prepared as stands beside the model or was recorded when it was quantized, and what it
    is called; no batches where nothing says that."""
    from qcc.calibrate.data.beside import preprocess_beside, recorded_preprocess
    from qcc.calibrate.data.sources import image_source
    from qcc.errors import ConfigError, DataError
    from qcc.measure.inputs import write_photo

    subject = next((one for one in subjects if one.model is not None), None)
    if subject is None or subject.model is None:
        return None, ""
    photo = scratch / "photo.png"
    write_photo(photo)
    try:
        homes = [one.home for one in subjects]
        found = preprocess_beside(subject.original) or recorded_preprocess(homes)
        if found is None:
            return None, ""
        batches = list(image_source(subject.model, photo, 1, *found).batches)
    except (ConfigError, DataError) as error:
        echo(f"notice: inputs are not prepared as images are: {error}", err=True)
        return None, ""
    return batches, f"a made-up photo, prepared as {found[1]} says"


def prepared(subjects: Sequence[Subject], data: str | None, preprocess: Path | None) -> list[str]:
    """The option by which `qcc quantize` prepares images as here; none where it sees that itself."""
    from qcc.calibrate.data.arrays import has_arrays
    from qcc.calibrate.data.beside import preprocess_beside, recorded_preprocess
    from qcc.errors import ConfigError

    if preprocess is not None:
        return ["--preprocess", str(preprocess)]
    if data is not None and (not Path(data).is_dir() or has_arrays(Path(data))):
        return []
    try:
        beside = subjects[0].kind == "paddle" and preprocess_beside(subjects[0].original)
        recorded = None if beside else recorded_preprocess(one.home for one in subjects)
    except ConfigError:
        return []  # was told when the inputs were made
    return [] if recorded is None else ["--preprocess", str(recorded[1])]
