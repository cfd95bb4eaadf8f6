"""Networks made of random layers on tensors of one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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

    def transposed(self, layer: Layer, x: Variable, groups: int = 1) -> Variable:
        name = self.weight(layer, 4, 4 // groups, 3, 3)
        return static.nn.conv2d_transpose(
            x, 4, filter_size=3, padding=1, groups=groups, param_attr=name, bias_attr=False
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
}
QUANTIZED = [kind for kind in list(LAYERS)[:12] if kind != "matmul_v2 of two"]


@st.composite
def layer_lists(draw: st.DrawFn, most: int = 8) -> list[Layer]:
    """Layers of which at least one can be quantized."""
    kinds = draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=most - 1))
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
            unread.pop(right.name, None)
            tensors.append(out)
            unread[out.name] = out
        return sum(unread.values()) * 1.0

    return build(assemble, SHAPE)
