"""Numerics against Paddle's kernels, integer for integer and bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from kernels import run_kernel
from paddle.static.quantization import utils

from qcc import numerics
from qcc.passes.round_trip import linear_attrs

BITS = st.integers(2, 16)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NO_SCALE = np.float32(1e-30)
"""Up to here the kernels take a scale for 0."""
ORDINARY = st.floats(-100, 100, width=32)


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal to the last bit; but -0 and 0 are one number."""
    return left.dtype == right.dtype == np.float32 and np.array_equal(left + 0.0, right + 0.0)


@st.composite
def tensors(draw: st.DrawFn, ndims: tuple[int, int] = (1, 4)) -> np.ndarray:
    """Arrays of ordinary values, of ties, or of anything that float32 holds."""
    shape = draw(arrays.array_shapes(min_dims=ndims[0], max_dims=ndims[1], max_side=9))
    kind = draw(st.sampled_from(["ordinary", "ties", "anything"]))
    if kind == "ties":
        # With a power of two times max_int as the scale, these lie exactly between two integers.
        half = draw(arrays.arrays(np.int32, shape, elements=st.integers(-300, 300)))
        return (half / 2 * 2.0 ** draw(st.integers(-20, 20))).astype(np.float32)
    elements = ORDINARY if kind == "ordinary" else FLOATS
    return draw(arrays.arrays(np.float32, shape, elements=elements))


@st.composite
def scales(draw: st.DrawFn, bits: int, size: int) -> np.ndarray:
    """Positive scales, those that make ties, and those that are none."""
    ties = st.integers(-20, 20).map(lambda power: float(np.float32(numerics.max_int(bits) * 2.0**power)))
    ordinary = st.floats(2.0**-10, 100, width=32)
    positive = st.floats(0, 2.0**100, width=32)
    chosen = draw(st.sampled_from([ties, ordinary, positive]))
    return np.array(draw(st.lists(chosen, min_size=size, max_size=size)), np.float32)


# ---------------------------------------------------------------------- scales


@given(tensors(), BITS)
@example(np.zeros(3, np.float32), 8)
def test_abs_max_is_what_the_kernel_measures(x: np.ndarray, bits: int) -> None:
    _, scale = run_kernel("fake_quantize_abs_max", {"X": x}, ["Out", "OutScale"], bit_length=bits)
    assume(scale[0] > NO_SCALE)
    assert same_bits(numerics.abs_max(x), scale.reshape(1))


@pytest.mark.parametrize("axis", [0, 1])
@given(tensors((2, 4)))
def test_abs_max_per_channel_is_what_the_kernel_measures(axis: int, x: np.ndarray) -> None:
    _, scale = run_kernel(
        "fake_channel_wise_quantize_abs_max", {"X": x}, ["Out", "OutScale"], quant_axis=axis, is_test=False
    )
    ours = numerics.abs_max(x, axis)
    measured = scale > NO_SCALE
    assert ours.shape == scale.shape == (x.shape[axis],)
    assert same_bits(ours[measured], scale[measured])
    assert (ours[~measured] == numerics.SCALE_FLOOR).all()


@pytest.mark.parametrize("largest", [0.0, 1e-40, 1e-30])
def test_a_scale_stands_in_where_the_kernel_sees_none(largest: float) -> None:
    x = np.array([largest, -largest / 2], np.float32)
    q, _ = run_kernel("fake_quantize_abs_max", {"X": x}, ["Out", "OutScale"], bit_length=8)
    scale = numerics.abs_max(x)
    assert scale > 0
    assert not q.any()
    assert not numerics.quantize_weight(x, scale, 8).any()


def test_abs_max_of_nothing_is_positive() -> None:
    assert numerics.abs_max(np.zeros((0, 3), np.float32)) > 0
    assert numerics.abs_max(np.zeros((0, 3), np.float32), 1).shape == (3,)


def test_abs_max_does_not_hide_values_that_are_not_finite() -> None:
    x = np.array([[1, np.nan], [np.inf, 2]], np.float32)
    assert not np.isfinite(numerics.abs_max(x)).any()
    assert not np.isfinite(numerics.abs_max(x, 0)).any()


# ---------------------------------------------------------------------- quantizing at run time


@settings(max_examples=300)
@given(tensors(), BITS)
@example(np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 127], np.float32), 8)
def test_fake_quantize_is_fake_quantize_abs_max(x: np.ndarray, bits: int) -> None:
    q, scale = run_kernel("fake_quantize_abs_max", {"X": x}, ["Out", "OutScale"], bit_length=bits)
    assert same_bits(numerics.fake_quantize(x, scale.reshape(1), bits), q)


OBSERVED = {
    "fake_quantize_range_abs_max": {"window_size": 10000},
    "fake_quantize_moving_average_abs_max": {"moving_rate": 0.9},
}


@pytest.mark.parametrize("op_type", OBSERVED)
@given(tensors(), BITS, st.data())
def test_fake_quantize_is_the_ops_with_an_observed_scale(
    op_type: str, x: np.ndarray, bits: int, data: st.DataObject
) -> None:
    scale = data.draw(scales(bits, 1))
    inputs = {"X": x, "InScale": scale}
    q, _ = run_kernel(
        op_type, inputs, ["Out", "OutScale"], bit_length=bits, is_test=True, **OBSERVED[op_type]
    )
    assert same_bits(numerics.fake_quantize(x, scale, bits), q)


@pytest.mark.parametrize("axis", [0, 1])
@given(tensors((2, 4)), BITS)
def test_fake_quantize_per_channel_is_the_op_in_training(axis: int, x: np.ndarray, bits: int) -> None:
    q, scale = run_kernel(
        "fake_channel_wise_quantize_abs_max",
        {"X": x},
        ["Out", "OutScale"],
        bit_length=bits,
        quant_axis=axis,
        is_test=False,
    )
    assert same_bits(numerics.fake_quantize(x, scale, bits, axis), q)


@given(tensors(), BITS, st.data())
def test_quantize_linear_differs_from_fake_quantize_in_ties_and_in_the_lowest_integer(
    x: np.ndarray, bits: int, data: st.DataObject
) -> None:
    """round_type 0, its default, is what int8 runtimes do: ties to even, and -128 in use."""
    scale = data.draw(scales(bits, 1))
    assume(scale[0] > NO_SCALE)
    inputs = {"X": x, "Scale": scale, "ZeroPoint": np.zeros(1, np.int32)}
    (q,) = run_kernel("quantize_linear", inputs, ["Y"], **linear_attrs(bits, -1))
    largest = numerics.max_int(bits)
    with np.errstate(over="ignore"):  # an infinity is clipped like any big number
        rounded = np.rint(x * (np.float32(1) / scale) * np.float32(largest))
    assume(np.isfinite(rounded).all())
    assert np.abs(q - np.clip(rounded, -largest - 1, largest)).max() <= 1
    ours = numerics.fake_quantize(x, scale, bits)
    assert (np.abs(q - ours) <= 1).all()
    assert (q >= -largest - 1).all()


@given(tensors(), BITS, st.data())
def test_quantize_linear_with_round_type_1_is_fake_quantize(
    x: np.ndarray, bits: int, data: st.DataObject
) -> None:
    scale = data.draw(scales(bits, 1))
    inputs = {"X": x, "Scale": scale, "ZeroPoint": np.zeros(1, np.int32)}
    (q,) = run_kernel("quantize_linear", inputs, ["Y"], round_type=1, **linear_attrs(bits, -1))
    assert same_bits(numerics.fake_quantize(x, scale, bits), q)


# ---------------------------------------------------------------------- weights


def paddle_integers(w: np.ndarray, scale: np.ndarray, bits: int, axis: int | None) -> np.ndarray:
    """What Paddle's freeze writes into the scope."""
    argument = scale[0] if axis is None else scale.tolist()
    return np.round(utils.quant_tensor(w.copy(), argument, axis or 0, bits))


@settings(max_examples=300)
@given(tensors(), BITS)
def test_weight_integers_are_those_of_paddle(w: np.ndarray, bits: int) -> None:
    scale = numerics.abs_max(w)
    q = numerics.quantize_weight(w, scale, bits)
    assert same_bits(q, paddle_integers(w, scale, bits, None))
    assert np.abs(q).max() <= numerics.max_int(bits)


@pytest.mark.parametrize("axis", [0, 1])
@given(tensors((2, 4)), BITS)
def test_weight_integers_per_channel_are_those_of_paddle(axis: int, w: np.ndarray, bits: int) -> None:
    # A list of one scale means "per tensor" to Paddle, with the same integers.
    scale = numerics.abs_max(w, axis)
    q = numerics.quantize_weight(w, scale, bits, axis)
    assert same_bits(q, paddle_integers(w, scale, bits, axis))


@given(tensors(), BITS, st.data())
def test_weights_beyond_a_given_scale_are_clipped(w: np.ndarray, bits: int, data: st.DataObject) -> None:
    scale = data.draw(scales(bits, 1))
    assume(scale[0] > NO_SCALE)
    q = numerics.quantize_weight(w, scale, bits)
    assert same_bits(q, paddle_integers(w, scale, bits, None))
    assert (np.abs(q[np.abs(w) >= scale]) == numerics.max_int(bits)).all()


def test_the_argument_is_left_alone() -> None:
    w = np.array([[3, -1], [0.5, 2]], np.float32)
    before = w.copy()
    numerics.correct_bias(w, numerics.quantize_weight(w, numerics.abs_max(w), 4), numerics.abs_max(w), 4)
    numerics.fake_quantize(w, np.float32([1]), 8)
    assert np.array_equal(w, before)


# ---------------------------------------------------------------------- dequantizing


@st.composite
def integers(draw: st.DrawFn, bits: int, ndims: tuple[int, int] = (1, 4)) -> np.ndarray:
    shape = draw(arrays.array_shapes(min_dims=ndims[0], max_dims=ndims[1], max_side=9))
    largest = numerics.max_int(bits)
    return draw(arrays.arrays(np.int32, shape, elements=st.integers(-largest, largest))).astype(np.float32)


@given(BITS, st.data())
def test_dequantize_weight_is_fake_dequantize_max_abs(bits: int, data: st.DataObject) -> None:
    q, scale = data.draw(integers(bits)), data.draw(scales(bits, 1))
    max_range = float(numerics.max_int(bits))
    (value,) = run_kernel("fake_dequantize_max_abs", {"X": q, "Scale": scale}, ["Out"], max_range=max_range)
    assert same_bits(numerics.dequantize_weight(q, scale, bits), value)


@pytest.mark.parametrize("axis", [0, 1])
@given(BITS, st.data())
def test_dequantize_weight_per_channel_is_the_op(axis: int, bits: int, data: st.DataObject) -> None:
    q = data.draw(integers(bits, (2, 4)))
    scale = data.draw(scales(bits, q.shape[axis]))
    inputs = {"X": q, "Scales": scale}
    (value,) = run_kernel(
        "fake_channel_wise_dequantize_max_abs", inputs, ["Out"], quant_bits=[bits], quant_axis=axis
    )
    assert same_bits(numerics.dequantize_weight(q, scale, bits, axis), value)


@pytest.mark.parametrize("axis", [None, 0, 1])
@given(st.integers(2, 8), st.data())
def test_dequantize_weight_is_dequantize_linear_on_int8(
    axis: int | None, bits: int, data: st.DataObject
) -> None:
    q = data.draw(integers(bits, (2, 4)))
    scale = data.draw(scales(bits, 1 if axis is None else q.shape[axis]))
    inputs = {"X": q.astype(np.int8), "Scale": scale, "ZeroPoint": np.zeros(scale.shape, np.int32)}
    quant_axis = -1 if axis is None else axis
    (value,) = run_kernel("dequantize_linear", inputs, ["Y"], **linear_attrs(bits, quant_axis))
    assert same_bits(numerics.dequantize_weight(q, scale, bits, axis), value)


@given(st.integers(1, 3), BITS, BITS, st.data())
def test_the_op_behind_a_frozen_op_multiplies_by_both_scales(
    channel_dim: int, weight_bits: int, activation_bits: int, data: st.DataObject
) -> None:
    """acc * weight scale * activation scale / (max_int * max_int), channels at x_num_col_dims."""
    acc = data.draw(arrays.arrays(np.float32, (2, 3, 4, 5)[: channel_dim + 1], elements=ORDINARY))
    channels = acc.shape[channel_dim]
    weight, activation = data.draw(scales(8, channels)), data.draw(scales(8, 1))
    (value,) = run_kernel(
        "fake_channel_wise_dequantize_max_abs",
        {"X": acc, "Scales": [weight, activation]},
        ["Out"],
        quant_bits=[weight_bits, activation_bits],
        quant_axis=1,
        x_num_col_dims=channel_dim,
    )
    largest = np.float32(numerics.max_int(weight_bits) * numerics.max_int(activation_bits))
    with np.errstate(over="ignore"):
        expected = acc * weight * activation[0] / largest
    assert same_bits(expected, value)


# ---------------------------------------------------------------------- bits


@given(BITS, st.data())
def test_bits_for_is_the_fewest_that_hold_the_integers(bits: int, data: st.DataObject) -> None:
    q = data.draw(integers(bits))
    fewest = numerics.bits_for(q)
    assert np.abs(np.where(q == -128, -127, q)).max() <= numerics.max_int(fewest)
    assert fewest == 2 or np.abs(q).max() > numerics.max_int(fewest - 1)


# ---------------------------------------------------------------------- bias correction


def skewed(seed: int) -> np.ndarray:
    """Values whose mean and spread rounding shifts more than most; few integers move even so."""
    return np.random.default_rng(seed).exponential(1, (8, 8, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_bias_correction_per_tensor_is_that_of_paddle(bits: int) -> None:
    moved = 0
    for seed in range(5):
        w = skewed(seed)
        scale = numerics.abs_max(w)
        q = numerics.quantize_weight(w, scale, bits)
        corrected = numerics.correct_bias(w, q, scale, bits)
        assert np.array_equal(corrected, np.round(utils.bias_correction_w(w, q, scale[0], 0, bits)))
        moved += np.count_nonzero(corrected != q)
    assert moved or bits != 3


@pytest.mark.parametrize("axis", [0, 1])
def test_bias_correction_per_channel_differs_from_paddle_which_mixes_up_the_channels(axis: int) -> None:
    """Paddle spreads the channels' corrections by np.resize: along the last axis, wherever channels are."""
    magnitudes = 10.0 ** np.arange(8, dtype=np.float32).reshape((8, 1, 1, 1) if axis == 0 else (1, 8, 1, 1))
    w = skewed(3) * magnitudes
    scale = numerics.abs_max(w, axis)
    q = numerics.quantize_weight(w, scale, 3, axis)
    paddles = np.round(utils.bias_correction_w(w, q.copy(), scale.tolist(), axis, 3))
    ours = numerics.correct_bias(w, q, scale, 3, axis)
    assert not np.array_equal(ours, paddles)
    for channel in range(8):
        alone = utils.bias_correction_w(w.take(channel, axis), q.take(channel, axis), scale[channel], 0, 3)
        assert np.array_equal(ours.take(channel, axis), np.round(alone))


def test_bias_correction_leaves_channels_of_zeros_alone() -> None:
    w = skewed(0)[0, :3]
    w[1] = 0
    scale = numerics.abs_max(w, 0)
    q = numerics.quantize_weight(w, scale, 8, 0)
    assert not numerics.correct_bias(w, q, scale, 8, 0)[1].any()


def test_even_weights_are_the_nearest_even_integers_but_for_the_largest() -> None:
    weight = np.array([[-127, 126.6, 126.4, 3, 2.9, 1.1, -1.2, 0.9, 0, -0.4]], np.float32) / 127
    scale = np.array([1], np.float32)
    found = numerics.even_weight(weight, scale, 8, 0)
    assert found.tolist() == [[-127, 127, 126, 4, 2, 2, -2, 0, 0, 0]]
    assert found.dtype == np.float32
    assert not np.signbit(found[found == 0]).any()
