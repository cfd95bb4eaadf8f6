"""qcc's passes beside Paddle's on three models from the field."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_same_layers, observe
from both import ACTIVATION_TYPES, WEIGHT_TYPES, Scheme
from paddle_passes import PLACE, paddle_freeze, paddle_int8, paddle_transform, run_program
from same_program import Renaming, same_graph

import qcc
from qcc._paddle import IrGraph, paddle
from qcc.model import Model
from qcc.passes import PassManager

static = paddle.static
SHAPES = {"det": (1, 3, 64, 64), "rec": (1, 3, 48, 64), "cls": (1, 3, 48, 64)}
SCHEMES = [Scheme(*types) for types in product(WEIGHT_TYPES, ACTIVATION_TYPES)]
# Paddle's passes need some ten seconds on each; one scheme on one model is in the short suite.
QUICK = ("cls", Scheme("channel_wise_abs_max", "moving_average_abs_max"))
CASES = [
    pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=() if case == QUICK else pytest.mark.slow)
    for case in product(SHAPES, SCHEMES)
]


def load_with_paddle(folder: Path, scope: paddle.static.Scope) -> paddle.static.Program:
    with static.scope_guard(scope):
        program, _, _ = static.load_inference_model(str(folder / "inference"), static.Executor(PLACE))
    return program


def renaming(before: Model, model: Model, graph: IrGraph) -> Renaming:
    known = [*before.feeds, *(name for name in before.weights if name in model.graph)]
    scales = [f"{name}@scale" for name in before.weights]
    return same_graph(model.to_program(), graph.to_program(), known, scales)


def assert_same_weights(model: Model, scope: paddle.static.Scope, names: Renaming) -> None:
    for variable, value in model.weights.items():
        if variable in dynamic_scales(model):
            continue
        expected = np.array(scope.find_var(names.name(variable)).get_tensor())
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(value, expected), variable


def dynamic_scales(model: Model) -> set[str]:
    """Scales that are written before anything reads them, so that their start values mean nothing."""
    return {op.output("OutScale").name for op in model.graph.ops if op.type == "fake_quantize_abs_max"}


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_all_passes(name: str, scheme: Scheme, pp_ocr_models: dict[str, Path]) -> None:
    folder, scope = pp_ocr_models[name], static.Scope()
    graph = paddle_transform(load_with_paddle(folder, scope), scope, for_test=True, **scheme.options)
    before = qcc.load(folder)
    model = PassManager.parse(scheme.text).run(before)
    renaming(before, model, graph)
    image = {before.feeds[0]: np.random.default_rng(0).uniform(-1, 1, SHAPES[name]).astype(np.float32)}
    for variable, value in observe(model, before, image).items():
        model.weights[variable] = value
        scope.find_var(variable).get_tensor().set(value, PLACE)

    frozen = PassManager.parse("freeze").run(model)
    weight_type = "channel_wise_abs_max" if scheme.per_channel else "abs_max"
    paddle_freeze(graph, scope, weight_type=weight_type)
    names = renaming(before, frozen, graph)
    assert_same_weights(frozen, scope, names)
    (expected,) = run_program(graph.to_program(), scope, image, [names.name(before.fetches[0])])
    assert np.array_equal(frozen.run(image)[0], expected)
    assert_same_layers(model, frozen, image)

    packed = PassManager.parse("int8").run(frozen)
    paddle_int8(graph, scope)
    assert_same_weights(packed, scope, renaming(before, packed, graph))
