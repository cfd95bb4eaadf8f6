"""Running written files in OpenVINO, and comparing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qcc.backends.agreement import furthest
from qcc.backends.check import Written
from qcc.backends.engines.openvino import OpenVino, openvino_missing
from qcc.backends.judge import all_within, see_float_engines
from qcc.backends.reference import reference
from qcc.backends.report import Check
from qcc.errors import EngineError, GraphError, PaddleError
from qcc.model import Model


def check_in_openvino(model: Model, files: Written, data: Mapping[str, np.ndarray] | None) -> Check:
    """Run written files in OpenVINO, and compare with Paddle's executor, op for op.

    `data` is an input of the model; without, one is made up. Without OpenVINO the check says that it was
    not run. Raises OutputError when the files do not run, or give other numbers than rounding explains.
    """
    missing = openvino_missing()
    if missing is not None:
        return Check("OpenVINO", f"not run, because {missing}", good=False)
    try:
        found = reference(model, files.program, files.params, data)
        see_float_engines(found)
        outputs = _run(found.program, files.params, found.sample.inputs)
    except GraphError as error:
        return Check("OpenVINO", f"not run, because {str(error).rstrip('.')}", good=False)
    except (PaddleError, EngineError) as error:
        raise files.error(f"{str(error).rstrip('.')}; --no-check writes it all the same") from error
    seen = found.distances(outputs)
    words = f"{furthest(*seen)} on {found.sample.source}"
    if not all_within(seen, found.limits()):
        raise files.error(f"OpenVINO: {words}, which is wrong; --no-check writes it all the same")
    return Check("OpenVINO", words)


def _run(program: Path, params: Path | None, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """OpenVINO knows a program by its ending, and finds the parameters under the same name."""
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        place = Path(folder) / "model.pdmodel"
        place.symlink_to(program.absolute())
        if params is not None:
            place.with_suffix(".pdiparams").symlink_to(params.absolute())
        with OpenVino(place) as engine:
            return engine.run(inputs)
