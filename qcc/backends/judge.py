"""Whether an engine computes what a model's files say, and if not, which op it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qcc.backends.agreement import MANY, MOST, Distance, distances, furthest
from qcc.backends.apart import Apart, Wrong, take_apart, wider, worst_of
from qcc.backends.onednn_rounding import as_onednn_rounds, rounded_again
from qcc.backends.predictor import Engine, PaddleExecutor, Predictor
from qcc.backends.reference import Reference, write_opened
from qcc.errors import PaddleError
from qcc.ir.graph import Graph
from qcc.quantization import op_name, quantized_ops
from qcc.targets.processor import has_vnni

FLOAT_ENGINES = (Engine(), Engine(onednn=True))
_ROUNDED = ".rounded"
FROM_TIES = "from ties alone: on equal inputs each op is right"
NOT_TOGETHER = "each op is right by itself, but not all of them together"


_FAR = 0.02
"""Outputs that are off by more on average, though the model moves as far by itself, may be so for another
reason. Where all of the weights of one convolution are half as large again, a classifier that is off by 0.03
in a right engine is off by 0.06."""


@dataclass(frozen=True)
class Judgement:
    """`right`: no output is further off than it may be. `distance` is that of the worst output."""

    right: bool
    distance: Distance
    found: list[Distance]


def judge(reference: Reference, engine: Engine) -> Judgement:
    """Run an engine on a reference's sample, and compare.  Raises PaddleError when it does not run."""
    return judge_outputs(reference, engine, _run(reference, engine))


def judge_outputs(reference: Reference, engine: Engine, outputs: Sequence[np.ndarray]) -> Judgement:
    """Compare what an engine gives on a reference's sample.

    Raises PaddleError when Paddle does not run what that is to be compared with.
    """
    found = reference.distances(outputs)
    if not engine.int8 or all_within(found, reference.limits()):
        return Judgement(all_within(found, reference.limits()), furthest(*found), found)
    expected = _as_rounded(reference, engine, reference.graph, reference.names, reference.sample.inputs)
    exact = distances(outputs, expected.values)
    right = _within(reference, [(exact, [])])
    if right is not None:
        return Judgement(True, furthest(*right), right)
    ways: list[_Way] = [
        (exact, expected.rough),
        # What is no further off than the roughest is right as well where both round to other steps.
        (found, reference.distances(expected.roughest)),
    ]
    right = _within(reference, ways)
    if right is None and any(_may_be_right(seen, reference.outputs) for seen, _ in ways):
        see_movements(reference)
        right = _within(reference, ways)
    seen = exact if right is None else right
    return Judgement(right is not None, furthest(*seen), seen)


_Way = tuple[list[Distance], list[Distance]]
"""How far outputs are off, and how far what is as rough as it may be is."""


def _within(reference: Reference, ways: Sequence[_Way]) -> list[Distance] | None:
    """The first distances that are no further than they may be."""
    for seen, rough in ways:
        limits = wider(reference.limits(), rough, reference.outputs)
        if _may_be_right(seen, reference.outputs) and all_within(seen, limits):
            return seen
    return None


def first_wrong_op(reference: Reference, engine: Engine) -> Wrong | None:
    """The op that an engine gets wrong on equal inputs; None when there is none, so that it is the ops
    together that go wrong.  Raises PaddleError when the engine does not run the ops apart."""
    return worst_of(_wrong_in(reference, engine, apart) for apart in take_apart(reference))


def _wrong_in(reference: Reference, engine: Engine, apart: Apart) -> Wrong | None:
    found = Predictor(apart.program, apart.params, engine).run(apart.inputs)
    if not engine.int8:
        return apart.worst(found)
    expected = _as_rounded(reference, engine, apart.cut.graph, apart.cut.ends, apart.inputs)
    return apart.wrong(found, lambda: expected.rough, expected.values)


def is_wrong_in_float(reference: Reference, wrong: Wrong) -> bool:
    """Whether oneDNN's float kernels get an op of a quantized model wrong as well.  Raises PaddleError."""
    as_float = _wrong_in(reference, Engine(onednn=True), wrong.apart)
    return as_float is not None and op_name(as_float.op) == op_name(wrong.op)


@dataclass
class _Expected:
    """What is right in an int8 engine, and what is as rough as it may be; see `_as_rounded`."""

    executor: PaddleExecutor
    inputs: Mapping[str, np.ndarray]
    names: Sequence[str]
    coarse: Sequence[str]

    def __post_init__(self) -> None:
        self.values = self.executor.run(self.inputs, self.names)

    @cached_property
    def roughest(self) -> list[np.ndarray]:
        """The values where weights lose their last bit, if the engine rounds some once more."""
        if not self.coarse:
            return self.values
        return self.executor.run(self.inputs, self.names, self.coarse)

    @cached_property
    def rough(self) -> list[Distance]:
        """How far the roughest are off."""
        return distances(self.roughest, self.values)


def _as_rounded(
    reference: Reference,
    engine: Engine,
    graph: Graph,
    names: Sequence[str],
    inputs: Mapping[str, np.ndarray],
) -> _Expected:
    """What a graph gives when it rounds where oneDNN's int8 engine does, and how rough its weights may be."""
    listed = engine.int8_ops or tuple({one.op.type for one in quantized_ops(graph)})
    program = reference.beside(_ROUNDED)
    write_opened(as_onednn_rounds(graph, listed), names, program)
    executor = PaddleExecutor(program, reference.params)
    return _Expected(executor, inputs, names, rounded_again(graph, listed, has_vnni()))


def see_movements(reference: Reference) -> None:
    """Let a reference see how far its outputs move in Paddle's fused float kernels and in oneDNN's, and when
    a few of its integers are off by one.

    A run that would be wrong itself is no measure: it would excuse whatever is wrong in the same way.
    """
    allowed = reference.limits()
    reference.see_ties()
    for engine in FLOAT_ENGINES:
        if engine not in reference.engines:
            with suppress(PaddleError):
                found = reference.distances(_run(reference, engine))
                if all_within(found, allowed):
                    reference.movements.append(found)


def _run(reference: Reference, engine: Engine) -> list[np.ndarray]:
    return opened(reference, engine).run(reference.sample.inputs)


def opened(reference: Reference, engine: Engine) -> Predictor:
    """A reference's files in an engine.  Raises PaddleError when it does not load them."""
    reference.engines.add(engine)
    return Predictor(reference.program, reference.params, engine)


def all_within(found: Sequence[Distance], allowed: Sequence[Distance]) -> bool:
    return all(one.within(limit) for one, limit in zip(found, allowed, strict=True))


def is_far(found: Sequence[Distance]) -> bool:
    """Whether outputs that are off as they may be are still so far off that each op is to be looked at."""
    return any(one.mean > _FAR for one in found)


def _may_be_right(found: Sequence[Distance], outputs: Sequence[np.ndarray]) -> bool:
    return all(
        one.mean <= MOST and (one.largest <= MOST or (one.sound and output.size >= MANY))
        for one, output in zip(found, outputs, strict=True)
    )
