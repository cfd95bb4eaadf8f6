"""Checks of files that were written: read back and compared, then run and compared.

What can be compared exactly is: program and weights, bit for bit; and a run in `paddle.inference`
without fused ops, which uses the kernels of `Model.run` in the same order.

The rest cannot. Fused kernels round differently; in a quantized model a value on a rounding boundary
then becomes the neighbouring integer, and layer by layer the difference grows: cosines of 0.94 between
two right answers have been seen on a deep net. The int8 kernels of oneDNN moreover choose scales of
their own between layers, and saturate on processors without VNNI. So a quantized model must run
there and give finite numbers; how far the numbers agree is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc.backends.agreement import OTHER_LENGTHS, compare, lengths
from qcc.backends.predictor import Engine, Predictor
from qcc.backends.program_file import inference_program
from qcc.backends.report import Check
from qcc.backends.samples import Sample, find_sample
from qcc.errors import GraphError, OutputError, PaddleError
from qcc.frontend.params import combined, read_weights
from qcc.frontend.program_file import read_program
from qcc.ir.graph import Graph
from qcc.ir.weights import Weights
from qcc.model import Model
from qcc.passes.frozen import frozen_ops
from qcc.passes.static_scales import is_dynamic
from qcc.passes.unpack import Unpack
from qcc.quantization import state

_UNFUSED = Engine(optimize=False)
_ENGINES = (Engine(), Engine(onednn=True), Engine(onednn=True, int8=True))
# Without the ops between the layers: oneDNN then does not give their inputs scales of its own making.
_LAYERS_ONLY = Engine(
    onednn=True, int8=True, int8_ops=("conv2d", "depthwise_conv2d", "fused_conv2d", "fc", "matmul")
)

_OTHER_SCALES = (
    "not for this model, which measures activation scales at every run (activation type abs_max): these"
    " kernels take others; fix the scales with `qcc freeze --calibrate`"
)

_ROUNDING = 1e-5
_FUSED_ROUNDING = 1e-3
_TIES = 0.1
_SANE_COSINE = 0.9


@dataclass(frozen=True)
class Written:
    """Files that wait to be moved into the folder `shown`, which is the one that errors name."""

    program: Path
    params: Path | None
    shown: Path

    def error(self, what: str) -> OutputError:
        return OutputError(f"{self.shown / self.program.name} was not written: {what}.")


def read_back(model: Model, files: Written) -> Model:
    """Read written files; they must hold the model's program and weights.  Raises OutputError."""
    program = read_program(files.program)
    weights = read_weights(program, combined(program, files.params)) if files.params else Weights()
    loaded = Model(program.graph(weights, for_test=True))
    _require_equal(model.graph, loaded.graph, files)
    return loaded


def check_turned_back(packed: Model, original: Model, files: Written) -> Check:
    """With its INT8 weights turned back, a read-back model must be the original.  Raises OutputError."""
    turned_back, wanted = packed.graph.copy(), original.graph.copy()
    for graph in (turned_back, wanted):
        Unpack().apply(graph)
    for found in frozen_ops(wanted):
        # Rounding leaves some zeros negative; integers have one zero only.
        wanted.weights[found.weight.name] = wanted.weights[found.weight.name] + 0.0
    _require_equal(wanted, turned_back, files)
    count = sum(array.dtype == np.int8 for array in packed.weights.values())
    return Check("INT8 weights turned back", f"all {count} equal, bit for bit")


def _require_equal(wanted: Graph, found: Graph, files: Written) -> None:
    if inference_program(found) != inference_program(wanted):
        raise files.error("the program, read back, is another one")
    for name in sorted({*_stored(wanted), *found.weights}):
        if not _same_bits(wanted.weights, found.weights, name):
            raise files.error(f"the value of {name!r}, read back, is another one")


def _stored(graph: Graph) -> set[str]:
    return {name for name in graph.weights if name in graph and graph.var(name).persistable}


def _same_bits(left: Weights, right: Weights, name: str) -> bool:
    if name not in left or name not in right:
        return False
    a, b = left[name], right[name]
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_runs(model: Model, files: Written, inputs: Mapping[str, np.ndarray] | None) -> list[Check]:
    """Run written files in `paddle.inference` in every way and compare with `Model.run`.

    `inputs` are made up when None. Raises OutputError when the files do not run, or, where that is
    exact, give other numbers.
    """
    try:
        sample = find_sample(model) if inputs is None else Sample(inputs, model.run(inputs))
    except GraphError as error:
        return [Check("paddle.inference", f"not run, because {error}", good=False)]
    form = state(model.graph)
    checks = [_check_unfused(files, sample, form != "float")]
    if "transformed" in form:
        # It is for training and evaluation; some of its ops do not survive Paddle's optimizations.
        return checks
    for engine in _ENGINES:
        if engine.int8 and is_dynamic(model.graph):
            checks.append(Check(f"paddle.inference, {engine}", _OTHER_SCALES, good=False))
        else:
            checks += _check_engine(files, sample, form != "float", engine)
    return checks


def _check_unfused(files: Written, sample: Sample, quantized: bool) -> Check:
    what = f"paddle.inference, {_UNFUSED}"
    try:
        agreement = compare(_run(files, sample, _UNFUSED), sample.outputs)
    except PaddleError as error:
        raise files.error(f"{what} does not run it: {_cause(error)}") from error
    if agreement.relative > _ROUNDING and not (quantized and agreement.distance <= _TIES):
        raise files.error(f"{what} gives other numbers than the model: {agreement}")
    return Check(what, str(agreement))


def _check_engine(files: Written, sample: Sample, quantized: bool, engine: Engine) -> list[Check]:
    what = f"paddle.inference, {engine}"
    try:
        outputs = _run(files, sample, engine)
    except PaddleError as error:
        if not engine.onednn:
            raise files.error(f"{what} does not run it: {_cause(error)}") from error
        return [Check(what, f"does not run: {_cause(error)}", good=False)]
    if quantized and lengths(outputs) != lengths(sample.outputs):
        return [Check(what, OTHER_LENGTHS, good=False)]
    agreement = compare(outputs, sample.outputs)
    if not quantized:
        return [Check(what, str(agreement), good=agreement.relative <= _FUSED_ROUNDING)]
    if agreement.sound and agreement.cosine >= _SANE_COSINE:
        return [Check(what, str(agreement))]
    checks = [Check(what, f"{agreement}: not what the model was evaluated with", good=False)]
    if engine.int8 and not engine.int8_ops:
        checks += _check_engine(files, sample, quantized, _LAYERS_ONLY)
    return checks


def _run(files: Written, sample: Sample, engine: Engine) -> list[np.ndarray]:
    return Predictor(files.program, files.params, engine).run(sample.inputs)


def _cause(error: PaddleError) -> str:
    return str(error.__cause__ or error)
