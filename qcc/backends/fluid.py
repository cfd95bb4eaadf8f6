"""The target "fluid": Paddle's inference models, a program file and a parameter file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qcc import record
from qcc.backends.check import Written, check_runs, check_turned_back, read_back
from qcc.backends.program_file import inference_program
from qcc.backends.report import Check, Saved
from qcc.errors import OutputError, TargetError
from qcc.files import publish, staging, write_json
from qcc.frontend.layout import PARAMS_NAMES
from qcc.frontend.program_file import ProgramFile
from qcc.frontend.suffixes import PARAMS_SUFFIX, PROGRAM_SUFFIX
from qcc.ir.graph import Graph
from qcc.ir.tensor_stream import write_tensor
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.integer_weights import integer_weights
from qcc.quantization import scheme, state

FORMS = ("float", "int8", "qdq")
DEFAULT_FORM = "float"

_PROGRAM_NAME = "model" + PROGRAM_SUFFIX


def save(
    model: Model,
    folder: Path,
    form: str,
    model_filename: str | None,
    params_filename: str | None,
    check: bool | Mapping[str, np.ndarray],
) -> Saved:
    """See `qcc.save`."""
    names = file_names(model_filename, params_filename)
    prepared = in_form(model, form)

    def checked(files: Written) -> list[Check]:
        return _check(model, prepared, form, files, None if check is True or check is False else check)

    return write(prepared, folder, form, names, checked if check is not False else None)


def write(
    model: Model,
    folder: Path,
    form: str,
    names: tuple[str, str],
    check: Callable[[Written], list[Check]] | None,
    engine: dict[str, Any] | None = None,
    stored: Graph | None = None,
) -> Saved:
    """Write a model as it is, under these names of program and parameters, as one change.

    `check` looks at the files before they appear; `engine` goes into the record. `stored`: what the files
    hold, where Paddle would compute something else from it (see `qcc.passes.zero_points`).
    """
    verify(model.graph, scales=False)
    with staging(folder) as staged:
        try:
            written = write_files(model.graph if stored is None else stored, staged, names)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to: {error.strerror}.") from error
        files = Written(staged / names[0], staged / names[1] if written[1:] else None, folder)
        checks = [] if check is None else check(files)
        _write_record(model, form, staged, written, engine)
        publish(staged, folder, [*written, record.FILE_NAME])
    return Saved(form, tuple(folder / name for name in [*written, record.FILE_NAME]), tuple(checks))


def file_names(program: str | None = None, params: str | None = None) -> tuple[str, str]:
    """The names under which program and parameters are saved.  Raises OutputError for unfit ones."""
    program = program or _PROGRAM_NAME
    if params is None:
        if program.endswith(PROGRAM_SUFFIX):
            params = program.removesuffix(PROGRAM_SUFFIX) + PARAMS_SUFFIX
        elif program in PARAMS_NAMES:
            params = PARAMS_NAMES[program][0]
        else:
            raise OutputError(
                f"{program!r} does not tell what its parameters are to be called: call the program"
                f" NAME{PROGRAM_SUFFIX}, {' or '.join(PARAMS_NAMES)}, or from Python give params_filename."
            )
    for name in (program, params):
        if not name or Path(name).name != name or name.startswith(".") or name == record.FILE_NAME:
            raise OutputError(f"{name!r} cannot be the name of a model's file inside its folder.")
    if program == params:
        raise OutputError(f"program and parameters cannot both be named {program!r}.")
    return program, params


def in_form(model: Model, form: str) -> Model:
    """The model in a form; itself when it is in it already.

    Raises TargetError when there is no way from here to there, PassError when the pass that leads
    there refuses.
    """
    present = state(model.graph)
    if not model.graph.for_test:
        raise TargetError(
            "the model is a training graph, which an inference model cannot hold: transform and save the test"
            " graph, with the weights that training left."
        )
    if form == "float":
        packed = [name for name, array in model.weights.items() if array.dtype == np.int8]
        if present in ("int8", "qdq"):
            raise TargetError(
                f"the model is in form {present}, with {len(packed)} INT8 weights, so it cannot be saved as"
                f" form 'float': save it as {present!r}, or save the frozen model from before that pass"
                + f" (pass `{'unpack' if present == 'int8' else 'freeze'}` leads back to it)."
            )
        if any(True for _ in integer_weights(model.graph)):
            raise TargetError(
                "the model's weights alone are integers (weight-only), which Paddle has no kernels for: turn"
                " them back with the pass `unpack`, or export it for Paddle Lite."
            )
        return model
    if present == form:
        return model
    if present == "qdq":
        raise TargetError(
            f"the model is in form qdq: run the pass `freeze`, which leads back to the frozen model, before"
            f" saving it in form {form!r}."
        )
    return PassManager.parse(form).run(model)


def write_files(graph: Graph, folder: Path, names: tuple[str, str]) -> list[str]:
    """Write program and parameters; a model without parameters has no parameter file, as in Paddle."""
    program = inference_program(graph)
    program_name, params_name = names
    (folder / program_name).write_bytes(program.SerializeToString(deterministic=True))
    persistables = ProgramFile(folder / program_name, program, graph.feeds, graph.fetches).persistables
    if not persistables:
        return [program_name]
    missing = [name for name in persistables if name not in graph.weights]
    if missing:
        raise TargetError(
            f"{len(missing)} persistable variables have no value, the first being {missing[0]!r}."
        )
    with (folder / params_name).open("wb") as stream:
        for name, var in persistables.items():
            write_tensor(stream, graph.weights[name], var.type.lod_tensor.tensor.data_type)
    return [program_name, params_name]


def _check(
    original: Model, prepared: Model, form: str, files: Written, inputs: Mapping[str, np.ndarray] | None
) -> list[Check]:
    loaded = read_back(prepared, files)
    checks = [Check("read back", "program and weights equal, bit for bit")]
    if form == "int8":
        return [*checks, check_turned_back(loaded, original, files)]
    return [*checks, *check_runs(prepared, files, inputs)]


def _write_record(
    model: Model, form: str, folder: Path, written: list[str], engine: dict[str, Any] | None
) -> None:
    graph = model.graph
    files = [folder / name for name in written]
    made = record.make_record(form, state(graph), scheme(graph), model.provenance, files, engine)
    write_json(folder / record.FILE_NAME, made.content())
