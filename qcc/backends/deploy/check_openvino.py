"""Running written files in OpenVINO, and comparing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from qcc.backends import fluid
from qcc.backends.again import Outcome, run_both, weigh, with_other_size
from qcc.backends.apart import Apart, Wrong, blamed, take_apart
from qcc.backends.check import ANOTHER, NO_CHECK, Written, read_files, way_out
from qcc.backends.engines.openvino import OpenVino, not_read, openvino_missing
from qcc.backends.judge import NOT_TOGETHER
from qcc.backends.reference import Reference, reference
from qcc.backends.report import Check
from qcc.backends.samples import feeds_of
from qcc.errors import EngineError, GraphError, PaddleError
from qcc.model import Model
from qcc.passes.zero_points import with_zero_points


def check_in_openvino(model: Model, files: Written, data: Mapping[str, np.ndarray] | None) -> list[Check]:
    """Run written files in OpenVINO, and compare with Paddle's executor, op for op.

    `data` is an input of the model; without, one is made up. Without OpenVINO the check says that it was
    not run. Raises OutputError when the files do not run, or give other numbers than rounding explains.
    """
    missing = openvino_missing()
    if missing is not None:
        return [Check("OpenVINO", f"not run, because {missing}", good=False)]
    try:
        with _for_paddle(model, files) as (program, params):
            found = reference(model, program, params, data, feeds=feeds_of(model))
            with _opened(found.program, params) as engine:
                both = run_both(found, engine.run)
                kernels = engine.kernels
            outcome = _judged(found, both.outputs)
            if outcome.right:
                check = Check("OpenVINO", outcome.words)
                return [*with_other_size(check, found, both, _judged), Check("OpenVINO", kernels)]
    except GraphError as error:
        return [Check("OpenVINO", f"not run, because {str(error).rstrip('.')}", good=False)]
    except PaddleError as error:
        raise files.error(f"{str(error).rstrip('.')}; {NO_CHECK}") from error
    except EngineError as error:
        raise files.error(f"{not_read(error)}; {NO_CHECK}") from error
    raise files.error(f"OpenVINO: {outcome.words}; {NO_CHECK}")


def _judged(found: Reference, outputs: list[np.ndarray]) -> Outcome:
    return weigh(
        found,
        found.distances(outputs),
        lambda: blamed(found, take_apart(found), _wrong_in),
        lambda wrong: _blame(found, wrong),
    )


def _wrong_in(apart: Apart) -> Wrong | None:
    with _opened(apart.program, apart.params) as engine:
        outputs = engine.run(apart.inputs)
    return apart.wrong(outputs)


def _blame(found: Reference, wrong: Wrong | None) -> str:
    if wrong is None:
        return f"{NOT_TOGETHER}; {ANOTHER}"
    return f"{wrong}; {way_out(found.graph, wrong.op, ANOTHER)}"


@contextmanager
def _for_paddle(model: Model, files: Written) -> Iterator[tuple[Path, Path | None]]:
    """Program and parameters by which Paddle computes what OpenVINO computes by the written ones."""
    if with_zero_points(model.graph) is model.graph:
        yield files.program, files.params
        return
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        program, *params = fluid.write_files(model.graph, Path(folder), fluid.file_names())
        yield Path(folder) / program, Path(folder) / params[0] if params else None


@contextmanager
def _opened(program: Path, params: Path | None) -> Iterator[OpenVino]:
    """A model that Paddle computes in OpenVINO, which knows a program by its ending, and finds the parameters
    under the same name."""
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        place = Path(folder) / "model.pdmodel"
        graph = read_files(program, params)
        stored = with_zero_points(graph)
        if stored is graph:
            place.symlink_to(program.absolute())
            if params is not None:
                place.with_suffix(".pdiparams").symlink_to(params.absolute())
        else:
            fluid.write_files(stored, Path(folder), fluid.file_names(place.name))
        with OpenVino(place) as engine:
            yield engine
