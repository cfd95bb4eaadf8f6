"""qcc's passes beside Paddle's: the same graphs up to names, the same integers, scales and outputs."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from agreement import assert_same_integers
from both import ACTIVATION_TYPES, WEIGHT_TYPES, Both, Scheme
from paddle_passes import paddle_int8, paddle_transform, run_program
from qat_nets import NETS, Net, values_of
from same_program import Renaming, same_graph

from qcc.errors import PassError
from qcc.passes import PassManager

BITS = ((4, 6), (16, 12))


SCHEMES = [
    *(Scheme(*types) for types in product(WEIGHT_TYPES, ACTIVATION_TYPES)),
    *(Scheme(w, a, *bits) for w, a, bits in product(WEIGHT_TYPES[:2], ACTIVATION_TYPES[2:], BITS)),
]
# The nets on which every scheme runs in the short suite; on the others one of each weight type does.
THOROUGH = ("convolutions", "matrices")
FEW = [Scheme(WEIGHT_TYPES[row], ACTIVATION_TYPES[row % 3]) for row in range(4)]


@cache
def net_of(name: str) -> Net:
    return NETS[name]()


def differential(*but_per_channel: str, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """All nets by all schemes; those `but_per_channel` differ on purpose with scales per channel."""
    cases = []
    for name, scheme in product(NETS, SCHEMES):
        if name in without or (scheme.per_channel and name in but_per_channel):
            continue
        marks = () if name in THOROUGH or scheme in FEW else pytest.mark.slow
        cases.append(pytest.param(name, scheme, id=f"{name}-{scheme}", marks=marks))
    return pytest.mark.parametrize(("name", "scheme"), cases)


# ---------------------------------------------------------------------- transform


@differential("old_matmul_transposed", "weight_on_the_left")
def test_transform_of_a_test_graph(name: str, scheme: Scheme) -> None:
    both = Both.transformed(net_of(name), scheme)
    both.renaming()
    assert np.array_equal(both.output(), both.paddles_output(both.net.output))


@differential("old_matmul_transposed", "weight_on_the_left")
def test_transform_of_a_training_graph_and_two_steps(name: str, scheme: Scheme) -> None:
    net = net_of(name)
    theirs, ours = net.scope(), net.scope()
    graph = paddle_transform(net.train, theirs, for_test=False, **scheme.options)
    model = PassManager.parse(scheme.text).run(net.train_model())
    program, paddles = model.to_program(), graph.to_program()
    renaming = same_graph(program, paddles, [net.feed, *net.weights])
    model.write_weights(ours, overwrite=False)
    for step in range(2):
        (loss,) = run_program(program, ours, net.batch(step), [net.loss])
        (expected,) = run_program(paddles, theirs, net.batch(step), [net.loss])
        assert loss == expected
    trained = values_of(ours, model.weights)
    for variable, value in trained.items():
        expected = np.array(theirs.find_var(renaming.name(variable)).get_tensor())
        assert np.array_equal(value, expected), variable
    moved = [
        variable for variable in net.weights if not np.array_equal(trained[variable], net.weights[variable])
    ]
    assert {parameter.name for parameter in net.train.all_parameters() if parameter.trainable} <= set(moved)


# ---------------------------------------------------------------------- freeze and int8


def assert_same_weights(both: Both, renaming: Renaming) -> None:
    """All values equal bit for bit, but for those that are written before they are read."""
    written_first = {
        var.name
        for var in both.model.graph.vars
        if var.producer and len(both.model.graph.versions(var.name)) == 1
    }
    compared = set(both.model.weights) - written_first
    assert compared
    for variable in compared:
        value = both.model.weights[variable]
        expected = np.array(both.scope.find_var(renaming.name(variable)).get_tensor())
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(value, expected), variable


@differential(
    "grouped_transposed", "old_matmul_transposed", "weight_on_the_left", without=("shared_with_float",)
)
def test_freeze_and_int8(name: str, scheme: Scheme) -> None:
    both = Both.transformed(net_of(name), scheme)
    transformed = both.model
    both = both.freeze()
    renaming = both.renaming()
    assert_same_weights(both, renaming)
    assert np.array_equal(both.output(), both.paddles_output(renaming.name(both.net.output)))
    assert_same_integers(transformed, both.model, both.net.batch(7))
    if scheme.weight_bits > 8:
        with pytest.raises(
            PassError, match=f"quantized to {scheme.weight_bits} bits, which INT8 cannot hold"
        ):
            PassManager.parse("int8").run(both.model)
        return
    both.model = PassManager.parse("int8").run(both.model)
    paddle_int8(both.graph, both.scope)
    assert_same_weights(both, both.renaming())
