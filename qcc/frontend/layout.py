"""Where a model's files are: every layout that Paddle has used, told apart by names and content."""

from __future__ import annotations

from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend import params
from qcc.frontend.foreign import what_by_name
from qcc.frontend.params import ParamsFile
from qcc.frontend.program_file import ProgramFile, is_paddle3, is_program
from qcc.frontend.suffixes import PADDLE3_SUFFIX, PARAMS_SUFFIX, PROGRAM_SUFFIX

# Parameter files that go by the program's name; the first is what Paddle's examples write.
PARAMS_NAMES = {
    "__model__": ("__params__", "weights"),
    "__model__.infer": ("__params__",),
    "model": ("weights", "params", "__params__"),
}
# Written by paddle.save: pickles, which could run any code when they are read.
_PICKLES = (".pdparams", ".pdopt")


def find_program(path: Path, model_filename: str | None) -> Path:
    """The program file that `path` (a file, a folder or a prefix) means.

    Raises ModelFormatError; when several files could be meant, it lists them.
    """
    try:
        return _find_program(path, model_filename)
    except OSError as error:
        raise ModelFormatError(f"{error.filename or path} cannot be read: {error.strerror}.") from error


def _find_program(path: Path, model_filename: str | None) -> Path:
    _refuse_pickle(path)
    if model_filename is not None:
        folder = path if path.is_dir() else path.parent
        return _existing(folder / model_filename)
    if path.is_file():
        return path
    beside = _with_prefix(path)
    inside = _programs(path) if path.is_dir() and beside else []
    if len(beside) + len(inside) > 1:
        raise _ambiguous(path, [*beside, *inside])
    if beside:
        return beside[0]
    if path.is_dir():
        return _program_in(path)
    if path.exists():
        raise ModelFormatError(f"{path} cannot be read: it is no regular file and no folder.")
    if path.suffix in (PROGRAM_SUFFIX, PADDLE3_SUFFIX):
        raise ModelFormatError(f"{path}: there is no such file and no such folder.")
    raise ModelFormatError(
        f"{path}: there is no such file, no such folder, and no {path.name}{PROGRAM_SUFFIX} or"
        f" {path.name}{PADDLE3_SUFFIX} beside."
    )


def _with_prefix(path: Path) -> list[Path]:
    """The programs whose names begin with the whole path."""
    program, new = (Path(f"{path}{suffix}") for suffix in (PROGRAM_SUFFIX, PADDLE3_SUFFIX))
    return [file for file in (program, new) if file.is_file() and (file == program or is_paddle3(file))]


def _program_in(folder: Path) -> Path:
    found = _programs(folder)
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(folder, found)
    pickles = [path.name for path in _files(folder) if path.suffix in _PICKLES]
    if pickles:
        _refuse_pickle(folder / pickles[0])
    form = folder / "float"
    if form.is_dir() and _programs(form):
        raise ModelFormatError(
            f"{folder} holds a folder for each form of a model: give {form}, for instance."
        )
    raise ModelFormatError(
        f"{folder} holds no Paddle program (a *{PROGRAM_SUFFIX}, a *{PADDLE3_SUFFIX} of Paddle 3,"
        f" `__model__`, `model`, or any other name){_of_others(folder)}."
    )


def _of_others(folder: Path) -> str:
    """The first file of a folder of which it is known what it is, in words."""
    found = ((path.name, what_by_name(path)) for path in _files(folder))
    return next((f"; {name} is {words}" for name, words in found if words is not None), "")


def _programs(folder: Path) -> list[Path]:
    files = _files(folder)
    found = [path for path in files if _is_program_by_name(path) or is_program(path) or is_paddle3(path)]
    # `model` is too common a name to count while another file is a program.
    return found or [path for path in files if path.name == "model"]


def _is_program_by_name(path: Path) -> bool:
    return path.suffix == PROGRAM_SUFFIX or path.name == "__model__"


def _ambiguous(path: Path, found: list[Path]) -> ModelFormatError:
    by_name = len({file.name for file in found}) == len(found)
    names = ", ".join(file.name if by_name else str(file) for file in found)
    return ModelFormatError(
        f"{path} holds several programs ({names}); say which one by model_filename, on the command line"
        " by --model-filename."
    )


def find_params(program: ProgramFile, params_filename: str | None) -> tuple[ParamsFile, ...]:
    """The parameter files that belong to a program.

    Raises ModelFormatError when there are none, when those found do not fit, or when several do.
    """
    folder = program.path.parent
    if params_filename is not None:
        path = folder / params_filename
        _refuse_pickle(path)
        return params.combined(program, _existing(path))
    if not program.persistables:
        return ()
    for name in _usual_names(program.path):
        if (folder / name).is_file():
            return params.combined(program, folder / name)
    files = params.separate(program, folder)
    if all(file.path.is_file() for file in files):
        return files
    return _params_by_content(program, files)


def _usual_names(program: Path) -> tuple[str, ...]:
    if program.suffix in (PROGRAM_SUFFIX, PADDLE3_SUFFIX):
        return (program.stem + PARAMS_SUFFIX,)
    return PARAMS_NAMES.get(program.name, ())


def _params_by_content(program: ProgramFile, files: tuple[ParamsFile, ...]) -> tuple[ParamsFile, ...]:
    folder = program.path.parent
    candidates = [path for path in _files(folder) if path != program.path]
    fitting = [path for path in candidates if params.why_not(program, path) is None]
    if len(fitting) == 1:
        return params.combined(program, fitting[0])
    if fitting:
        names = ", ".join(path.name for path in fitting)
        raise ModelFormatError(
            f"{folder} holds several files that fit {program.path.name} ({names});"
            " say which one with params_filename."
        )
    missing = [file.names[0] for file in files if not file.path.is_file()]
    if len(missing) < len(files):
        raise ModelFormatError(
            f"{folder}: {len(missing)} of the {len(files)} parameter files that {program.path.name} needs"
            f" are missing, the first being {missing[0]!r}."
        )
    pickles = [path for path in candidates if path.suffix in _PICKLES]
    if pickles:
        _refuse_pickle(pickles[0])
    expected = [*_usual_names(program.path), "a file per variable"]
    raise ModelFormatError(
        f"{folder} holds no parameters that fit {program.path.name} (looked for {', '.join(expected)},"
        " and any other file that fits); if they are there, name them with params_filename"
        " to hear why they do not fit."
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelFormatError(f"{path} does not exist or is no file.")
    return path


def _refuse_pickle(path: Path) -> None:
    if path.suffix in _PICKLES:
        raise ModelFormatError(
            f"{path} is a pickle of a training state, which qcc does not open, since reading one can run any"
            " code; export the model with paddle.static.save_inference_model or paddle.jit.save, and give"
            " what that writes."
        )
