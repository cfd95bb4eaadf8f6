"""Ops that Paddle Lite has not, or not right, in its x86 runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from lite_case import F, append_op, build_model, by_name, floats, static

from qcc._paddle import paddle
from qcc.backends.lite.export import export
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.spellings import FOR_LITE, IN_PARTS

IMAGE = floats(1, 8, 12, 12)


def op(kind: str, **attrs: Any) -> Callable[[Any], Any]:
    return lambda x: append_op(kind, {"X": x}, {"Out": "float32"}, attrs)[0]


OPS: dict[str, Callable[[Any], Any]] = {
    "addmm": lambda x: paddle.addmm(x[0, 0, :1, :], x[0, 1], x[0, 2], beta=0.5, alpha=2.0),
    "bitwise_and": lambda x: paddle.where(paddle.bitwise_and(x > 0.0, x < 0.5), x, x * 2.0),
    "bitwise_not": lambda x: paddle.where(paddle.bitwise_not(x > 0.0), x, x * 2.0),
    "bitwise_or": lambda x: paddle.where(paddle.bitwise_or(x < 0.0, x > 0.5), x, x * 2.0),
    "bitwise_xor": lambda x: paddle.where(paddle.bitwise_xor(x > 0.0, x > 0.5), x, x * 2.0),
    "bmm": lambda x: paddle.bmm(x[0], x[0]),
    "brelu": op("brelu", t_min=-0.5, t_max=0.7),
    "elementwise_floordiv": lambda x: paddle.floor_divide(x, x[:, :1] + 0.3),
    "crop_tensor": lambda x: paddle.crop(x, [-1, -1, 4, 7], [0, 2, 3, 0]),
    "expand_as_v2": lambda x: x * paddle.expand_as(paddle.mean(x, [2, 3], keepdim=True), x),
    "expm1": lambda x: paddle.expm1(x),
    "fold": lambda x: F.fold(F.unfold(x, 2, 2) * 2.0, [12, 12], 2, 2),
    "frobenius_norm": lambda x: paddle.norm(x, axis=[1, 3], keepdim=True),
    "gelu": lambda x: F.gelu(x, approximate=True),
    "hard_swish": op("hard_swish", threshold=5.0, scale=8.0, offset=2.0),
    "lerp": lambda x: paddle.lerp(x, x[:, 1:2], F.sigmoid(x)),
    "log10": lambda x: paddle.log10(F.relu(x) + 0.5),
    "log1p": lambda x: paddle.log1p(F.relu(x)),
    "log2": lambda x: paddle.log2(F.relu(x) + 0.5),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "logit": lambda x: paddle.logit(x, 0.1),
    "logsigmoid": lambda x: F.log_sigmoid(x),
    "maxout": lambda x: F.maxout(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "pow": lambda x: paddle.pow(x, 3.0),
    "reduce_amax": lambda x: paddle.amax(x, [1, 3], keepdim=True),
    "reduce_amin": lambda x: paddle.amin(x, 2),
    "relu6": op("relu6", threshold=4.0),
    "selu": lambda x: F.selu(x),
    "sign": lambda x: paddle.sign(x),
    "soft_relu": op("soft_relu", threshold=3.0),
    "softsign": lambda x: F.softsign(x),
    "stanh": lambda x: paddle.stanh(x, 0.7, 1.7),
    "strided_slice": lambda x: x[:, ::-1, 1:9:3],
    "swish": op("swish", beta=1.5),
    "trunc": lambda x: paddle.trunc(x * 3.0),
}


IN_SEVERAL: dict[str, Callable[[Any], Any]] = {
    "broadcast_tensors": lambda x: paddle.concat(paddle.broadcast_tensors([x[:, :1], x[:, :, :1]]), 1),
    "unbind": lambda x: paddle.stack(paddle.unbind(x, -2)[2:5], 1),
    "unstack": lambda x: paddle.stack(paddle.unstack(x, 1)[::-1], 1),
}
OPS |= IN_SEVERAL


@pytest.mark.parametrize("name", by_name(OPS))
def test_right_in_its_runtime(name: str, tmp_path: Path) -> None:
    model = build_model(OPS[name], (IMAGE,))
    assert name in {op.type for op in model.graph.ops}
    assert not export(model, tmp_path / "model.nb", arch="x86", check={"x0": IMAGE}).warnings


@pytest.mark.parametrize("name", by_name(OPS))
def test_has_kernels_on_arm(name: str, tmp_path: Path) -> None:
    export(build_model(OPS[name], (IMAGE,)), tmp_path / "model.nb", arch="arm")


@pytest.mark.lite
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_a_quotient_is_rounded_down(dtype: str, tmp_path: Path) -> None:
    """The runtime's own kernel rounds towards zero. Of integers, also such whose product leaves 32 bits."""
    x = np.array([*range(-9, 10), -70000, 70000, -2147483647, 2147483647], dtype)[None]
    if dtype == "float32":
        x = np.clip(x, -1e5, 1e5)
    divisors = [np.array([[value]], dtype) for value in (4, -4, 3, 65536, -65536)]
    model = build_model(lambda x, *by: [paddle.floor_divide(x, y) for y in by], (x, *divisors), batch=1)
    feed = {f"x{place}": array for place, array in enumerate((x, *divisors))}
    export(model, tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        found = runtime.run(feed)
    for array, paddles, divisor in zip(found, model.run(feed), divisors, strict=True):
        np.testing.assert_array_equal(paddles, x // divisor)
        np.testing.assert_array_equal(array, x // divisor)


def test_all_are_tried() -> None:
    assert set(OPS) == {*FOR_LITE, *IN_PARTS}


def test_queries_keys_and_values(tmp_path: Path) -> None:
    """As most vision transformers cut them: the runtime's own unbind writes beyond what it has."""
    tokens = floats(2, 16, 16)

    def build(x: Any) -> Any:
        parts = paddle.reshape(static.nn.fc(x, 48, num_flatten_dims=2), [-1, 16, 3, 2, 8])
        query, key, value = paddle.unbind(paddle.transpose(parts, [2, 0, 3, 1, 4]), 0)
        return paddle.matmul(F.softmax(paddle.matmul(query, key, transpose_y=True)), value)

    model = build_model(build, (tokens,))
    assert not export(model, tmp_path / "model.nb", arch="x86", check={"x0": tokens}).warnings


@pytest.mark.parametrize("arch", ["x86", "arm"])
def test_attention_by_einsum(arch: Literal["x86", "arm"], tmp_path: Path) -> None:
    """As products of matrices; the heads stand behind."""
    tokens = floats(2, 16, 24)

    def build(x: Any) -> Any:
        query, key = (paddle.reshape(static.nn.fc(x, 24, num_flatten_dims=2), [-1, 16, 3, 8]) for _ in "qk")
        scores = F.softmax(paddle.einsum("bqhc,bkhc->bhqk", query, key))
        return paddle.einsum("bhqk,bkhc->bqhc", scores, key)

    model = build_model(build, (tokens,))
    check: Any = {"x0": tokens} if arch == "x86" else True
    assert not export(model, tmp_path / "model.nb", arch=arch, check=check).warnings
