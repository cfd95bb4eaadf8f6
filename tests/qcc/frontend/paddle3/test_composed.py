"""Ops that 2.6 composes, and Paddle 3.3.1 has on GPUs alone: the formula in numpy is what counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Json, Program, save, tensor

import qcc

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (2, 3, 4)).astype(np.float32)
IMAGE = RNG.uniform(-1, 1, (1, 4, 5, 5)).astype(np.float32)
NULL: Json = {"#": "NULL"}


def run(
    folder: Path,
    op: str,
    feeds: dict[str, np.ndarray],
    results: Sequence[Json],
    attrs: dict[str, Any],
    constants: Sequence[Any] = (),
) -> list[np.ndarray]:
    """The results of one op whose operands are the feeds, then constants (None for an absent one)."""
    program = Program()
    operands = [program.feed(name, value.shape, str(value.dtype)) for name, value in feeds.items()]
    for constant in constants:
        operands.append(0 if constant is None else program.ints(constant))
    for column, number in enumerate(program.op(op, operands, results, attrs)):
        if results[column] is not NULL:
            program.fetch(number, column)
    found = qcc.load(save(program, folder, {})).run(feeds)
    return [np.asarray(value) for value in found]


def test_rms_norm(tmp_path: Path) -> None:
    scale = np.array([0.5, 1, 2, -1], np.float32)
    attrs = {"normalized_shape": [4], "epsilon": 1e-3}
    feeds = {"x": X, "scale": scale}
    (found,) = run(tmp_path, "rms_norm", feeds, [tensor(X.shape), NULL], attrs)
    wanted = X / np.sqrt((X**2).mean(-1, keepdims=True) + np.float32(1e-3)) * scale
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(("causal", "masked"), [(False, False), (True, False), (False, True)])
def test_attention_of_gpus(causal: bool, masked: bool, tmp_path: Path) -> None:
    q, k, v = (RNG.uniform(-1, 1, (2, 5, 3, 4)).astype(np.float32) for _ in range(3))
    mask = RNG.uniform(-1, 1, (2, 1, 5, 5)).astype(np.float32)
    program = Program()
    feeds = {"q": q, "k": k, "v": v} | ({"mask": mask} if masked else {})
    given = [program.feed(name, value.shape) for name, value in feeds.items()]
    operands = [*given[:3], 0, given[3] if masked else 0]
    attrs = {"dropout": 0.0, "causal": causal, "return_softmax": False, "is_test": True, "rng_name": ""}
    program.fetch(program.op("flash_attn", operands, [tensor(q.shape), NULL, NULL, NULL], attrs)[0])
    found = np.asarray(qcc.load(save(program, tmp_path, {})).run(feeds)[0])
    scores = np.einsum("bihd,bjhd->bhij", q, k) / 2 + (mask if masked else 0)
    scores = np.where(np.tri(5, dtype=bool) | (not causal), scores, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, np.einsum("bhij,bjhd->bihd", weights, v), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attrs", "ddof", "root"),
    [
        ("variance", {}, 0, False),
        ("var", {"unbiased": True, "correction": 1.0}, 1, False),
        ("var", {"unbiased": True, "correction": 2.0}, 2, False),
        ("std", {"unbiased": False, "correction": 1.0}, 0, True),
    ],
)
@pytest.mark.parametrize("axes", [[1], [0, 2], []])
def test_variance(
    op: str, attrs: dict[str, Any], ddof: int, root: bool, axes: list[int], tmp_path: Path
) -> None:
    axis = tuple(axes) or None
    wanted = X.var(axis, ddof=ddof, keepdims=True)
    results = [tensor(wanted.shape)]
    (found,) = run(tmp_path, op, {"x": X}, results, attrs | {"axis": axes, "keepdim": True})
    np.testing.assert_allclose(found, np.sqrt(wanted) if root else wanted, rtol=1e-5, atol=1e-6)


def test_a_sum_without_nan(tmp_path: Path) -> None:
    x = np.where(X > 1, np.nan, X).astype(np.float32)
    attrs = {"axis": [2], "keepdim": False, "dtype": ("dtype", "Undefined(ALL_DTYPE)")}
    (found,) = run(tmp_path, "nansum", {"x": x}, [tensor([2, 3])], attrs)
    np.testing.assert_allclose(found, np.nansum(x, 2), rtol=1e-6)


def test_rint_takes_the_even_one_of_two(tmp_path: Path) -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609.0, -3.7], np.float32)
    (found,) = run(tmp_path, "rint", {"x": x}, [tensor(x.shape)], {})
    np.testing.assert_array_equal(found, np.rint(x))


@pytest.mark.parametrize("keep", [True, False])
def test_max_with_index(keep: bool, tmp_path: Path) -> None:
    shape = [2, 1, 4] if keep else [2, 4]
    attrs = {"dim": 1, "keepdim": keep, "flatten": False}
    results = [tensor(shape), tensor(shape, "int64")]
    for name, extreme, where in (("max", np.max, np.argmax), ("min", np.min, np.argmin)):
        values, indices = run(tmp_path, f"{name}_with_index", {"x": X}, results, attrs)
        np.testing.assert_array_equal(values, extreme(X, 1, keepdims=keep))
        np.testing.assert_array_equal(indices.reshape(2, 4), where(X, 1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_depthwise_convolution_has_its_bias(bias: bool, tmp_path: Path) -> None:
    weight = np.ones((4, 1, 1, 1), np.float32)
    shift = np.array([1, 2, 3, 4], np.float32)
    attrs = {
        "strides": [1, 1], "paddings": [0, 0], "padding_algorithm": "EXPLICIT", "dilations": [1, 1],
        "groups": 4, "data_format": "NCHW",
    }  # fmt: skip
    feeds = {"x": IMAGE, "w": weight} | ({"b": shift} if bias else {})
    constants = [] if bias else [None]
    (found,) = run(tmp_path, "depthwise_conv2d_bias", feeds, [tensor(IMAGE.shape)], attrs, constants)
    np.testing.assert_array_equal(found, IMAGE + shift.reshape(1, 4, 1, 1) * bias)


def test_a_transposed_convolution_has_its_bias(tmp_path: Path) -> None:
    weight = np.ones((4, 2, 1, 1), np.float32)
    attrs = {
        "strides": [1, 1], "paddings": [0, 0], "output_padding": [], "padding_algorithm": "EXPLICIT",
        "groups": 1, "dilations": [1, 1], "data_format": "NCHW",
    }  # fmt: skip
    feeds = {"x": IMAGE, "w": weight, "b": np.array([1, -1], np.float32)}
    (found,) = run(tmp_path, "conv2d_transpose_bias", feeds, [tensor([1, 2, 5, 5])], attrs, [[]])
    wanted = IMAGE.sum(1, keepdims=True) + np.array([1, -1], np.float32).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_group_norm_with_residual_and_silu(tmp_path: Path) -> None:
    attrs = {"epsilon": 1e-5, "groups": 2, "data_format": "NCHW", "activation": "silu"}
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    feeds = {"x": IMAGE, "residual": IMAGE * 2, "scale": ones, "bias": zeros}
    results = [tensor(IMAGE.shape)] * 2 + [tensor([1, 2])] * 2
    y, total, *_ = run(tmp_path, "add_group_norm_silu", feeds, results, attrs)
    np.testing.assert_array_equal(total, IMAGE + IMAGE * 2)
    groups = total.reshape(1, 2, -1)
    normed = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    wanted = (normed / (1 + np.exp(-normed))).reshape(IMAGE.shape)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-6)


def test_a_count_of_integers(tmp_path: Path) -> None:
    x = np.array([0, 3, 3, 1], np.int64)
    attrs = {"low": 0, "high": 5, "dtype": 9}
    (found,) = run(tmp_path, "int_bincount", {"x": x}, [tensor([5], "int64")], attrs)
    np.testing.assert_array_equal(found, [1, 1, 0, 2, 0])


def test_rows_of_a_view(tmp_path: Path) -> None:
    (found,) = run(tmp_path, "view_slice", {"x": X}, [tensor([1, 3, 4])], {"begin_idx": 1, "end_idx": 2})
    np.testing.assert_array_equal(found, X[1:2])


def test_a_product_of_flattened_matrices(tmp_path: Path) -> None:
    y = RNG.uniform(-1, 1, (12, 2)).astype(np.float32)
    attrs = {"x_num_col_dims": 1, "y_num_col_dims": 1}
    (found,) = run(tmp_path, "matmul_with_flatten", {"x": X, "y": y}, [tensor([2, 2])], attrs)
    np.testing.assert_allclose(found, X.reshape(2, 12) @ y, rtol=1e-5, atol=1e-6)


def test_a_vocabulary_of_an_old_embedding(tmp_path: Path) -> None:
    words, ids = RNG.uniform(-1, 1, (5, 3)).astype(np.float32), np.array([[1], [4]], np.int64)
    (found,) = run(tmp_path, "lookup_table", {"w": words, "ids": ids}, [tensor([2, 3])], {"padding_idx": -1})
    np.testing.assert_array_equal(found, words[[1, 4]])


def test_what_is_the_last_of_a_long_sum(tmp_path: Path) -> None:
    """reduce_as, where the target has axes of size 1 and lacks others."""
    target = np.zeros((3, 1), np.float32)
    (found,) = run(tmp_path, "reduce_as", {"x": X, "target": target}, [tensor([3, 1])], {})
    np.testing.assert_allclose(found, X.sum((0, 2)).reshape(3, 1), rtol=1e-5, atol=1e-6)
