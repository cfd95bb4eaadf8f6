"""How images are prepared, as read from the file that Paddle's suites leave beside a model, or from a
record of this package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qcc.calibrate.data.preprocess import Preprocess, read_preprocess, template
from qcc.calibrate.data.suites import NAMES, is_of_a_suite, read_foreign
from qcc.errors import ConfigError
from qcc.files import atomic_file
from qcc.grammar.document import LARGEST, Document
from qcc.grammar.section import validate
from qcc.inputs import read_input
from qcc.record import FILE_NAME

Content = dict[str, Any]


def preprocess_beside(program: Path) -> tuple[Preprocess, Path] | None:
    """What the file beside a model's program says, and that file; None when there is none.

    Raises ConfigError for a file that says what cannot be done here.
    """
    for name in NAMES:
        path = program.parent / name
        if path.is_file():
            found = read_foreign(path)
            if found is not None:
                return found, path
    return None


def copy_beside(program: Path, folder: Path) -> list[Path]:
    """Copy what says how images are prepared from beside a model's program into another folder; the copies.

    Raises ConfigError for a file that cannot be read, and OutputError.
    """
    copies = []
    for name in NAMES:
        path = program.parent / name
        if path.is_file() and is_of_a_suite(path):
            try:
                content = read_input(path, LARGEST)
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
            with atomic_file(folder / name) as stream:
                stream.write(content)
            copies.append(folder / name)
    return copies


def recorded_preprocess(places: Iterable[Path]) -> tuple[Preprocess, Path] | None:
    """What `qcc quantize MODEL` has recorded in a folder that it wrote, or above its forms; None when there
    is no such record.

    Raises ConfigError for a record that is damaged.
    """
    for place in places:
        for folder in (place, *place.absolute().parents[:2]):
            path = folder / FILE_NAME
            content = _recorded(path) if path.is_file() else None
            if content is not None:
                return validate(Preprocess, content, Document(str(path), content), ()), path
    return None


def _recorded(path: Path) -> Content | None:
    try:
        record = json.loads(read_input(path, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None  # what is wrong with a record is told by whoever needs it
    data = record.get("data") if isinstance(record, dict) else None
    content = data.get("preprocess") if isinstance(data, dict) else None
    return content if isinstance(content, dict) else None


def load_preprocess(path: Path) -> Preprocess:
    """The file of `--preprocess`: of this package's grammar, one that Paddle's tools have left, or the record
    of `qcc quantize MODEL`.

    Raises ConfigError.
    """
    content = _recorded(path) if path.name == FILE_NAME and path.is_file() else None
    if content is not None:
        return validate(Preprocess, content, Document(str(path), content), ())
    return (read_foreign(path) if path.exists() else None) or read_preprocess(path)


def no_preprocess(model_place: Path, image_shape: tuple[int, ...] | None) -> ConfigError:
    """What to say when nothing tells how images are prepared: what is missing, and a file to start from."""
    return ConfigError(
        f"nothing beside {model_place} says how images are prepared for the model ({', '.join(NAMES)}, as"
        " Paddle's suites leave them): give --preprocess FILE.yml, for a start with what follows, in which"
        f" sizes, mean and std are guesses.\n\n{template(image_shape)}"
    )
