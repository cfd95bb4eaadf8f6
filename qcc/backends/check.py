"""Checks of files that were written: read back and compared, then run and compared.

What can be compared exactly is: program and weights, bit for bit, as qcc reads them back and as Paddle does.

The rest cannot: kernels round differently, and the int8 kernels of oneDNN lose a bit on processors without
VNNI. How far an engine may be off is measured on the model itself; see `agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc.backends.again import Outcome, run_both, with_other_size
from qcc.backends.engines.paddle import Died
from qcc.backends.judge import (
    FLOAT_ENGINES,
    FROM_TIES,
    NOT_TOGETHER,
    first_wrong_op,
    is_far,
    is_wrong_in_float,
    judge_outputs,
    opened,
)
from qcc.backends.predictor import Engine
from qcc.backends.program_file import inference_program
from qcc.backends.reference import Reference, reference
from qcc.backends.report import PADDLE_INFERENCE, Check
from qcc.backends.samples import feeds_of
from qcc.errors import GraphError, OutputError, PaddleError
from qcc.frontend.params import combined, read_weights
from qcc.frontend.program_file import read_program
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.weights import Weights
from qcc.model import Model
from qcc.passes.frozen import are_whole, frozen_ops
from qcc.passes.static_scales import is_dynamic
from qcc.passes.unpack import Unpack
from qcc.quantization import quantized_op, state

ANOTHER, NO_CHECK = "run the model in another engine", "--no-check writes it all the same"
_FORM = "write the form for this engine, by `qcc freeze --target paddle-x86`"
# Of a model with weights that stand for integers and are none, that form cannot be written.
_WHOLE = f"quantize the model again with whole weights (round_type='round'), or {ANOTHER}"
# What is not quantized, and has no form for an engine.
_WAYS = {"float": ANOTHER, "weight-only": f"turn its weights back with `qcc apply -p unpack`, or {ANOTHER}"}
_INT8 = Engine(onednn=True, int8=True)

_OTHER_SCALES = (
    "not for this model, which measures activation scales at every run (activation type abs_max): these"
    " kernels take others; fix the scales with `qcc freeze --calibrate`"
)


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
    loaded = Model(read_files(files.program, files.params))
    _require_equal(model.graph, loaded.graph, files)
    return loaded


def read_files(program: Path, params: Path | None) -> Graph:
    """The graph of a program file and the parameters beside."""
    found = read_program(program)
    weights = read_weights(found, combined(found, params)) if params else Weights()
    return found.graph(weights, for_test=True)


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


def check_runs(
    model: Model,
    files: Written,
    data: Mapping[str, np.ndarray] | None = None,
    required: Engine | None = None,
) -> list[Check]:
    """Run written files with Paddle, op for op and in its engines, and compare.

    `data` is an input of the model, such as one batch of what it was calibrated on; without, inputs are made
    up. `required` is the engine that the files are written for: no other one is tried, and what it gets wrong
    is an error. Otherwise all are tried that the form is made for, and what one gets wrong is a check that is
    not good, and names the op.

    Raises OutputError when Paddle does not read the files as they were written or does not run them op for
    op, and when the required engine does not run them or gives other numbers.
    """
    try:
        # What is for training and evaluation is not deployed.
        deployed = "transformed" not in state(model.graph)
        feeds = feeds_of(model) if deployed else ()
        found = reference(model, files.program, files.params, data, feeds=feeds)
    except GraphError as error:
        return [Check("Paddle", f"not run, because {str(error).rstrip('.')}", good=False)]
    except PaddleError as error:
        raise files.error(str(error).rstrip(".")) from error
    checks = [Check("Paddle", f"reads the same weights, bit for bit, and runs on {found.sample.source}")]
    if not deployed:
        # Some of its ops do not survive Paddle's optimizations.
        return checks
    if required is not None:
        found_there = _check(found, required, ANOTHER)
        if not found_there[0].good:
            raise files.error(f"{found_there[0]}; {NO_CHECK}")
        return [*checks, *found_there]
    # Whoever wants float kernels takes another form than QDQ.
    engines = (_INT8,) if "qdq" in state(model.graph) else (*FLOAT_ENGINES, _INT8)
    return [*checks, *(check for engine in engines for check in _check(found, engine))]


def _check(found: Reference, engine: Engine, way: str | None = None) -> list[Check]:
    """`way`: what to do about an op that is wrong, where that is not to write the form for the engine."""
    what = f"{PADDLE_INFERENCE}, {engine}"
    if engine.int8 and is_dynamic(found.graph):
        return [Check(what, _OTHER_SCALES, good=False)]

    def judged(reference: Reference, outputs: list[np.ndarray]) -> Outcome:
        return _judged(reference, engine, outputs, way)

    try:
        both = run_both(found, opened(found, engine).run)
        outcome = judged(found, both.outputs)
    except PaddleError as error:
        return [Check(what, f"does not run: {_cause(error)}", good=False)]
    if not outcome.right:
        return [Check(what, outcome.words, good=False)]
    return with_other_size(Check(what, outcome.words), found, both, judged)


def _judged(found: Reference, engine: Engine, outputs: list[np.ndarray], way: str | None) -> Outcome:
    judgement = judge_outputs(found, engine, outputs)
    present = state(found.graph)
    one_by_one = engine.int8 and present not in _WAYS and is_far(judgement.found)
    if judgement.right and not one_by_one:
        if not engine.int8:
            found.movements.append(judgement.found)
        return Outcome(True, str(judgement.distance))
    words = f"{judgement.distance} on {found.sample.source}"
    where = _WAYS[present] if present in _WAYS else _where(found, engine, way)
    # oneDNN's int8 kernels pass integers on to each other, with scales of their own.
    if where is None and (judgement.right or not engine.int8 or found.scatters(judgement.found)):
        if not engine.int8:
            found.movements.append(judgement.found)
        return Outcome(True, f"{words}, {FROM_TIES}")
    return Outcome(False, f"{words}, which is wrong: {where or f'{NOT_TOGETHER}; {ANOTHER}'}")


def _where(found: Reference, engine: Engine, way: str | None) -> str | None:
    """The op that a quantized model goes wrong at, and what to do; None when each is right by itself."""
    try:
        wrong = first_wrong_op(found, engine)
        if wrong is None:
            return None
        in_float = engine.int8 and is_wrong_in_float(found, wrong)
    except PaddleError as error:
        return f"its ops do not run one by one ({_cause(error)})"
    named = str(wrong)
    if in_float:
        return f"{named}, as oneDNN's float kernels get it wrong, too; {ANOTHER}"
    return f"{named}; {way_out(found.graph, wrong.op, way or _way_to_form(found.graph))}"


def _way_to_form(graph: Graph) -> str:
    return _FORM if all(are_whole(graph, one) for one in frozen_ops(graph)) else _WHOLE


def way_out(graph: Graph, op: Op, way: str) -> str:
    """What to do about an op that an engine gets wrong; `way`: what else helps where it is quantized."""
    quantized = quantized_op(graph, op)
    if quantized is None:
        return ANOTHER
    weight = quantized.weight.removesuffix(".int8")
    told = f"`qcc quantize --skip-vars {weight}` or transform{{skip_vars=[{weight}]}}"
    return f"leave it float, by {told}, or {way}"


def _cause(error: PaddleError) -> str:
    if isinstance(error.__cause__, Died):
        return f"the process {error.__cause__}"
    return str(error.__cause__ or error)
