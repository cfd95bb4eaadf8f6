"""Networks made of random layers on tensors of one shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from qat_nets import Net, Variable, build, functional, paddle, parameter, raw, static

SHAPE = (-1, 4, 6, 6)


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, which earlier tensors it reads, which weight of its shape it shares, if any."""

    kind: str
    left: int
    right: int
    shares: int | None = None


class Builder:
    """Builds layers, and remembers the names of the weights of each shape."""

    def __init__(self) -> None:
        self._weights: dict[tuple[int, ...], list[str]] = {}

    def weight(self, layer: Layer, *shape: int) -> str:
        names = self._weights.setdefault(shape, [])
        if layer.shares is not None and names:
            return names[layer.shares % len(names)]
        name = f"w{sum(map(len, self._weights.values()))}"
        parameter(name, *shape)
        names.append(name)
        return name

    def matrix(self, layer: Layer) -> Variable:
        return static.default_main_program().global_block().var(self.weight(layer, 6, 6))

    def conv(self, layer: Layer, x: Variable, groups: int = 1, size: int = 3) -> Variable:
        name = self.weight(layer, 4, 4 // groups, size, size)
        return static.nn.conv2d(
            x, 4, size, padding=size // 2, groups=groups, param_attr=name, bias_attr=layer.right % 2 == 0
        )

    def transposed(self, layer: Layer, x: Variable, groups: int = 1, bias: bool | None = False) -> Variable:
        name = self.weight(layer, 4, 4 // groups, 3, 3)
        return static.nn.conv2d_transpose(
            x, 4, filter_size=3, padding=1, groups=groups, param_attr=name, bias_attr=bias
        )


def _skipped(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    with static.name_scope("skip_quant"):
        return builder.conv(layer, x)


def _with_float_reader(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    return x * paddle.mean(builder.matrix(layer))


def _overwritten(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    """A variable that is written twice: its first value is read in between."""
    out = paddle.assign(x)
    first = functional.relu(out)
    paddle.assign(y, output=out)
    return first + out


def _normed(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    """A convolution of any kind, with or without a bias, and its norm."""
    groups = (1, 2, 4)[layer.left % 3]
    if layer.right % 3 == 0:
        out = builder.transposed(layer, x, groups, bias=None if layer.left % 2 else False)
    else:
        out = builder.conv(layer, x, groups, size=1 + 2 * (layer.left % 2))
    return static.nn.batch_norm(out)


def _two_in_a_row(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    """Convolutions that own their weights, with an activation between them that keeps factors, or none."""
    groups, size = 1 + layer.left % 2, 1 + 2 * (layer.right % 2)
    between = (lambda out: out, functional.relu, functional.relu6)[layer.right % 3]
    first = static.nn.conv2d(
        x, 4, size, padding=size // 2, groups=groups, param_attr=paddle.utils.unique_name.generate("uneven")
    )
    return static.nn.conv2d(between(first), 4, 1, bias_attr=None if layer.left % 2 else False)


def _whole(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    """A product with whole numbers."""
    name = f"whole{layer.right}"
    block = static.default_main_program().global_block()
    weight = block.var(name) if block.has_var(name) else parameter(name, 6, 6)
    return paddle.matmul(x, weight) * 0.1


def _constant(builder: Builder, layer: Layer, x: Variable, y: Variable) -> Variable:
    """What the program computes from no input."""
    return x + paddle.full([4, 1, 6], 0.25 * layer.right) * 2.0


LAYERS: dict[str, Callable[[Builder, Layer, Variable, Variable], Variable]] = {
    "conv": lambda b, layer, x, y: b.conv(layer, x),
    "pointwise": lambda b, layer, x, y: b.conv(layer, x, size=1),
    "depthwise": lambda b, layer, x, y: b.conv(layer, x, groups=4),
    "grouped": lambda b, layer, x, y: b.conv(layer, x, groups=2),
    "transposed": lambda b, layer, x, y: b.transposed(layer, x),
    "grouped transposed": lambda b, layer, x, y: b.transposed(layer, x, groups=2),
    "matmul_v2": lambda b, layer, x, y: paddle.matmul(x, b.matrix(layer)),
    "matmul_v2 turned": lambda b, layer, x, y: paddle.matmul(x, b.matrix(layer), transpose_y=True),
    "matmul_v2 left": lambda b, layer, x, y: paddle.matmul(b.matrix(layer), x),
    "matmul_v2 of two": lambda b, layer, x, y: paddle.matmul(x, y) * 0.2,
    "matmul": lambda b, layer, x, y: raw("matmul", x, b.matrix(layer), alpha=0.5),
    "mul": lambda b, layer, x, y: raw("mul", x, b.matrix(layer), x_num_col_dims=3),
    "skipped": _skipped,
    "float reader": _with_float_reader,
    "overwritten": _overwritten,
    "relu": lambda b, layer, x, y: functional.relu(x),
    "batch norm": lambda b, layer, x, y: static.nn.batch_norm(x),
    "add": lambda b, layer, x, y: x + y,
    "multiply": lambda b, layer, x, y: x * y * 0.2,
    "pool": lambda b, layer, x, y: functional.max_pool2d(x, 3, stride=1, padding=1),
    "softmax": lambda b, layer, x, y: functional.softmax(x),
    "scale": lambda b, layer, x, y: x * 0.5 + 0.25,
    "relu6": lambda b, layer, x, y: functional.relu6(x),
    "normed": _normed,
    "two in a row": _two_in_a_row,
    "whole": _whole,
    "constant": _constant,
}
# These read their right operand, too.
_OF_TWO = ("matmul_v2 of two", "add", "multiply")
# What several passes look for.
_OFTEN = ["normed", "two in a row", "mul"] * 2
QUANTIZED = [kind for kind in list(LAYERS)[:12] if kind != "matmul_v2 of two"]


@st.composite
def layer_lists(draw: st.DrawFn, most: int = 8) -> list[Layer]:
    """Layers of which at least one can be quantized."""
    kinds = draw(st.lists(st.sampled_from([*sorted(LAYERS), *_OFTEN]), min_size=1, max_size=most - 1))
    kinds.insert(draw(st.integers(0, len(kinds))), draw(st.sampled_from(QUANTIZED)))
    return [
        Layer(
            kind,
            # Mostly the tensor before, so that nets get deep.
            draw(st.sampled_from([0, 0, 0, 1, 2, 5])),
            draw(st.integers(0, 5)),
            draw(st.sampled_from([None, None, 0, 1])),
        )
        for kind in kinds
    ]


def random_net(layers: list[Layer]) -> Net:
    """A net whose operand n is the nth tensor before the layer; its output adds up what no layer reads."""

    def assemble(x: Variable) -> Variable:
        builder, tensors, unread = Builder(), [x], {x.name: x}
        for layer in layers:
            left, right = (tensors[-1 - operand % len(tensors)] for operand in (layer.left, layer.right))
            out = LAYERS[layer.kind](builder, layer, left, right)
            unread.pop(left.name, None)
            if layer.kind in _OF_TWO:
                unread.pop(right.name, None)
            tensors.append(out)
            unread[out.name] = out
        return sum(unread.values()) * 1.0

    return _with_statistics(build(assemble, SHAPE))


_STATISTICS = {"Scale": (-1, 1.5), "Bias": (-1, 1), "Mean": (-1, 1), "Variance": (0.2, 2)}


def _with_statistics(net: Net) -> Net:
    """Norms as training leaves them, for those of a new net change next to nothing, weights of whole numbers,
    and channels of unequal ranges."""
    rng, weights = np.random.default_rng(2), dict(net.weights)
    for op in net.test.global_block().ops:
        if op.type == "batch_norm":
            for slot, low, high in (
                ("Scale", -1, 1.5),
                ("Bias", -1, 1),
                ("Mean", -1, 1),
                ("Variance", 0.2, 2),
            ):
                (name,) = op.input(slot)
                weights[name] = rng.uniform(low, high, weights[name].shape).astype(np.float32)
    for name, value in weights.items():
        if name.startswith("whole"):
            # A third of the largest one is on no tie, with any number of bits; a half may be.
            weights[name] = rng.choice([-3, -1, 0, 1, 3], value.shape).astype(np.float32)
        elif name.startswith("uneven"):
            weights[name] = value * np.array([0.25, 1, 4, 1], np.float32).reshape(-1, 1, 1, 1)
    return dataclasses.replace(net, weights=weights)
