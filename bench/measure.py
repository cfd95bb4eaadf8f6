"""Measures one case in a process of its own: `python bench/measure.py CASE PROGRAM REPEATS` prints JSON.

PROGRAM is a file written by `bench/compile.py`. Every repetition works on a fresh graph. Python's garbage
collector is on, as it is for users, and is run before each section that is measured. Before anything is
measured, the same is done to a chain of three layers, so that imports and caches are warm.
"""

from __future__ import annotations

import gc
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from chains import FEED, fetch_name, random_values, stretch

import qcc
from qcc._paddle import IrGraph, core, paddle
from qcc.ir.graph import Graph
from qcc.ir.program import ProgramProto
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import Pass, PassManager, PassResult
from qcc.passes.instruments import Verification

static = paddle.static
paddle.enable_static()

TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
# With activation scales measured at run time, a whole pipeline needs no training in between.
PIPELINE = "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze,int8,prune"

Sections = dict[str, dict[str, float]]


class Clock:
    """Wall and processor seconds (user + system) of named sections."""

    def __init__(self) -> None:
        self.sections: Sections = {}

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.sections[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


class Chain:
    """A program and a scope as a training script holds them."""

    def __init__(self, proto: ProgramProto) -> None:
        self.program = static.Program.parse_from_string(proto.SerializeToString())
        self.training = any(op.type == "sgd" for op in proto.blocks[0].ops)
        self.ops = len(proto.blocks[0].ops)
        self.scope = static.Scope()
        for name, value in random_values(proto).items():
            self.scope.var(name).get_tensor().set(value, paddle.CPUPlace())

    def load(self) -> Model:
        fetches = [fetch_name(self.training)]
        return qcc.from_program(self.program, self.scope, [FEED], fetches, for_test=not self.training)


# ---------------------------------------------------------------------- qcc


def training(chain: Chain) -> Sections:
    """Each step from a training program to the one that is trained."""
    clock = Clock()
    with clock.section("load"):
        model = chain.load()
    with clock.section("verify"):
        verify(model.graph)
    _run_pass(clock, TRANSFORM, model.graph)
    with clock.section("verify transformed"):
        verify(model.graph)
    with clock.section("to_program"):
        _program = model.to_program()
    return clock.sections


def whole_way(chain: Chain) -> Sections:
    """From a training program to the one that is trained, in one go."""
    clock = Clock()
    with clock.section("load, transform, verify, to_program"):
        model = chain.load()
        PassManager.parse(TRANSFORM).apply(model.graph, ())
        verify(model.graph)
        _program = model.to_program()
    return clock.sections


def as_called(chain: Chain) -> Sections:
    """What users call: loading and the way back without a pass between, and a pipeline on a loaded model.

    `run` works on a copy, and verifies it before and after the pass.
    """
    clock, manager = Clock(), PassManager.parse(TRANSFORM)
    with clock.section("load, to_program"):
        model = chain.load()
        _program = model.to_program()
    with clock.section("run"):
        _result = manager.run(model)
    return clock.sections


def inference(chain: Chain) -> Sections:
    """Each pass of the way to INT8 and to QDQ."""
    clock = Clock()
    with clock.section("load"):
        graph = chain.load().graph
    _run_pass(clock, TRANSFORM, graph)
    for op in graph.ops:
        if op.type == "fake_quantize_moving_average_abs_max":
            graph.weights[op.input("InScale").name] = np.ones(1, np.float32)
    for name in ("freeze", "prune", "int8", "unpack"):
        _run_pass(clock, name, graph)
    with clock.section("copy"):
        frozen = graph.copy()
    _run_pass(clock, "qdq", frozen)
    with clock.section("to_program"):
        _program = frozen.to_program()
    return clock.sections


def _run_pass(clock: Clock, text: str, graph: Graph) -> None:
    manager = PassManager.parse(text)
    (step,) = manager.passes
    with clock.section(step.name):
        manager.apply(graph, ())
    # Whoever comes next needs the order of the ops anew.
    with clock.section(f"order after {step.name}"):
        _ = graph.ops


class TimedVerification(Verification):
    """Verification that knows its own processor seconds.

    The order of the ops, which it checks, is not among them: whoever comes next needs it anyway.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        with self._watch(graph):
            super().start(graph, passes)

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        with self._watch(graph):
            super().after(step, graph, result)

    @contextmanager
    def _watch(self, graph: Graph) -> Iterator[None]:
        _ = graph.ops
        began = time.process_time()
        yield
        self.seconds += time.process_time() - began


def pipeline(chain: Chain) -> Sections:
    """A pipeline as users call it, which works on a copy of the model, and verification's part of it."""
    clock, verification = Clock(), TimedVerification()
    manager = PassManager.parse(TRANSFORM if chain.training else PIPELINE)
    model = chain.load()
    with clock.section("pipeline"):
        _result = manager.run(model, (verification,))
    clock.sections["verification"] = {"cpu": verification.seconds}
    with clock.section("copy"):
        _copy = model.copy()
    return clock.sections


# ---------------------------------------------------------------------- Paddle's own passes


def paddle_passes(chain: Chain) -> Sections:
    """Paddle's passes with the same options, on the graph as Paddle makes it."""
    from paddle.static.quantization import (
        ConvertToInt8Pass,
        QuantizationFreezePass,
        QuantizationTransformPass,
    )

    clock, scope, place = Clock(), chain.scope, paddle.CPUPlace()
    with clock.section("load"):
        graph = IrGraph(core.Graph(chain.program.desc), for_test=not chain.training)
    options = {
        "weight_quantize_type": "channel_wise_abs_max",
        "activation_quantize_type": "moving_average_abs_max",
    }
    _apply(clock, "transform", QuantizationTransformPass(scope, place, **options), graph)
    if not chain.training:
        _set_scales(scope, graph)
        weight_type = options["weight_quantize_type"]
        freeze = QuantizationFreezePass(scope, place, weight_quantize_type=weight_type)
        _apply(clock, "freeze", freeze, graph)
        _apply(clock, "int8", ConvertToInt8Pass(scope, place), graph)
    with clock.section("to_program"):
        _program = graph.to_program()
    return clock.sections


def paddle_as_called(chain: Chain) -> Sections:
    """Paddle's own way into its graph and back, without a pass between."""
    clock = Clock()
    with clock.section("load, to_program"):
        graph = IrGraph(core.Graph(chain.program.desc), for_test=not chain.training)
        _program = graph.to_program()
    return clock.sections


def _apply(clock: Clock, name: str, paddle_pass: Any, graph: IrGraph) -> None:
    with clock.section(name):
        paddle_pass.apply(graph)


def _set_scales(scope: static.Scope, graph: IrGraph) -> None:
    for node in graph.all_persistable_nodes():
        if "scale" in node.name():
            tensor = scope.var(node.name()).get_tensor()
            tensor.set(np.ones(tensor.shape(), np.float32), paddle.CPUPlace())


def same_ops(chain: Chain) -> Sections:
    """How many ops of each type qcc and Paddle make of a chain by `transform`; they must agree."""
    from paddle.static.quantization import QuantizationTransformPass

    model = chain.load()
    PassManager.parse(TRANSFORM).apply(model.graph, ())
    graph = IrGraph(core.Graph(chain.program.desc), for_test=not chain.training)
    QuantizationTransformPass(
        chain.scope,
        paddle.CPUPlace(),
        weight_quantize_type="channel_wise_abs_max",
        activation_quantize_type="moving_average_abs_max",
    ).apply(graph)
    return {
        "qcc": dict(sorted(Counter(op.type for op in model.graph.ops).items())),
        "paddle": dict(sorted(Counter(op.name() for op in graph.all_op_nodes()).items())),
    }


# ---------------------------------------------------------------------- memory


def memory_of_program(chain: Chain) -> Sections:
    """The program and its scope alone, which the next two hold as well."""
    return _peak()


def memory_of_load(chain: Chain) -> Sections:
    """A loaded model."""
    _model = chain.load()
    return _peak()


def memory_of_all(chain: Chain) -> Sections:
    """From loading to the finished program: what a user's process needs."""
    model = PassManager.parse(TRANSFORM if chain.training else PIPELINE).run(chain.load())
    _program = model.to_program()
    return _peak()


def _peak() -> Sections:
    # Not getrusage's ru_maxrss, which starts with the size of the process that started this one.
    status = Path("/proc/self/status").read_text()
    (kibibytes,) = re.findall(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return {"peak": {"bytes": 1024 * int(kibibytes)}}


CASES: dict[str, Callable[[Chain], Sections]] = {
    case.__name__: case
    for case in (
        training,
        whole_way,
        as_called,
        inference,
        pipeline,
        paddle_passes,
        paddle_as_called,
        same_ops,
        memory_of_program,
        memory_of_load,
        memory_of_all,
    )
}


def measure(case: str, path: Path, repeats: int) -> dict[str, Any]:
    """The chain's number of ops, and the numbers of each repetition."""
    proto = ProgramProto.FromString(path.read_bytes())
    is_training = any(op.type == "sgd" for op in proto.blocks[0].ops)
    CASES[case](Chain(stretch(3, is_training)))
    runs = [CASES[case](Chain(proto)) for _ in range(repeats)]
    return {"ops": len(proto.blocks[0].ops), "runs": runs}


if __name__ == "__main__":
    json.dump(measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
