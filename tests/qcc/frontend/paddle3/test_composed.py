"""Ops that 2.6 composes, and Paddle 3.3.1 has on GPUs alone: the formula in numpy is what counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Json, Program, save, tensor

import qcc
from qcc.errors import PaddleError

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (2, 3, 4)).astype(np.float32)
IMAGE = RNG.uniform(-1, 1, (1, 4, 5, 5)).astype(np.float32)
FAR = (1 << 31) - 1
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


def test_causal_attention_of_open_lengths(tmp_path: Path) -> None:
    """It runs where they are the same, and stops where they are not: which keys are later ones then?"""
    program = Program()
    given = [program.feed(name, [-1, -1, 2, 4]) for name in "qkv"]
    attrs = {"dropout": 0.0, "causal": True, "return_softmax": False, "is_test": True, "rng_name": ""}
    results = [tensor([-1, -1, 2, 4]), NULL, NULL, NULL]
    program.fetch(program.op("flash_attn", [*given, 0, 0], results, attrs)[0])
    model = qcc.load(save(program, tmp_path, {}))
    q, k, v = (RNG.uniform(-1, 1, (3, 5, 2, 4)).astype(np.float32) for _ in range(3))
    found = np.asarray(model.run({"q": q, "k": k, "v": v})[0])
    weights = np.exp(np.einsum("bihd,bjhd->bhij", q, k) / 2) * np.tri(5)
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(found, np.einsum("bhij,bjhd->bihd", weights, v), rtol=1e-5, atol=1e-6)
    for queries in (1, 4):
        with pytest.raises(PaddleError, match="reshape"):
            model.run({"q": q[:, :queries], "k": k, "v": v})


@pytest.mark.parametrize(("op", "extreme"), [("amax", np.max), ("amin", np.min)])
@pytest.mark.parametrize("keep", [True, False])
def test_the_extreme_of_a_whole_tensor(op: str, extreme: Any, keep: bool, tmp_path: Path) -> None:
    wanted = extreme(X, keepdims=keep)
    (found,) = run(tmp_path, op, {"x": X}, [tensor(wanted.shape)], {"axis": [], "keepdim": keep})
    assert found.shape == wanted.shape
    assert found == wanted


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_slope_is_as_exact_as_the_numbers_are(dtype: str, tmp_path: Path) -> None:
    x = np.array([-3, -0.5, -0.0, 0, 2, np.nan, -np.inf], dtype)
    (found,) = run(tmp_path, "leaky_relu", {"x": x}, [tensor(x.shape, dtype)], {"negative_slope": 0.3})
    np.testing.assert_array_equal(found, np.where(x > 0, x, x * np.array(0.3, dtype)))


def test_attention_with_fewer_keys_than_queries(tmp_path: Path) -> None:
    """Grouped queries: heads that stand together share a head of keys and of values."""
    q, k, v = (RNG.uniform(-1, 1, (2, 5, heads, 4)).astype(np.float32) for heads in (6, 2, 2))
    program = Program()
    given = [program.feed(name, value.shape) for name, value in {"q": q, "k": k, "v": v}.items()]
    attrs = {"dropout": 0.0, "causal": False, "return_softmax": False, "is_test": True, "rng_name": ""}
    program.fetch(program.op("flash_attn", [*given, 0, 0], [tensor(q.shape), NULL, NULL, NULL], attrs)[0])
    found = np.asarray(qcc.load(save(program, tmp_path, {})).run({"q": q, "k": k, "v": v})[0])
    weights = np.exp(np.einsum("bihd,bjhd->bhij", q, k.repeat(3, 2)) / 2)
    weights /= weights.sum(-1, keepdims=True)
    wanted = np.einsum("bhij,bjhd->bihd", weights, v.repeat(3, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize("op", ["rint", "round"])
def test_the_even_one_of_two_is_taken(op: str, tmp_path: Path) -> None:
    """By Paddle 3, where 2.6 rounds halves away from zero."""
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609.0, -3.7], np.float32)
    (found,) = run(tmp_path, op, {"x": x}, [tensor(x.shape)], {})
    np.testing.assert_array_equal(found, np.rint(x))


@pytest.mark.parametrize(
    ("x_shape", "mask_shape"), [((2, 3, 4, 4), (2, 1, 1, 4)), ((1, 4), (3, 4)), ((2, 3), (2, 3))]
)
def test_a_mask_is_laid_over_all_heads(
    x_shape: tuple[int, ...], mask_shape: tuple[int, ...], tmp_path: Path
) -> None:
    """As in attention: a mask for each sentence."""
    x = RNG.uniform(-1, 1, x_shape).astype(np.float32)
    mask = RNG.uniform(-1, 1, mask_shape) > 0
    shape = np.broadcast_shapes(x_shape, mask_shape)
    (found,) = run(tmp_path, "masked_fill", {"x": x, "mask": mask}, [tensor(shape)], {}, [[-5]])
    np.testing.assert_array_equal(found, np.where(mask, np.float32(-5), x))


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


@pytest.mark.parametrize("op", ["conv2d_transpose", "conv2d_transpose_bias"])
@pytest.mark.parametrize("together", [True, False])
def test_a_transposed_convolution_to_a_size_that_a_run_computes(
    op: str, together: bool, tmp_path: Path
) -> None:
    """As decoders write it: to the height and width of a map, which are one tensor, or one for each."""
    attrs = {
        "strides": [2, 2], "paddings": [1, 1], "output_padding": [], "padding_algorithm": "EXPLICIT",
        "groups": 1, "dilations": [1, 1], "data_format": "NCHW",
    }  # fmt: skip
    weight = RNG.uniform(-1, 1, (4, 2, 3, 3)).astype(np.float32)
    shift = np.array([1, -1], np.float32) * op.endswith("bias")
    program = Program()
    x, w = program.feed("x", [1, 4, -1, -1]), program.feed("w", weight.shape)
    b = [program.feed("b", [2])] if op.endswith("bias") else []
    height, width = (program.feed(name, [1], "int64") for name in ("height", "width"))
    joined = program.combine([height, width], [tensor([1], "int64")] * 2)
    if together:
        joined = program.op("concat", [joined, program.full(0, "int32")], [tensor([2], "int64")], {})[0]
    program.fetch(program.op(op, [x, w, *b, joined], [tensor([1, 2, -1, -1])], attrs)[0])
    model = qcc.load(save(program, tmp_path, {}))
    feeds = {"x": IMAGE, "w": weight} | ({"b": shift} if b else {})
    for size in (9, 10):
        sizes = {"height": np.array([size]), "width": np.array([19 - size])}
        found = np.asarray(model.run(feeds | sizes)[0])
        assert found.shape == (1, 2, size, 19 - size)
        least = found[:, :, :9, :9] - shift.reshape(1, 2, 1, 1)
        np.testing.assert_allclose(
            least, _transposed(IMAGE, weight)[:, :, : least.shape[2], : least.shape[3]], atol=1e-5
        )


def _transposed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The transposed convolution of stride 2 and padding 1, by its definition."""
    height, width = x.shape[2:]
    wide = np.zeros((1, weight.shape[1], 2 * height + 1, 2 * width + 1), np.float32)
    for row in range(height):
        for column in range(width):
            part = np.einsum("c,cokl->okl", x[0, :, row, column], weight)
            wide[0, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += part
    return wide[:, :, 1:-1, 1:-1]


@pytest.mark.parametrize("axis", [-1, -2, 1])
def test_repeats_along_an_axis_that_is_counted_from_the_end(axis: int, tmp_path: Path) -> None:
    wanted = np.repeat(X, 2, axis)
    attrs = {"repeats": 2, "axis": axis}
    (found,) = run(tmp_path, "repeat_interleave", {"x": X}, [tensor(wanted.shape)], attrs)
    np.testing.assert_array_equal(found, wanted)


def test_padding_that_a_run_computes(tmp_path: Path) -> None:
    x = IMAGE[:, :, None]
    attrs = {"mode": "constant", "pad_value": 0.5, "data_format": "NCDHW"}
    feeds = {"x": x, "paddings": np.array([1, 2, 0, 1, 0, 0], np.int32)}
    (found,) = run(tmp_path, "pad3d", feeds, [tensor([-1, -1, -1, -1, -1])], attrs)
    wanted = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1), (1, 2)), constant_values=0.5)
    np.testing.assert_array_equal(found, wanted)


def test_unpooling(tmp_path: Path) -> None:
    x = np.array([[[[5, 7], [13, 15]]]], np.float32)
    feeds = {"x": x, "indices": x.astype(np.int32)}
    attrs = {"ksize": [2, 2], "strides": [2, 2], "padding": [0, 0], "data_format": "NCHW"}
    (found,) = run(tmp_path, "unpool", feeds, [tensor([1, 1, 4, 4])], attrs, [[4, 4]])
    wanted = np.zeros(16, np.float32)
    wanted[[5, 7, 13, 15]] = [5, 7, 13, 15]
    np.testing.assert_array_equal(found.ravel(), wanted)


@pytest.mark.parametrize("masked", [True, False])
def test_a_deformable_convolution_without_a_mask(masked: bool, tmp_path: Path) -> None:
    weight = RNG.uniform(-1, 1, (2, 4, 1, 1)).astype(np.float32)
    attrs = {
        "strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "deformable_groups": 1, "groups": 1,
        "im2col_step": 1,
    }  # fmt: skip
    program = Program()
    feeds = {"x": IMAGE, "offset": np.ones((1, 2, 5, 5), np.float32), "w": weight}
    feeds |= {"mask": np.full((1, 1, 5, 5), 0.5, np.float32)} if masked else {}
    given = [program.feed(name, value.shape) for name, value in feeds.items()]
    operands = given if masked else [*given, 0]
    program.fetch(program.op("deformable_conv", operands, [tensor([1, 2, 5, 5])], attrs)[0])
    found = np.asarray(qcc.load(save(program, tmp_path, {})).run(feeds)[0])
    moved = np.pad(IMAGE, ((0, 0), (0, 0), (0, 1), (0, 1)))[:, :, 1:, 1:]
    wanted = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], moved) * (0.5 if masked else 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_one_of_two_truth_values(tmp_path: Path) -> None:
    feeds = {"condition": X > 0, "x": X > 1, "y": X < -1}
    (found,) = run(tmp_path, "where", feeds, [tensor(X.shape, "bool")], {})
    np.testing.assert_array_equal(found, np.where(X > 0, X > 1, X < -1))


def test_one_double(tmp_path: Path) -> None:
    """As `x[x < 0] = 0.1` has it."""
    program = Program()
    attrs = {"shape": [1], "values": [0.1], "dtype": ("dtype", "float64")}
    program.fetch(program.op("assign_value", [], [tensor([1], "float64")], attrs)[0])
    (found,) = qcc.load(save(program, tmp_path, {})).run({})
    np.testing.assert_array_equal(found, np.array([0.1]))


def test_sizes_that_are_multiples_of_an_open_one_are_open(tmp_path: Path) -> None:
    """Paddle multiplies -1, such as for the statistics of instance_norm."""
    program = Program()
    x = program.feed("x", [-1, 3, 4])
    program.fetch(program.op("relu", [x], [tensor([-8, 3, 4])], {})[0])
    model = qcc.load(save(program, tmp_path, {}))
    assert model.graph.var(model.fetches[0]).shape == (-1, 3, 4)


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


def test_counts_are_read_whatever_their_dtype(tmp_path: Path) -> None:
    """Paddle 2.6 reads them as int32, and sizes that a run computes are int64."""
    program = Program()
    x = program.feed("x", [-1, 4])
    shape = program.op("shape64", [x], [tensor([2], "int64")], {})[0]
    cut = {"axes": [0], "infer_flags": [1], "decrease_axis": [0]}
    rows = program.op("slice", [shape, program.ints([0]), program.ints([1])], [tensor([], "int64")], cut)[0]
    ends = [program.full(number, "float32") for number in (0, 1)]
    attrs = {"dtype": ("dtype", "float32")}
    program.fetch(program.op("linspace", [*ends, rows], [tensor([-1])], attrs)[0])
    mask = program.op("sequence_mask", [shape, rows], [tensor([2, -1])], {"out_dtype": ("dtype", "float32")})
    program.fetch(mask[0], 1)
    line, below = qcc.load(save(program, tmp_path, {})).run({"x": np.ones((5, 4), np.float32)})
    np.testing.assert_allclose(line, np.linspace(0, 1, 5), rtol=1e-6)
    np.testing.assert_array_equal(below, np.arange(5) < [[5], [4]])


def test_sums_with_the_shape_of_a_scalar_are_empty() -> None:
    program = Program()
    x = program.feed("x", [])
    shape = program.op("shape64", [x], [tensor([0], "int64")], {})[0]
    added = program.op("add", [shape, program.ints([1])], [tensor([0], "int64")], {})[0]
    program.fetch(program.op("concat", [
        program.combine([added, program.ints([7])], [tensor([0], "int64"), tensor([1], "int64")]),
        program.full(0, "int32"),
    ], [tensor([1], "int64")], {})[0])  # fmt: skip
    assert program.converted().fetches


def test_values_from_a_place_on_that_a_run_computes(tmp_path: Path) -> None:
    """x[n:, 0] = 9: the places are one tensor, of which 2.6 wants each by itself."""
    program = Program()
    x, start = program.feed("x", [-1, 4]), program.feed("n", [2], "int64")
    attrs = {"axes": [0, 1], "decrease_axes": [1], "none_axes": [], "shape": [1], "values": [9.0]}
    operands = [x, start, program.ints([FAR, 1]), program.ints([1, 1])]
    program.fetch(program.op("set_value", operands, [tensor([-1, 4])], attrs)[0])
    given = np.arange(12, dtype=np.float32).reshape(3, 4)
    (found,) = qcc.load(save(program, tmp_path, {})).run({"x": given, "n": np.array([1, 0])})
    given[1:, 0] = 9
    np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("given", [(), ("scale",), ("bias",)])
def test_a_batch_norm_without_scale_or_bias(given: tuple[str, ...], tmp_path: Path) -> None:
    """Paddle 2.6 would end in a segmentation fault."""
    program = Program()
    each = {name: RNG.uniform(0.5, 1, 4).astype(np.float32) for name in ("mean", "variance", *given)}
    feeds = {"x": IMAGE, **each}
    numbers = {name: program.feed(name, value.shape) for name, value in feeds.items()}
    attrs = {
        "is_test": True, "momentum": 0.9, "epsilon": 1e-3, "data_format": "NCHW", "use_global_stats": False,
        "trainable_statistics": False,
    }  # fmt: skip
    operands = [numbers.get(name, 0) for name in ("x", "mean", "variance", "scale", "bias")]
    results = [tensor(IMAGE.shape), *[tensor([4])] * 4, NULL]
    program.fetch(program.op("batch_norm_", operands, results, attrs)[0])
    (found,) = qcc.load(save(program, tmp_path, {})).run(feeds)
    turned = {name: value.reshape(1, 4, 1, 1) for name, value in each.items()}
    wanted = (IMAGE - turned["mean"]) / np.sqrt(turned["variance"] + 1e-3)
    np.testing.assert_allclose(
        found, wanted * turned.get("scale", 1) + turned.get("bias", 0), rtol=1e-4, atol=1e-5
    )
