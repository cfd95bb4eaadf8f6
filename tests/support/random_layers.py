"""Networks made of random layers on tensors of many shapes, as far as engines run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from lite_case import F, append_op, build_model, floats, slopes, static

from qcc._paddle import paddle
from qcc.model import Model

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


def part(x: Tensor, _: Tensor) -> Tensor:
    """A convolution of a part of the channels."""
    count = x.shape[1] // 2
    left, right = paddle.split(x, [count, x.shape[1] - count], axis=1)
    return paddle.concat([static.nn.conv2d(left, count, 3, padding=1, bias_attr=False), right], 1)


def gated(x: Tensor, y: Tensor) -> Tensor:
    """Squeeze and excite of a sum."""
    return squeeze(merged(lambda one, other: one + other)(x, y), y)


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
    "prelu": unary(lambda x: static.nn.prelu(x, "channel", slopes())),
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
# What engines take scales from, and hand them to.
HANDING: dict[str, Layer] = {
    "part": part,
    "gated": gated,
    "multiple": unary(lambda x: x * 0.25),
    "mean": unary(lambda x: F.avg_pool2d(x, 3, 1, 1)),
    "residual": merged(lambda x, y: y + static.nn.conv2d(F.gelu(x), x.shape[1], 1, bias_attr=False)),
}
LAYERS = {**SIMPLE, **HANDING}
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

    def model(self, batch: int = -1) -> Model:
        return build_model(self.build, (self.image(),), batch=batch)

    def image(self, images: int = 2) -> np.ndarray:
        return floats(images, 4, 8, 8)

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
def nets(draw: st.DrawFn, kinds: Sequence[str] = (*SIMPLE, *RARE)) -> Net:
    """Half of the layers are convolutions, so that there is something to fuse and to quantize."""
    chosen = draw(st.lists(st.sampled_from(["conv", *kinds]), min_size=2, max_size=6))
    names = [name for kind in chosen for name in (["conv"] if kind == "conv" else ["conv", kind])]
    layers = [
        (name, draw(CONVOLUTIONS) if name == "conv" else LAYERS[name], draw(st.integers(0, 6)))
        for name in names
    ]
    return Net(tuple(layers), draw(st.booleans()))
