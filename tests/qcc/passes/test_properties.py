"""What holds for every pass on every net: nets and pipelines are made at random."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_same_layers, observe
from both import ACTIVATION_TYPES, WEIGHT_TYPES, Scheme
from hypothesis import assume, example, given
from hypothesis import strategies as st
from qat_nets import Net
from random_nets import Layer, layer_lists, random_net
from random_runs import examples, note

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import PassManager, PassResult
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.frozen import frozen_ops

SCHEMES = st.builds(
    Scheme,
    weight_type=st.sampled_from(WEIGHT_TYPES),
    activation_type=st.sampled_from(ACTIVATION_TYPES),
    weight_bits=st.integers(2, 8),
    activation_bits=st.integers(2, 12),
)


def run(pipeline: str, model: Model) -> Model:
    return PassManager.parse(pipeline).run(model)


def state(graph: Graph) -> tuple[object, ...]:
    """All that a pass can change."""
    weights = {
        name: (str(array.dtype), array.shape, array.tobytes()) for name, array in graph.weights.items()
    }
    return graph.to_proto().SerializeToString(), weights, graph.feeds, graph.fetches


def apply(step: str, graph: Graph) -> PassResult | None:
    """Run a pass in place; None when it is refused, and then nothing has changed."""
    before = state(graph)
    result = None
    with suppress(PassError):
        result = PassManager.parse(step).passes[0].apply(graph)
    if result is None:
        assert state(graph) == before, f"{step} was refused but changed the graph"
        return None
    assert result.modified == (state(graph) != before), f"{step} says modified={result.modified}"
    verify(graph)
    return result


def with_scales(net: Net, model: Model, share: float = 0.9) -> Model:
    for name, value in observe(model, net.test_model(), net.batch(), share).items():
        model.weights[name] = value
    return model


def close(left: np.ndarray, right: np.ndarray, share: float) -> bool:
    """Equal up to a share of the range; ties and low bits move more than float arithmetic does."""
    return bool(np.abs(left - right).max() <= share * max(np.abs(left).max(), 1e-3))


def quantized(net: Net, scheme: Scheme, share: float = 0.9) -> Model:
    """The transformed test model; gives up nets that share a weight along two axes, or stay float."""
    graph = net.test_model().graph
    try:
        result = PassManager.parse(scheme.text).passes[0].apply(graph)
    except PassError as error:
        assume("wants" not in str(error))
        raise
    assume(result.modified and any(op.type in QUANTIZE_OPS for op in graph.ops))
    return with_scales(net, Model(graph), share)


# ---------------------------------------------------------------------- one pipeline


@examples(40)
@given(layer_lists(), SCHEMES)
def test_frozen_computes_what_transformed_computes(layers: list[Layer], scheme: Scheme) -> None:
    net = random_net(layers)
    transformed = quantized(net, scheme)
    verify(transformed.graph)
    assert np.isfinite(transformed.run(net.batch())[0]).all()
    frozen = run("freeze", transformed)
    verify(frozen.graph)
    assert frozen.fetches == transformed.fetches
    assert_same_layers(transformed, frozen, net.batch(5))


@examples(25)
@given(layer_lists(), SCHEMES)
def test_forms_of_the_frozen_model(layers: list[Layer], scheme: Scheme) -> None:
    net = random_net(layers)
    transformed = quantized(net, scheme, share=1)
    frozen = run("freeze", transformed)
    (expected,) = frozen.run(net.batch())
    packed = run("int8", frozen)
    assert any(array.dtype == np.int8 for array in packed.weights.values())
    assert np.array_equal(packed.run(net.batch())[0], expected)
    assert state(run("unpack", packed).graph) == state(frozen.graph)
    assert np.array_equal(run("prune", frozen).run(net.batch())[0], expected)
    if scheme.activation_type == "abs_max":
        with pytest.raises(PassError, match="scale is measured at every run"):
            run("qdq", frozen)
        return
    for form in ("qdq", "int8,qdq", "qdq,prune"):
        qdq = run(form, frozen)
        assert not any(op.type.startswith("fake_") for op in qdq.graph.ops)
        assert np.isfinite(qdq.run(net.batch())[0]).all()
    if scheme.weight_bits == scheme.activation_bits == 8:
        assert close(expected, run("qdq", frozen).run(net.batch())[0], 0.05)


@examples(25)
@given(layer_lists(), st.sampled_from(WEIGHT_TYPES), st.sampled_from(ACTIVATION_TYPES))
def test_training_graph_and_test_graph_have_the_same_quantizers(
    layers: list[Layer], weight_type: str, activation_type: str
) -> None:
    net = random_net(layers)
    scheme = Scheme(weight_type, activation_type)
    test = quantized(net, scheme)
    train = run(scheme.text, net.train_model())
    verify(train.graph)
    quantizers = [
        {
            op.output("Out").name: op.attr("bit_length")
            for op in model.graph.ops
            if op.type.startswith("fake_q")
        }
        for model in (train, test)
    ]
    assert quantizers[0] == quantizers[1]
    # What the test graph needs, training makes.
    assert set(test.weights) - set(net.test_model().weights) <= set(train.weights)


# ---------------------------------------------------------------------- any pipeline

# These compute the same in another way, up to the last bits; on quantized graphs, up to ties.
REWRITES = ("fold-bn", "fold-constants", "equalize")
ENGINE_REWRITES = (
    *("mul-to-matmul", "bias-bare-convs", "square-weights", "whole-weights"),
    *("fold-into-scales", "eight-bit-grid"),
)
# These round otherwise than before.
ROUNDINGS = ("qdq", "integer-weights", "unquantize", "relax-relu6")
ENGINE_ROUNDINGS = ("unsigned-activations", "avoid-saturation", "unclipped-sums", "bias-range")
# How far a step may move the outputs: a tie in a low layer moves all above it.
EXACT = ("int8", "unpack", "prune")
STEPS = st.sampled_from(
    [
        "transform{activation_type=abs_max}",
        "transform{weight_type=channel_wise_abs_max,activation_type=abs_max}",
        "transform{weight_type=channel_wise_abs_max}",
        "transform{activation_type=range_abs_max,weight_bits=4}",
        "transform{activation_type=abs_max,keep_last=1}",
        "transform{activation_type=abs_max,skip_pattern=[/]}",
        "transform{activation_type=abs_max,skip_vars=[w0]}",
        "observe",
        *["freeze"] * 2,
        "freeze{weight_type=channel_wise_abs_max}",
        "freeze{bias_correction=true}",
        *EXACT,
        *REWRITES,
        *ROUNDINGS,
        *ENGINE_REWRITES,
    ]
)
ENGINE_STEPS = st.sampled_from([*ENGINE_REWRITES, *ENGINE_ROUNDINGS])
# What a pass waits for seldom comes about by steps in any order.
FROZEN = [
    ["transform", "observe", "freeze"],
    ["transform{weight_type=channel_wise_abs_max}", "observe", "freeze"],
    ["fold-bn", "transform{weight_type=channel_wise_abs_max,weight_bits=7}", "observe", "freeze"],
    ["fold-bn", "transform{activation_type=range_abs_max}", "observe", "freeze"],
]
STARTS = st.sampled_from(
    [[], [], ["fold-bn"], ["equalize"], *FROZEN, *([*steps, "int8"] for steps in FROZEN)]
)
QDQ = st.sampled_from([[*steps, "qdq", "prune"] for steps in FROZEN])
PIPELINES = st.one_of(
    st.builds(list.__add__, STARTS, st.lists(STEPS, min_size=2, max_size=6)),
    st.builds(list.__add__, QDQ, st.lists(ENGINE_STEPS, min_size=2, max_size=6)),
)


@examples(60)
@given(layer_lists(), PIPELINES)
def test_any_passes_in_any_order_are_truthful_and_keep_the_outputs(
    layers: list[Layer], steps: list[str]
) -> None:
    net = random_net(layers)
    model = net.test_model()
    (before,) = model.run(net.batch())
    for step in steps:
        if step == "observe":
            with_scales(net, model)
            (before,) = model.run(net.batch())
            continue
        name = step.partition("{")[0]
        step = with_names(step, model.graph)
        result = apply(step, model.graph)
        note(name, result and result.modified)
        (after,) = model.run(net.batch())
        assert model.fetches == (net.output,)
        if result is None or not result.modified or name in EXACT:
            assert np.array_equal(before, after), step
        elif name in ("freeze", *REWRITES, *ENGINE_REWRITES):
            assert close(before, after, 0.1), step
        elif name in ROUNDINGS + ENGINE_ROUNDINGS:
            assert same_magnitude(before, after), step
        # No graph says of a scale that it has grown already.
        if result is not None and name != "avoid-saturation":
            apply_again(step, model.graph)
        before = after


def with_names(step: str, graph: Graph) -> str:
    """A step that is told what to change: half of what it may."""
    if step == "unquantize":
        outputs = [found.dequantize.output("Out").name for found in frozen_ops(graph)]
        return f"unquantize{{outputs=[{','.join(outputs[::2])}]}}"
    if step == "relax-relu6":
        variables = [op.output("Out").name for op in graph.ops if op.type == "relu6"]
        return f"relax-relu6{{variables=[{','.join(variables[::2])}]}}"
    return step


def same_magnitude(left: np.ndarray, right: np.ndarray) -> bool:
    """Neither is twice as large as the other."""
    norms = [float(np.linalg.norm(array)) for array in (left, right)]
    return max(norms) <= 2 * min(norms) + 1e-3


def apply_again(step: str, graph: Graph) -> None:
    """A pass that has just run changes nothing more, or is refused."""
    again = apply(step, graph)
    assert again is None or not again.modified, step


@examples(15)
@given(layer_lists(), st.lists(STEPS.filter(lambda step: step != "observe"), min_size=1, max_size=4))
@example([Layer("conv", 0, 0)], ["integer-weights"])
def test_passes_on_training_graphs_are_truthful(layers: list[Layer], steps: list[str]) -> None:
    model = random_net(layers).train_model()
    for step in steps:
        result = apply(step, model.graph)
        assert step.startswith("transform") or result is None or not result.modified
        if result is not None:
            apply_again(step, model.graph)


@examples(20)
@given(layer_lists(), st.lists(STEPS, min_size=2, max_size=6))
def test_a_pipeline_split_anywhere_makes_the_same_program(layers: list[Layer], steps: list[str]) -> None:
    steps = [step for step in steps if step != "observe"]
    graph = random_net(layers).test_model().graph
    copied = graph.copy()
    for step in steps:
        assert (apply(step, graph) is None) == (apply(step, copied) is None)
        copied = copied.copy()
    assert state(graph) == state(copied)


# ---------------------------------------------------------------------- any process

FIXED = [
    Layer(kind, left, right, shares)
    for kind, left, right, shares in (
        ("conv", 0, 0, None),
        ("depthwise", 0, 1, 0),
        ("grouped", 1, 2, None),
        ("transposed", 0, 3, None),
        ("matmul_v2", 2, 4, None),
        ("mul", 0, 0, 0),
        ("add", 3, 1, None),
        ("overwritten", 0, 2, None),
        ("relu", 1, 3, None),
        ("skipped", 0, 4, 0),
    )
]
DIGESTS = """
import sys
sys.path.insert(0, sys.argv[1])
import hashlib
from random_nets import random_net
sys.path.insert(0, sys.argv[2])
from test_properties import FIXED, digests
print("\\n".join(digests()))
"""


def digests() -> list[str]:
    """Checksums of what some pipelines make of a fixed net."""
    net = random_net(FIXED)
    found = []
    for weight_type in WEIGHT_TYPES:
        model = run(f"transform{{weight_type={weight_type}}}", net.test_model())
        train = run(
            f"transform{{weight_type={weight_type},activation_type=range_abs_max}}", net.train_model()
        )
        found.append(hashlib.sha256(train.graph.to_proto().SerializeToString()).hexdigest())
        model = with_scales(net, model)
        for form in ("prune", "freeze", "freeze,int8,prune", "freeze,qdq"):
            found.append(hashlib.sha256(run(form, model).graph.to_proto().SerializeToString()).hexdigest())
    return found


def test_programs_are_the_same_bytes_in_every_process() -> None:
    here = Path(__file__).parent
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DIGESTS, str(here.parents[1] / "support"), str(here)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1")
    ]
    outputs = [process.communicate()[0].split() for process in processes]
    assert len(outputs[0]) == 5 * len(WEIGHT_TYPES)
    assert outputs[0] == outputs[1]
