"""Random networks: the file that is written for x86 computes what Paddle computes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from lite_agreement import assert_close, assert_same_layers, lite_outputs, lowered
from lite_case import F, append_op, build_model, floats, static
from lite_nets import frozen
from random_nets import layer_lists, random_net
from random_runs import examples, note

from qcc._paddle import paddle
from qcc.backends.lite.lowering import lowering
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import Pass, PassManager, PassResult
from qcc.passes.fake_quant import QUANTIZE_OPS

FORMS = st.sampled_from(["float", "abs_max", "channel_wise_abs_max"])
# Errors of single layers add up.
DEEP = 1e-4

Tensor = Any
Layer = Callable[[Tensor, Tensor], Tensor]


def convolution(channels: int, size: int, stride: int, groups: int, bias: bool) -> Layer:
    def layer(x: Tensor, _: Tensor) -> Tensor:
        count = x.shape[1] if groups == 0 else groups
        out = x.shape[1] if groups == 0 else channels
        step = stride if x.shape[2] >= 4 else 1
        attr = None if bias else False
        return static.nn.conv2d(x, out, size, step, size // 2, groups=count, bias_attr=attr)

    return layer


def squeeze(x: Tensor, _: Tensor) -> Tensor:
    scale = static.nn.conv2d(F.adaptive_avg_pool2d(x, 1), x.shape[1], 1)
    return x * F.hardsigmoid(scale)


def halve(x: Tensor, _: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def double(x: Tensor, _: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest") if x.shape[2] <= 8 else x


def transposed(x: Tensor, _: Tensor) -> Tensor:
    return static.nn.conv2d_transpose(x, 4, filter_size=2, stride=2) if x.shape[2] <= 8 else x


def shuffle(x: Tensor, _: Tensor) -> Tensor:
    n, c, h, w = -1, *x.shape[1:]
    split = paddle.reshape(x, [n, 2, c // 2, h, w])
    return paddle.reshape(paddle.transpose(split, [0, 2, 1, 3, 4]), [n, c, h, w])


def merged(op: Callable[[Tensor, Tensor], Tensor]) -> Layer:
    """An op on a tensor and an earlier one, brought to its shape."""

    def layer(x: Tensor, y: Tensor) -> Tensor:
        if y.shape[1] != x.shape[1]:
            y = static.nn.conv2d(y, x.shape[1], 1)
        if y.shape[2:] != x.shape[2:]:
            y = F.interpolate(y, size=x.shape[2:], mode="nearest")
        return op(x, y)

    return layer


def joined(x: Tensor, y: Tensor) -> Tensor:
    if y.shape[2:] != x.shape[2:]:
        y = F.interpolate(y, size=x.shape[2:], mode="nearest")
    return static.nn.conv2d(paddle.concat([x, y], 1), 4, 1)


def tokens(x: Tensor, _: Tensor) -> Tensor:
    """Over the pixels: a norm, a product with a weight, and back."""
    n, c, h, w = -1, *x.shape[1:]
    flat = paddle.transpose(paddle.reshape(x, [n, c, h * w]), [0, 2, 1])
    affine = None if c > 4 else False
    normed = paddle.nn.LayerNorm(c, weight_attr=affine, bias_attr=affine)(flat)
    mixed = F.gelu(paddle.nn.Linear(c, c)(normed))
    return paddle.reshape(paddle.transpose(mixed, [0, 2, 1]), [n, c, h, w])


def widened(x: Tensor, _: Tensor) -> Tensor:
    """Two convolutions in a row that are less work as one, with a bias in front, behind, both or nowhere."""
    narrow = static.nn.conv2d(x, 4, 3, padding=1, bias_attr=None if x.shape[1] != 6 else False)
    return static.nn.conv2d(narrow, 8, 1, bias_attr=None if x.shape[1] != 8 else False)


def reshaped_bias(x: Tensor, _: Tensor) -> Tensor:
    """As dynamic graphs add a bias."""
    bias = static.create_parameter([x.shape[1]], "float32")
    return static.nn.conv2d(x, x.shape[1], 1, bias_attr=False) + paddle.reshape(bias, [1, -1, 1, 1])


def turned(x: Tensor, _: Tensor) -> Tensor:
    """A product with a weight that is stored transposed."""
    weight = static.create_parameter([x.shape[3], x.shape[3]], "float32")
    return paddle.matmul(x, weight, transpose_y=True)


def masked(x: Tensor, _: Tensor) -> Tensor:
    """A constant in a form that Paddle Lite does not load."""
    zeros = paddle.zeros([1, x.shape[1], 1, 1])
    return x + static.setitem(zeros, (slice(None), 1), 0.5)


def pooled_unevenly(x: Tensor, _: Tensor) -> Tensor:
    return F.interpolate(F.adaptive_avg_pool2d(x, 3), size=x.shape[2:], mode="nearest")


def twice_transposed(x: Tensor, _: Tensor) -> Tensor:
    """Two transposed convolutions with one filter."""
    name = paddle.utils.unique_name.generate("shared")
    for _ in range(2):
        x = static.nn.conv2d_transpose(
            x, x.shape[1], filter_size=3, padding=1, param_attr=name, bias_attr=False
        )
    return x


def summed(x: Tensor, _: Tensor) -> Tensor:
    """Attention by sums over several axes, apart from each other."""
    return x * F.sigmoid(paddle.mean(x, axis=[1, 3], keepdim=True))


def many_products(x: Tensor, _: Tensor) -> Tensor:
    """A product whose sums are longer than ARM kernels take, as a factor per channel."""
    flat = paddle.flatten(F.adaptive_avg_pool2d(x, 2), 1)
    long = paddle.concat([flat] * (17000 // flat.shape[1]), 1)
    scale = paddle.nn.Linear(long.shape[1], x.shape[1])(long)
    return x * F.sigmoid(paddle.reshape(scale, [-1, x.shape[1], 1, 1]))


def identity(x: Tensor, _: Tensor) -> Tensor:
    return F.dropout(paddle.scale(x, 1.0), 0.5)


def halves(x: Tensor, _: Tensor) -> Tensor:
    left, right = paddle.split(x, 2, 1)
    return paddle.concat([F.relu(right), left], 1)


def unary(function: Callable[[Tensor], Tensor]) -> Layer:
    return lambda x, _: function(x)


SIMPLE: dict[str, Layer] = {
    "bn": unary(static.nn.batch_norm),
    "relu": unary(F.relu),
    "relu6": unary(F.relu6),
    "leaky": unary(lambda x: F.leaky_relu(x, 0.1)),
    "hard_swish": unary(F.hardswish),
    "swish": unary(F.swish),
    "sigmoid": unary(F.sigmoid),
    "avg_pool": unary(lambda x: F.avg_pool2d(x, 3, 1, 1)),
    "scale": unary(lambda x: x * 0.5 + 0.25),
    "prelu": unary(lambda x: static.nn.prelu(x, "channel")),
    "pad": unary(lambda x: F.pad(x, [1, 0, 0, 1])),
    "softmax": unary(lambda x: F.softmax(x, axis=1)),
    "squeeze": squeeze,
    "halve": halve,
    "double": double,
    "transposed": transposed,
    "shuffle": shuffle,
    "channel_shuffle": unary(lambda x: F.channel_shuffle(x, 2)),
    "add": merged(lambda x, y: x + y),
    "multiply": merged(lambda x, y: x * y),
    "subtract": merged(lambda x, y: x - y),
    "maximum": merged(paddle.maximum),
    "joined": joined,
    "tokens": tokens,
    "identity": identity,
    "halves": halves,
    "widened": widened,
    "reshaped_bias": reshaped_bias,
    "turned": turned,
    "masked": masked,
    "pooled_unevenly": pooled_unevenly,
    "twice_transposed": twice_transposed,
    "summed": summed,
    "many_products": many_products,
    "gelu": unary(lambda x: F.gelu(x, approximate=True)),
    "softplus": unary(lambda x: F.softplus(x, beta=2, threshold=1.5)),
    "power": unary(lambda x: paddle.pow(x * 0.5, 2.0)),
    "added_relu": merged(lambda x, y: F.relu(x + y)),
    "norm": unary(
        lambda x: append_op("norm", {"X": x}, {"Out": "float32", "Norm": "float32"}, {"axis": 1})[0]
    ),
}
# What some passes look for, in graphs of one form or for one processor alone.
RARE = ["widened", "widened", "twice_transposed", "many_products"]
CONVOLUTIONS = st.builds(
    convolution,
    channels=st.sampled_from([4, 6, 8]),
    size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 1, 2]),
    groups=st.sampled_from([0, 1, 1, 2]),
    bias=st.booleans(),
)


@dataclass(frozen=True)
class Net:
    """Layers, each with the number of the earlier tensor that it reads besides the one before it."""

    layers: tuple[tuple[str, Layer, int], ...]
    head: bool

    def __repr__(self) -> str:
        return f"Net({', '.join(f'{name}({other})' for name, _, other in self.layers)}, head={self.head})"

    def model(self) -> Model:
        return build_model(self.build, (self.image(),))

    def image(self) -> np.ndarray:
        return floats(2, 4, 8, 8)

    def build(self, image: Tensor) -> list[Tensor]:
        tensors = [image]
        for _, layer, other in self.layers:
            tensors.append(layer(tensors[-1], tensors[other % len(tensors)]))
        last = tensors[-1]
        if self.head:
            flat = paddle.flatten(F.adaptive_avg_pool2d(last, 1), 1)
            last = F.softmax(paddle.nn.Linear(flat.shape[1], 3)(flat))
        # A tensor in the middle keeps its name.
        return [last, tensors[len(tensors) // 2]] if len(tensors) > 2 else [last]


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Half of the layers are convolutions, so that there is something to fuse and to quantize."""
    kinds = draw(st.lists(st.sampled_from(["conv", *SIMPLE, *RARE]), min_size=2, max_size=6))
    names = [name for kind in kinds for name in (["conv", kind] if kind in SIMPLE else [kind])]
    layers = [
        (name, draw(CONVOLUTIONS) if name == "conv" else SIMPLE[name], draw(st.integers(0, 6)))
        for name in names
    ]
    return Net(tuple(layers), draw(st.booleans()))


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
        ("add", SIMPLE["add"], 1),
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


@pytest.mark.slow
@pytest.mark.lite
@examples(150)
@given(layers=layer_lists(), form=FORMS)
def test_unusual_random_nets(layers: list[Any], form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Shared weights, variables written twice, weights on the left, ops that are skipped."""
    net = random_net(layers)
    model = net.test_model()
    assume(form == "float" or can_be_quantized(model, form))
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
