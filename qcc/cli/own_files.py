"""What stands where a command is about to write: only what qcc wrote itself is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from qcc.errors import OutputError

NB, ONNX = "model.nb", "model.onnx"
"""The file for an engine, in a folder of the target's name."""

_LARGEST = 1 << 26
_HEAD = 4096

OwnFiles = Mapping[str, Callable[[Path], bool]]
"""Names of files, and what tells that one was written by qcc."""


def check_place(
    output: Path,
    folders: Iterable[str],
    files: OwnFiles,
    names: Mapping[str, Container[str]] = MappingProxyType({}),
) -> None:
    """Raise OutputError where something is in the way of folders with a model each, or of files, that are to
    be written to `output`; `names`: of a model's files in a folder, where they are not the usual ones."""
    from qcc.files import check_folder, finish_around

    check_folder(output)
    finish_around(output)  # what a killed run has not moved is no stranger's
    for name in folders:
        place = output / name
        if place.is_symlink():
            raise OutputError(
                f"{place} is a link, through which nothing is written: remove it, or give another folder."
            )
        check_folder(place)
        _check_model(place, names.get(name))
    for name, is_own in files.items():
        path = output / name
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is in the way, and is no file: move it, or give another folder.")
        if path.exists() and not is_own(path):
            raise _in_the_way(path)


def refuse_folder(program: Path, *outputs: Path) -> None:
    """Raise OutputError where one of the folders to write to is that of the model that is read."""
    for place in outputs:
        if place.exists() and place.samefile(program.parent):
            raise OutputError(f"{place} holds the model that is read: give -o another folder.")


def check_model_place(output: Path, program: Path, names: Iterable[str]) -> None:
    """Raise OutputError where files of a model of others are in the way of one that is written to `output`
    under these names, with what stands beside `program`."""
    from qcc.calibrate.data.suites import NAMES

    names = tuple(names)
    beside = (name for name in NAMES if (program.parent / name).exists())
    check_place(output, (), dict.fromkeys((*names, *beside), is_recorded))
    _keep_record(output, names, of_model=True)


def keep_models_record(output: Path) -> None:
    """Raise OutputError where the folder for the forms of a model holds one itself, whose record that of the
    forms would replace."""
    _keep_record(output, (), of_model=False)


def _keep_record(folder: Path, names: Container[str], *, of_model: bool) -> None:
    """Raise OutputError where a record would be lost: of a model of other names than these, or, where the new
    one is `of_model`, of what `qcc quantize` has written."""
    from qcc.record import FILE_NAME

    record = _json(folder / FILE_NAME)
    files = record.get("files")
    if isinstance(files, dict):
        kept = next((name for name in files if name not in names and (folder / name).exists()), None)
    else:
        kept = "what `qcc quantize` has written" if of_model and "qcc" in record else None
    if kept is not None:
        raise OutputError(
            f"{folder / FILE_NAME} is the record of {kept}, and a folder holds one: give another folder."
        )


def is_recorded(path: Path) -> bool:
    """Whether a file stands beside the record of a model that qcc wrote."""
    from qcc.record import FILE_NAME

    return is_record(path.with_name(FILE_NAME))


def is_page(path: Path) -> bool:
    """Whether a file is a page that qcc wrote, such as a report.html."""
    from qcc.analyze.page.frame import read_page

    with suppress(OutputError):
        read_page(path)
        return True
    return False


def is_report(path: Path) -> bool:
    """Whether a file is the report.md of a quantized model."""
    from qcc.inputs import open_input

    with suppress(OSError), open_input(path) as stream:
        first, _, *others = [*stream.read(_HEAD).decode(errors="replace").split("\n"), "", ""]
        return first.startswith("# ") and first.endswith(", quantized") and others[0].startswith("Effort ")
    return False


def is_record(path: Path) -> bool:
    """Whether a file is a JSON record that names the version of qcc."""
    return "qcc" in _json(path)


def is_selftest(path: Path) -> bool:
    """Whether a file lies in a folder that `qcc export --selftest` wrote."""
    return (path.parent / "selftest.txt").is_file()


def is_run(path: Path) -> bool:
    """Whether a file is the JSON record of a training."""
    return {"command", "environment", "settings"} <= _json(path).keys()


def is_analysis(path: Path) -> bool:
    """Whether a file is what `qcc analyze` writes beside its page."""
    return {"model", "facts", "ops", "notes"} <= _json(path).keys()


def _json(path: Path) -> dict[str, object]:
    from qcc.inputs import read_input

    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(read_input(path, _LARGEST))
        return found if isinstance(found, dict) else {}
    return {}


def _check_model(folder: Path, names: Container[str] | None) -> None:
    """Raise OutputError for files of a model that has no record of qcc, or one that names others than the
    model to be written has: beside each other, nobody could tell which is meant."""
    from qcc.backends.fluid import file_names
    from qcc.record import FILE_NAME, RECORD_SUFFIX

    records = dict.fromkeys((*file_names(), *file_names("model")), FILE_NAME)
    records |= {name: name + RECORD_SUFFIX for name in (NB, ONNX)}
    for name, record in records.items():
        if (folder / name).exists() and not (folder / record).exists():
            raise _in_the_way(folder / name)
    _keep_record(folder, records if names is None else names, of_model=True)


def _in_the_way(path: Path) -> OutputError:
    return OutputError(
        f"{path} is in the way: qcc replaces only what it wrote itself; move it, or give another folder."
    )
