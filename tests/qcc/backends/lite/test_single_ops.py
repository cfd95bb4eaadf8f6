"""Models of one operator or a few: Paddle Lite's x86 runtime computes what Paddle computes."""

from __future__ import annotations

from pathlib import Path

import lite_refused
import lite_variants
import numpy as np
import pytest
from lite_agreement import assert_close, assert_same_layers, lite_outputs, lowered
from lite_case import IMAGE, MATRIX, Case, F, conv, floats, parameter
from lite_nets import frozen
from lite_ops import CASES

from qcc._paddle import paddle
from qcc.errors import PassError
from qcc.model import Model
from qcc.passes import PassManager

# What x86 has no kernel for, and what there is instead.
REFUSED = {
    "add_n": "there is one on arm",
    "local_response_norm": "there is one on arm",
}
# Refused on the other processor only.
RUN_ON = {
    ("affine_grid", "arm"),
    ("concat_bool", "arm"),
    ("deconv_dw", "arm"),
    ("slice_bool", "arm"),
}
# Paddle's executor does not hand out what these find: it has a length per image.
WITH_LENGTHS = ("multiclass_nms", "multiclass_nms2")
# Sums of many small differences between kernels.
LOOSER = {"attention": 1e-4, "gru": 1e-4, "lstm": 1e-4}

QUANTIZABLE = [
    "attention",
    "conv2d",
    "conv2d_dilation",
    "conv2d_groups",
    "conv2d_no_bias",
    "conv2d_padding_4",
    "conv2d_transpose",
    "conv2d_transpose_groups",
    "conv_bias_bn",
    "conv_bn_leaky",
    "conv_bn_relu",
    "conv_hard_swish",
    "deconv_bn_relu",
    "depthwise_conv2d",
    "depthwise_conv2d_multiplier",
    "dw_bn_relu6",
    "dw_hard_swish",
    "fc",
    "fc_flatten",
    "flatten_linear",
    "linear",
    "linear_3d",
    "linear_no_bias",
    "linear_relu",
    "matmul_v1",
    "matmul_v1_bias",
    "mul",
    "swap_squeeze_excite",
]


def _shared_weight(x: object) -> object:
    weight = parameter(8, 5)
    return paddle.matmul(x, weight) + paddle.matmul(F.relu(x), weight)


UNUSUAL = {
    case.name: case
    for case in (
        Case("trans_y", (MATRIX,), lambda x: paddle.matmul(x, parameter(5, 8), transpose_y=True)),
        Case("trans_x", (floats(8, 3),), lambda x: paddle.matmul(x, parameter(8, 5), transpose_x=True)),
        Case("weight_left", (floats(8, 3),), lambda x: paddle.matmul(parameter(5, 8), x)),
        Case("weight_3d", (floats(2, 3, 4),), lambda x: paddle.matmul(x, parameter(2, 4, 5))),
        Case("shared_weight", (MATRIX,), _shared_weight),
        Case("shared_input", (IMAGE,), lambda x: [conv(6, 3)(x), conv(6, 3)(x), F.relu(x)]),
        Case("two_convs", (floats(2, 4, 8, 8),), lambda x: conv(8, 1)(F.relu(conv(8, 3, padding=1)(x)))),
    )
}
# Per channel, transform leaves them float.
PER_TENSOR_ONLY = ("weight_left", "weight_3d")


def all_cases() -> dict[str, Case]:
    return {**CASES, **UNUSUAL}


def model_of(case: Case) -> Model:
    """The model, every other channel's batch norm turned round."""
    model = case.model()
    for name in list(model.weights):
        if "batch_norm" in name and name.endswith("w_0"):
            gamma = model.weights[name].copy()
            gamma[::2] *= -1
            model.weights[name] = gamma
    return model


@pytest.mark.lite
@pytest.mark.parametrize("name", [name for name in CASES if name not in (*REFUSED, *WITH_LENGTHS)])
def test_float(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = model_of(case)
    wanted = [np.asarray(array) for array in model.run(case.feed())]
    found = lite_outputs(model, case.feed(), tmp_path / "a.nb")
    if case.exact:
        for left, right in zip(found, wanted, strict=True):
            assert left.dtype == right.dtype
            assert left.tolist() == right.tolist()
    else:
        assert_close(found, wanted, LOOSER.get(name, 1e-5))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    model = CASES[name].model()
    with pytest.raises(PassError, match=f"no kernel on x86 that computes these ops: .*: {REFUSED[name]}"):
        lowered(model, tmp_path / "a.nb")
    assert not list(tmp_path.iterdir())


@pytest.mark.lite
@pytest.mark.parametrize("name", WITH_LENGTHS)
def test_detections_with_lengths(name: str, tmp_path: Path) -> None:
    """They find what multiclass_nms3 finds."""
    found, wanted = (
        lite_outputs(CASES[op].model(), CASES[op].feed(), tmp_path / "a.nb")[0]
        for op in (name, "multiclass_nms3")
    )
    assert found.shape == (8, 6)
    assert found.tolist() == wanted.tolist()


@pytest.mark.slow
@pytest.mark.lite
@pytest.mark.parametrize("name", lite_variants.VARIANTS)
def test_variant(name: str, tmp_path: Path) -> None:
    """Other attributes, shapes and types than the usual ones."""
    case = lite_variants.VARIANTS[name]
    model = case.model()
    # What is 1e5 times smaller than the largest value counts for nothing in a sum of 25 products.
    assert_close(lite_outputs(model, case.feed(), tmp_path / "a.nb"), model.run(case.feed()), 2e-5)


@pytest.mark.parametrize("name", lite_refused.REFUSED)
def test_variant_is_refused(name: str, tmp_path: Path) -> None:
    """What the runtime has no kernel for, aborts on or computes wrongly is refused, for both processors."""
    model = lite_refused.REFUSED[name].model()
    for arch in ("arm", "x86"):
        if (name, arch) in RUN_ON:
            continue
        with pytest.raises(PassError, match=f"no kernel on {arch} that computes these ops"):
            lowered(model, tmp_path / "a.nb", arch=arch)
    assert not list(tmp_path.iterdir())


def quantized(name: str, weight_type: str) -> tuple[Case, Model]:
    case = all_cases()[name]
    return case, frozen(model_of(case), case.feed(), weight_type)


@pytest.mark.lite
@pytest.mark.parametrize("weight_type", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize("name", [*QUANTIZABLE, *UNUSUAL])
def test_frozen(name: str, weight_type: str, tmp_path: Path) -> None:
    """The exact form: the same integers, and outputs equal up to float rounding."""
    if weight_type == "channel_wise_abs_max" and name in PER_TENSOR_ONLY:
        return
    case, model = quantized(name, weight_type)
    assert assert_same_layers(model, case.feed(), tmp_path / "a.nb").ties == 0
    assert_close(lite_outputs(model, case.feed(), tmp_path / "a.nb"), model.run(case.feed()), 1e-5)


@pytest.mark.lite
@pytest.mark.parametrize("form", ["int8", "qdq"])
@pytest.mark.parametrize("weight_type", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize(
    "name", ["conv2d_groups", "conv_bn_relu", "conv2d_transpose_groups", "linear_relu", "trans_y"]
)
def test_other_forms(name: str, weight_type: str, form: str, tmp_path: Path) -> None:
    case, model = quantized(name, weight_type)
    converted = PassManager.parse(form).run(model)
    assert_close(lite_outputs(converted, case.feed(), tmp_path / "a.nb"), converted.run(case.feed()), 1e-5)


@pytest.mark.lite
@pytest.mark.parametrize(("bits", "tolerance"), [(8, 2e-2), (16, 1e-4)])
@pytest.mark.parametrize(
    "name", ["conv_bn_relu", "depthwise_conv2d", "linear", "linear_no_bias", "mul", "shared_weight"]
)
def test_weight_only(name: str, bits: int, tolerance: float, tmp_path: Path) -> None:
    case = all_cases()[name]
    model = case.model()
    buffer = lowered(model, tmp_path / "a.nb", weight_only=bits)
    stored = {param.variable.array.dtype for param in buffer.params if param.variable is not None}
    assert np.dtype(f"int{bits}") in stored
    found = lite_outputs(model, case.feed(), tmp_path / "a.nb", weight_only=bits)
    assert_close(found, model.run(case.feed()), tolerance)


@pytest.mark.lite
@pytest.mark.parametrize("name", ["conv2d_wide", "depthwise_wide", "leaky", "chain"])
def test_x86_int8(name: str, tmp_path: Path) -> None:
    """With weights of 7 bits, x86's int8 convolutions are exact, and used."""
    wide = (floats(2, 4, 8, 8),)
    case = {
        "conv2d_wide": Case("", wide, conv(6, 3, padding=1)),
        "depthwise_wide": Case("", wide, conv(4, 3, groups=4, padding=1, bias_attr=False)),
        "leaky": Case("", wide, lambda x: conv(8, 1)(F.leaky_relu(conv(8, 3, padding=1)(x), 0.1))),
        "chain": Case("", wide, lambda x: conv(8, 1)(F.relu(conv(8, 3, padding=1)(x)))),
    }[name]
    model = frozen(case.model(), case.feed(), options=",weight_bits=7")
    buffer = lowered(model, tmp_path / "a.nb", x86_int8=True)
    kernels = [str(op.attr("__@kernel_type_attr@__")) for op in buffer.ops]
    assert any(kernel.startswith("conv2d/") and kernel.endswith("/2/2/1") for kernel in kernels)
    assert ("conv2d/int8_out/2/2/1" in kernels) == (name == "chain")
    found = lite_outputs(model, case.feed(), tmp_path / "a.nb", x86_int8=True)
    assert_close(found, model.run(case.feed()), 1e-5)


@pytest.mark.lite
def test_x86_int8_leaves_large_weights_to_float(tmp_path: Path) -> None:
    case = Case("", (floats(2, 4, 8, 8),), conv(6, 3, padding=1))
    model = frozen(case.model(), case.feed())
    buffer = lowered(model, tmp_path / "a.nb", x86_int8=True)
    assert "conv2d/def/2/1/1" in [op.attr("__@kernel_type_attr@__") for op in buffer.ops]
    found = lite_outputs(model, case.feed(), tmp_path / "a.nb", x86_int8=True)
    assert_close(found, model.run(case.feed()), 1e-5)


@pytest.mark.lite
@pytest.mark.parametrize("size", [1, 5, 8, 12, 31, 32, 40, 100])
def test_any_number_of_elements_is_quantized(size: int, tmp_path: Path) -> None:
    """The x86 kernel that quantizes writes 4 of each 8 elements beyond the last 32."""
    inputs = (floats(3, size),)
    case = Case("", inputs, lambda x: paddle.matmul(x, parameter(size, 3)))
    model = frozen(case.model(), case.feed(), "abs_max")
    assert assert_same_layers(model, case.feed(), tmp_path / "a.nb").ties == 0


@pytest.mark.lite
def test_open_sizes(tmp_path: Path) -> None:
    """An image of another size than the model was built with, where the size is open."""
    case = Case("", (floats(1, 3, 32, 32),), lambda x: F.relu(conv(8, 3, padding=1)(x)))
    model = case.model()
    var = model.graph.var("x0")
    assert var.desc is not None
    var.desc.set_shape([-1, 3, -1, -1])
    other = {"x0": floats(1, 3, 33, 29)}
    quantized_model = frozen(model, case.feed())
    assert_close(lite_outputs(quantized_model, other, tmp_path / "a.nb"), quantized_model.run(other))
