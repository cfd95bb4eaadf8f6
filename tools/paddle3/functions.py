"""Programs of a few ops each, saved with what Paddle 3.3.1 computes, for tests/qcc/frontend/paddle3.

They are the ops that the reader converts by hand. Runs under paddlepaddle 3.3.1:

    PYTHONPATH=tools python tools/paddle3/functions.py tests/qcc/frontend/paddle3/functions.json.gz [NAME ...]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import _C_ops
from paddle.static import InputSpec
from paddle3.saving import Cases
from paddle3.values import Input

# The shape of an input that may have any size along each axis, when the program is saved.
X = [2, 3, 4]


def _split_sizes(x: Any) -> Any:
    return paddle.split(x, [1, -1], axis=1)


def _set_rows(x: Any) -> Any:
    y = x * 2
    y[:, 0] = 7.0
    return y


def _set_tensor(x: Any) -> Any:
    y = x * 2
    y[:, 1:] = x[:, :2]
    return y + x


def _write_after_read(x: Any) -> Any:
    y = x + 1
    z = y * 3
    y[0] = 0.0
    return z, y


def _flatten_by_shape(x: Any) -> Any:
    return x.reshape([x.shape[0], x.shape[1] * x.shape[2]])


def _swap_by_shape(x: Any) -> Any:
    return x.reshape([x.shape[2], x.shape[0], -1])


def _unknown_everywhere(x: Any) -> Any:
    return x.reshape([x.shape[2], x.shape[1], x.shape[0]])


def _grid(x: Any) -> Any:
    h, w = x.shape[1], x.shape[2]
    ys, xs = paddle.meshgrid(paddle.arange(h, dtype="float32"), paddle.arange(0, w, 1, dtype="float32"))
    return paddle.stack([xs, ys], -1) + 0.5


def _full_by_shape(x: Any) -> Any:
    return paddle.full([x.shape[0], 2, x.shape[2]], 3.5) + 1


def _expand_by_shape(x: Any) -> Any:
    return x[:, :1].expand([-1, x.shape[1] + 2, -1])


def _tile_by_shape(x: Any) -> Any:
    return paddle.tile(x[:1], [x.shape[0], 1, 2])


def _slice_by_shape(x: Any) -> Any:
    return x[:, : x.shape[2] - 2], x[:, 1 : x.shape[1]]


def _resize_by_shape(x: Any) -> Any:
    y = x.unsqueeze(0)
    return F.interpolate(y, size=[x.shape[1] * 2, x.shape[2] * 3], mode="bilinear")


def _append(x: Any) -> Any:
    parts = []
    for index in range(3):
        parts.append(x[:, index] * index)
    return paddle.concat(parts, -1)


def _loop(x: Any) -> Any:
    parts, index = [], paddle.zeros([1], "int64")
    while index < 3:
        parts.append(x * index.astype("float32"))
        index = index + 1
    return paddle.concat(parts, 0), parts[1]


def _nested(x: Any, y: Any) -> Any:
    index, total = paddle.zeros([1], "int64"), x * 0
    while index < y:
        if total.sum() > 1:
            total = total - 1
        else:
            inner = paddle.zeros([1], "int64")
            while inner < 2:
                total, inner = total + x, inner + 1
        index = index + 1
    return total


def _early(x: Any) -> Any:
    if x.mean() > 5:
        return x, x.sum()
    return x * 2, x.max()


def _write_in_loop(x: Any) -> Any:
    y, index = x * 1, paddle.zeros([1], "int64")
    while index < 2:
        y[:, 0] = y[:, 1] + 1
        index = index + 1
    return y


# name: function, then the shape of each input with its dtype where that is not float32
FUNCTIONS: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "reshape_keep": (lambda x: x.reshape([0, -1]), [X]),
    "flatten_by_shape": (_flatten_by_shape, [X]),
    "swap_by_shape": (_swap_by_shape, [X]),
    "unknown_everywhere": (_unknown_everywhere, [X]),
    "squeeze": (lambda x: x[:, :1].squeeze(1), [X]),
    "unsqueeze": (lambda x: x.unsqueeze([0, -1]), [X]),
    "transpose": (lambda x: x.transpose([2, 0, 1]), [X]),
    "flatten": (lambda x: paddle.flatten(x, 1), [X]),
    "shape": (lambda x: paddle.shape(x) + 1, [X]),
    "numel": (lambda x: paddle.numel(x) + 1, [X]),
    "grid": (_grid, [X]),
    "full_by_shape": (_full_by_shape, [X]),
    "expand_by_shape": (_expand_by_shape, [X]),
    "tile_by_shape": (_tile_by_shape, [X]),
    "slice_by_shape": (_slice_by_shape, [X]),
    "resize_by_shape": (_resize_by_shape, [X]),
    "strided_slice": (lambda x: x[:, ::-1, 1::2], [X]),
    "slice_last": (lambda x: x[..., -1], [X]),
    "split_num": (lambda x: paddle.split(x, 3, axis=1), [X]),
    "split_sizes": (_split_sizes, [X]),
    "unbind": (lambda x: paddle.unbind(x, 1), [(2, 3, 4)]),
    "set_rows": (_set_rows, [X]),
    "set_tensor": (_set_tensor, [X]),
    "write_after_read": (_write_after_read, [X]),
    "append": (_append, [X]),
    "loop": (_loop, [X]),
    "nested": (_nested, [X, ((1,), "int64")]),
    "early": (_early, [X]),
    "write_in_loop": (_write_in_loop, [X]),
    "svdvals": (lambda x: paddle.linalg.svdvals(x), [X]),
    "slogdet": (lambda x: paddle.linalg.slogdet(x), [(2, 3, 3)]),
    "masked_fill": (lambda x, y: paddle.masked_fill(x, y, -1e9), [X, (X, "bool")]),
    "masked_softmax": (
        lambda x, y: F.softmax(paddle.where(y, x, paddle.full_like(x, float("-inf"))), -1),
        [X, (X, "bool")],
    ),
    "where": (lambda x, y: paddle.where(x > 0, x, y), [X, X]),
    "tril": (lambda x: paddle.tril(x), [X]),
    "triu": (lambda x: paddle.triu(x, 1), [X]),
    "zeros_like": (lambda x: paddle.zeros_like(x) + x, [X]),
    "ones_like": (lambda x: paddle.ones_like(x) + x, [X]),
    "full_like": (lambda x: paddle.full_like(x, 2.5) * x, [X]),
    "full_infinite": (lambda x: paddle.maximum(x, paddle.full([1], float("-inf"))), [X]),
    "arange_int": (lambda x: paddle.arange(0, 6, 2) + x, [((3,), "int64")]),
    "linspace": (lambda x: paddle.linspace(0, 1, 4) + x, [X]),
    "assign_value": (lambda x: x + paddle.to_tensor(np.arange(4, dtype="float32")), [X]),
    "assign_int": (lambda x: x + paddle.to_tensor(np.arange(4)), [(X, "int64")]),
    "eye": (lambda x: x @ paddle.eye(4), [X]),
    "mean": (lambda x: paddle.mean(x), [X]),
    "mean_axis": (lambda x: paddle.mean(x, [1, 2], keepdim=True), [X]),
    "sum": (lambda x: paddle.sum(x, -1), [X]),
    "sum_int": (lambda x: paddle.sum(x, 1), [(X, "int32")]),
    "sum_bool": (lambda x: paddle.sum(x), [(X, "bool")]),
    "max_min": (lambda x: paddle.max(x, 1) - paddle.min(x, 2).sum(), [X]),
    "amax": (lambda x: paddle.amax(x, 1), [X]),
    "prod": (lambda x: paddle.prod(x, 1), [X]),
    "any_all": (lambda x: paddle.any(x, 1) & paddle.all(x, [0, 1, 2]), [(X, "bool")]),
    "std": (lambda x: paddle.std(x, 1), [(2, 3, 4)]),
    "var": (lambda x: paddle.var(x, 2, unbiased=False, keepdim=True), [(2, 3, 4)]),
    "nanmedian": (lambda x: paddle.nanmedian(paddle.log(x), 1), [X]),
    "median": (lambda x: (paddle.median(x, 1), paddle.median(paddle.log(x + 0.5), 2)), [X]),
    "logsumexp": (lambda x: paddle.logsumexp(x, 1), [X]),
    "reduce_as": (lambda x, y: _C_ops.reduce_as(x, y), [(2, 3, 4), (3, 1)]),
    "nansum": (lambda x: paddle.nansum(paddle.log(x), 1), [X]),
    "argmax": (lambda x: paddle.argmax(x, -1), [X]),
    "argsort": (lambda x: paddle.argsort(x, 1, descending=True), [X]),
    "sort": (lambda x: paddle.sort(x, 1), [X]),
    "topk": (lambda x: paddle.topk(x, 2), [X]),
    "cumsum": (lambda x: paddle.cumsum(x, 1), [X]),
    "cumprod": (lambda x: paddle.cumprod(x, 1), [X]),
    "swiglu": (lambda x: F.swiglu(x), [(2, 3, 4)]),
    "swiglu_two": (lambda x, y: _C_ops.swiglu(x, y), [X, X]),
    "layer_norm": (lambda x: F.layer_norm(x, [4]), [X]),
    "group_norm": (lambda x: F.group_norm(x, 2), [(2, 4, 3, 3)]),
    "instance_norm": (lambda x: F.instance_norm(x), [(2, 3, 4, 4)]),
    "linear": (lambda x, y, z: F.linear(x, y, z), [X, (4, 5), (5,)]),
    "linear_v2": (lambda x, y, z: _C_ops.linear_v2(x, y, z, False), [X, (4, 5), (5,)]),
    "baddbmm": (lambda x, y, z: paddle.baddbmm(z, x, y, 0.5, 2.0), [(2, 3, 4), (2, 4, 5), (2, 3, 5)]),
    "addmm": (lambda x, y, z: paddle.addmm(z, x, y, 0.5, 2.0), [(3, 4), (4, 5), (3, 5)]),
    "einsum": (lambda x, y: paddle.einsum("bij,bjk->bik", x, y), [(2, 3, 4), (2, 4, 5)]),
    "conv_transpose": (
        lambda x, y, z: F.conv2d_transpose(x, y, z, stride=2),
        [(2, 3, 4, 4), (3, 5, 2, 2), (5,)],
    ),
    "depthwise_transpose": (
        lambda x, y: F.conv2d_transpose(x, y, groups=3, stride=2),
        [(2, 3, 4, 4), (3, 1, 2, 2)],
    ),
    "conv1d": (lambda x, y: F.conv1d(x, y, padding=1), [(2, 3, 8), (5, 3, 3)]),
    "conv3d": (lambda x, y: F.conv3d(x, y), [(1, 3, 4, 4, 4), (2, 3, 2, 2, 2)]),
    "pad": (lambda x: F.pad(x, [1, 2, 0, 1], value=0.5), [(2, 3, 4, 4)]),
    "pad_reflect": (lambda x: F.pad(x, [1, 2, 0, 1], mode="reflect"), [(2, 3, 4, 4)]),
    "pools": (lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2), [(2, 3, 4, 4)]),
    "adaptive_pools": (lambda x: F.adaptive_max_pool2d(x, 2) + F.adaptive_avg_pool2d(x, 2), [(2, 3, 5, 5)]),
    "pool_index": (lambda x: F.max_pool2d(x, 2, return_mask=True), [(2, 3, 4, 4)]),
    "lp_pool": (lambda x: F.lp_pool2d(x, 2.0, 2), [(2, 3, 4, 4)]),
    "lp_pool_padded": (lambda x: F.lp_pool2d(paddle.abs(x), 3.0, [2, 3], [1, 2], 1), [(2, 3, 5, 6)]),
    "outer_sizes": (
        lambda x: paddle.shape(x)[:2].unsqueeze(1) * paddle.arange(3) + paddle.shape(x)[2],
        [(2, 3, 4)],
    ),
    "unfold": (lambda x: F.unfold(x, 2), [(2, 3, 4, 4)]),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [(2, 4, 3, 3)]),
    "grid_sample": (lambda x, y: F.grid_sample(x, y), [(2, 3, 4, 4), (2, 5, 5, 2)]),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), [(2, 3, 4, 4)]),
    "bicubic": (lambda x: F.interpolate(x, size=[7, 9], mode="bicubic"), [(2, 3, 4, 4)]),
    "repeat_interleave": (lambda x: paddle.repeat_interleave(x, 2, 1), [X]),
    "repeat_tensor": (
        lambda x, y: paddle.repeat_interleave(x, y, 1),
        [(2, 3, 4), ((3,), "int32")],
    ),
    "gather": (lambda x, y: paddle.gather(x, y, axis=1), [X, ((2,), "int64")]),
    "gather_nd": (lambda x, y: paddle.gather_nd(x, y), [X, ((5, 2), "int64")]),
    "index_tensor": (lambda x, y: x[y], [X, ((3,), "int64")]),
    "index_select": (lambda x, y: paddle.index_select(x, y, 1), [X, ((2,), "int64")]),
    "take_along": (lambda x, y: paddle.take_along_axis(x, y, 1), [(2, 3, 4), ((2, 3, 4), "int64")]),
    "put_along": (
        lambda x, y: paddle.put_along_axis(x, y, 1.5, 1),
        [(2, 3, 4), ((2, 1, 4), "int64")],
    ),
    "scatter": (lambda x, y, z: paddle.scatter(x, y, z), [(4, 3), ((2,), "int64"), (2, 3)]),
    "one_hot": (lambda x: F.one_hot(x, 3), [((2, 4), "int64")]),
    "nonzero": (lambda x: paddle.nonzero(x > 0), [X]),
    "masked_select": (lambda x: paddle.masked_select(x, x > 0), [X]),
    "embedding": (lambda x, y: F.embedding(x, y), [((2, 3), "int64"), (3, 4)]),
    "round": (lambda x: paddle.round(x * 10), [X]),
    "trunc": (lambda x: paddle.trunc(x * 10), [X]),
    "floor_mod": (lambda x: paddle.mod(x, paddle.full([1], 0.3)) + paddle.floor(x), [X]),
    "floor_divide": (lambda x: x // 2, [(X, "int64")]),
    "copysign": (lambda x, y: paddle.copysign(x, y), [X, X]),
    "lgamma": (lambda x: paddle.gammaln(paddle.abs(x) + 1), [X]),
    "shift": (lambda x: paddle.bitwise_left_shift(x, paddle.full_like(x, 2)), [(X, "int32")]),
    "activations": (
        lambda x: (
            F.gelu(x)
            + F.silu(x)
            + F.mish(x)
            + F.elu(x)
            + F.selu(x)
            + F.softplus(x)
            + F.hardtanh(x)
            + F.hardshrink(x)
            + F.softshrink(x)
            + F.tanhshrink(x)
            + F.celu(x)
            + F.log_sigmoid(x)
        ),
        [X],
    ),
    "thresholded_relu": (lambda x: F.thresholded_relu(x, 0.3), [X]),
    "prelu": (lambda x, y: F.prelu(x, y), [(2, 3, 4, 4), (3,)]),
    "clip_tensor": (lambda x, y: paddle.clip(x, y, 0.5), [X, (1,)]),
    "pow_scale": (lambda x: (x * 2 + 1) ** 2 / 3 - x.abs().sqrt().rsqrt(), [X]),
    "compare": (lambda x, y: (x > y) | ((x == y) ^ (x <= 0)), [X, X]),
    "cast": (lambda x: x.astype("int32").astype("float64"), [X]),
    "in_place": (lambda x: F.relu_(x + 1).add_(x), [X]),
    "norm": (lambda x: paddle.linalg.norm(x, 2, 1), [X]),
    "cosine": (lambda x, y: F.cosine_similarity(x, y), [X, X]),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), [X]),
    "two_outputs": (lambda x: (x * 2, x + 1), [X]),
    "roll_flip": (lambda x: paddle.roll(paddle.flip(x, [1]), 1, 2), [X]),
    "kron": (lambda x, y: paddle.kron(x, y), [(2, 3), (2, 2)]),
    "broadcast": (lambda x, y: paddle.broadcast_tensors([x, y]), [(2, 1, 4), (3, 1)]),
    "fft": (lambda x: paddle.fft.rfft(x).abs(), [X]),
    "unique": (lambda x: paddle.unique(x), [((6,), "int64")]),
    "bincount": (lambda x: paddle.bincount(x), [((6,), "int64")]),
    "histogram": (lambda x: paddle.histogram(x, 4, -1.0, 1.0), [X]),
    "searchsorted": (lambda x, y: paddle.searchsorted(paddle.sort(x), y), [(5,), (3,)]),
    "roi_align": (
        lambda x, y: paddle.vision.ops.roi_align(
            x, paddle.abs(y) * 4, paddle.full([1], 2, dtype="int32"), output_size=2
        ),
        [(1, 3, 8, 8), (2, 4)],
    ),
    "deformable": (
        lambda x, y, z: paddle.vision.ops.deform_conv2d(x, y, z),
        [(1, 3, 5, 5), (1, 18, 3, 3), (2, 3, 3, 3)],
    ),
    "matrix_nms": (
        lambda x, y: paddle.vision.ops.matrix_nms(
            paddle.abs(x), paddle.abs(y), 0.1, 0.05, 10, 5, background_label=-1
        )[0],
        [(1, 6, 4), (1, 2, 6)],
    ),
    "prior_box": (
        lambda x, y: paddle.vision.ops.prior_box(x, y, [4.0], [8.0], [1.0, 2.0]),
        [(1, 3, 4, 4), (1, 3, 16, 16)],
    ),
}


class Wrapped(paddle.nn.Layer):
    """A function as a layer. Paddle rewrites source code, in which it cannot find a lambda among others."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = paddle.jit.not_to_static(function) if function.__name__ == "<lambda>" else function

    def forward(self, x: Any, y: Any = None, z: Any = None) -> Any:
        if z is not None:
            return self.function(x, y, z)
        return self.function(x) if y is None else self.function(x, y)


def main(path: Path, names: list[str]) -> None:
    """Each in a process of its own: Paddle 3.3.1 ends it on some."""
    for name in names or FUNCTIONS:
        child = os.fork()
        if child == 0:
            cases = Cases(path)
            try:
                _save(cases, name, *FUNCTIONS[name])
            except Exception as error:  # tell all that fail at once
                print(f"{name}: {str(error).strip().splitlines()[-1][:200]}", flush=True)
                os._exit(1)
            cases.write()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status and not os.WIFEXITED(status):
            print(f"{name}: Paddle has crashed", flush=True)


def _save(cases: Cases, name: str, function: Callable[..., Any], shapes: Sequence[Any]) -> None:
    """Inputs whose shape is `X` are of any size along each axis."""
    specs, inputs = [], []
    for index, given in enumerate(shapes):
        shape, dtype = given if isinstance(given[-1], str) else (given, "float32")
        free = [None if shape is X else size for size in shape]
        specs.append(InputSpec(free, dtype, "xyz"[index]))
        inputs.append(Input(index, tuple(shape), dtype, *((0, 2) if dtype.startswith("int") else ())))
    with paddle.utils.unique_name.guard():
        cases.save(name, paddle.jit.to_static(Wrapped(function)), specs, inputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
