"""Random networks: the file that is written for x86 computes what Paddle computes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from lite_agreement import assert_close, assert_same_layers, lite_outputs, lowered
from lite_nets import frozen
from random_layers import LAYERS, Net, convolution, identity, nets
from random_nets import layer_lists, random_net
from random_runs import examples, note

from qcc.backends.lite.lowering import lowering
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import Pass, PassManager, PassResult
from qcc.passes.fake_quant import QUANTIZE_OPS

FORMS = st.sampled_from(["float", "abs_max", "channel_wise_abs_max"])
# Errors of single layers add up.
DEEP = 1e-4


def check(model: Model, inputs: dict[str, np.ndarray], form: str, folder: Path) -> None:
    """Paddle Lite and Paddle agree; what the file for ARM holds satisfies the verifier."""
    if form == "float":
        assert_close(lite_outputs(model, inputs, folder / "x86.nb"), model.run(inputs), DEEP)
    else:
        model = frozen(model, inputs, form)
        # What was quantized may have led to no output.
        assume(any(op.type in QUANTIZE_OPS for op in model.graph.ops))
        assert_same_layers(model, inputs, folder / "x86.nb", DEEP)
    lowered(model, folder / "arm.nb", arch="arm")


_COPIED = Net(
    (
        ("conv", convolution(channels=4, size=1, stride=1, groups=0, bias=False), 0),
        ("identity", identity, 0),
        ("conv", convolution(channels=6, size=1, stride=1, groups=1, bias=False), 0),
        ("add", LAYERS["add"], 1),
    ),
    head=False,
)
"""An activation that is quantized, and so is a copy of it, which lowering takes out."""


@pytest.mark.lite
@examples(30)
@given(net=nets(), form=FORMS)
@example(net=_COPIED, form="abs_max")
def test_random_nets(net: Net, form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(net.model(), {"x0": net.image()}, form, tmp_path_factory.mktemp("net"))


@pytest.mark.slow
@pytest.mark.lite
@examples(300)
@given(net=nets(), form=FORMS)
def test_many_random_nets(net: Net, form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(net.model(), {"x0": net.image()}, form, tmp_path_factory.mktemp("net"))


def can_be_quantized(model: Model, weight_type: str) -> bool:
    """Per channel, some nets have nothing to quantize, and a weight may be shared along different axes."""
    with suppress(PassError):
        return PassManager.parse(f"transform{{weight_type={weight_type}}}").apply(model.graph.copy()).modified
    return False


def _has_a_group_per_channel(op: Op) -> bool:
    """A transposed convolution that qcc writes for no x86 processor, since its kernel may crash."""
    return op.type == "conv2d_transpose" and op.attr("groups", 1) == op.input("Input").shape[1]


@pytest.mark.slow
@pytest.mark.lite
@examples(150)
@given(layers=layer_lists(), form=FORMS)
def test_unusual_random_nets(layers: list[Any], form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Shared weights, variables written twice, weights on the left, ops that are skipped."""
    net = random_net(layers)
    model = net.test_model()
    assume(form == "float" or can_be_quantized(model, form))
    assume(not any(_has_a_group_per_channel(op) for op in model.graph.ops))
    check(model, net.batch(), form, tmp_path_factory.mktemp("net"))


def state(graph: Graph) -> tuple[object, ...]:
    """All that a pass can change."""
    weights = {
        name: (str(array.dtype), array.shape, array.tobytes()) for name, array in graph.weights.items()
    }
    return graph.to_proto().SerializeToString(), weights, graph.feeds, graph.fetches


@examples(40)
@given(net=nets(), form=FORMS, arch=st.sampled_from(["arm", "x86"]), bits=st.sampled_from([None, 8]))
def test_every_pass_is_truthful_and_done_at_once(net: Net, form: str, arch: str, bits: int | None) -> None:
    """A pass says whether it changed anything, leaves a graph that verifies, and has nothing left to do; what
    Paddle computes stays as it was, as long as it computes it."""
    model = net.model()
    model = model if form == "float" else frozen(model, {"x0": net.image()}, form)
    graph = model.graph.copy()
    computed: list[np.ndarray] | None = model.run({"x0": net.image()})
    for step in lowering(arch, weight_only=bits if form == "float" else None).passes:
        before = state(graph)
        result: PassResult | None = None
        with suppress(PassError):
            result = step.apply(graph)
        assert result is not None, f"{step.name} was refused"
        note(step.name, result.modified)
        assert result.modified == (state(graph) != before), f"{step.name} says modified={result.modified}"
        verify(graph)
        if result.modified and computed is not None:
            computed = compared(step, graph, computed, net.image())
        again = state(graph)
        assert not step.apply(graph).modified, f"{step.name} has something left to do"
        assert state(graph) == again


def compared(
    step: Pass, graph: Graph, before: list[np.ndarray], image: np.ndarray
) -> list[np.ndarray] | None:
    """What Paddle computes after a pass, which is what it computed before; None where it does not."""
    if isinstance(step, LitePass) and not step.runs_in_paddle:
        return None
    after = Model(graph).run({"x0": image})
    assert_close(after, before, DEEP)
    return after
