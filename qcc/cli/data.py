"""`--data DATA` of `qcc quantize MODEL`: what it may name, as a source of batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcc.errors import ConfigError, DataError
from qcc.given_code import code_of_users

if TYPE_CHECKING:
    from qcc.calibrate.data.batches import Batch
    from qcc.calibrate.data.sources import Source
    from qcc.model import Model

GROUP = "qcc.data"
CONFIG_SUFFIXES = (".yml", ".yaml")
RANDOM = "random"


def open_source(
    model: Model,
    program: Path,
    data: str,
    preprocess: Path | None,
    samples: int,
    recorded: Iterable[Path] = (),
) -> Source:
    """The source that `--data` names.

    `program`: the model's file, beside which may stand how images are prepared; `preprocess`: the file that
    says it instead; `recorded`: folders of `qcc quantize MODEL`, which record how it was done there. Code is
    run only where `data` names it, as `module:function` or by an entry point.

    Raises DataError or ConfigError when it is none.
    """
    from qcc.calibrate.data.arrays import has_arrays
    from qcc.calibrate.data.sources import array_source, random_source

    if data == RANDOM:
        return _without(preprocess, data, random_source(model, samples))
    path = Path(data)
    if not path.exists():
        return _without(preprocess, data, _function(data, samples))
    if path.suffix in CONFIG_SUFFIXES:
        return _without(preprocess, data, _configuration(path, samples))
    if has_arrays(path):
        return _without(preprocess, data, array_source(model, path, samples))
    return _images(model, program, path, preprocess, samples, recorded)


def files_named(data: str | None, preprocess: Path | None) -> list[Path]:
    """What these options name that is there: files, and those in a folder."""
    paths = [path for path in (Path(data or RANDOM), preprocess) if path is not None and path.exists()]
    return [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]


def _without(preprocess: Path | None, data: str, source: Source) -> Source:
    if preprocess is not None:
        raise ConfigError(f"--preprocess says how images are prepared, and --data {data} gives none.")
    return source


def _images(
    model: Model,
    program: Path,
    data: Path,
    preprocess: Path | None,
    samples: int,
    recorded: Iterable[Path],
) -> Source:
    from qcc.calibrate.data.beside import (
        load_preprocess,
        no_preprocess,
        preprocess_beside,
        recorded_preprocess,
    )
    from qcc.calibrate.data.images import find_images, image_feed
    from qcc.calibrate.data.sources import image_source

    find_images(data)
    feed = image_feed(model)
    if preprocess is not None:
        return image_source(model, data, samples, load_preprocess(preprocess), preprocess)
    found = preprocess_beside(program) or recorded_preprocess(recorded)
    if found is None:
        raise no_preprocess(program, feed.shape)
    return image_source(model, data, samples, *found)


def _configuration(path: Path, samples: int) -> Source:
    from qcc.calibrate.data.sources import Source
    from qcc.files import sha256
    from qcc.train.config import load_config
    from qcc.train.tasks.build import build_task

    batches = build_task(load_config(path, ())).calibration_batches(samples)
    record = {"kind": "training images", "path": str(path), "sha256": sha256(path), "used": len(batches)}
    return Source(batches, record)


def _function(data: str, samples: int) -> Source:
    from qcc.calibrate.data.sources import Source

    batches = islice(_called(data, _named(data)), samples)
    return Source(batches, {"kind": "batches", "path": data, "used": None})


def _called(data: str, function: Callable[[], Iterable[Batch]]) -> Iterator[Batch]:
    """What the function yields; what it raises on the way is a DataError."""
    with code_of_users(f"--data {data}"):
        yield from function()


def _named(data: str) -> Callable[[], Iterable[Batch]]:
    return named_function("--data", data) if ":" in data else _offered(data)


def named_function(option: str, text: str) -> Callable[..., Any]:
    """The function that an option names as module:function; modules of the current folder are found.

    Raises ConfigError when there is none, DataError for what its module raises otherwise.
    """
    module, _, attribute = text.partition(":")
    # As `python -m` does.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with code_of_users(f"{option} {text}, while it is imported,"):
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"{option} {text} is no file or folder, and no function that can be imported: {error}."
            ) from error
    if not callable(found):
        raise ConfigError(f"{option} {text} names a {type(found).__name__}, and not a function.")
    return found


def _offered(data: str) -> Callable[[], Iterable[Batch]]:
    """The function that a package offers under a name."""
    for entry in entry_points(group=GROUP, name=data):
        with code_of_users(f"--data {data}, of {entry.value}, while it is imported,"):
            try:
                return entry.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"--data {data}, of {entry.value}, cannot be imported: {error}.") from error
    raise DataError(
        f"{data} does not exist: --data takes a folder of images, a list of them (.txt), arrays (.npz,"
        f" .npy), a"
        f" training configuration (.yml), module:function, or {RANDOM}."
    )
