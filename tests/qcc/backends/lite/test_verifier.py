"""What the verifier sees: each fault put into a file that had none."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lite_agreement import lowered
from lite_nets import frozen
from lite_ops import CASES

from qcc.backends.lite.describe import describe
from qcc.backends.lite.file import NaiveBuffer, parse_naive_buffer, write_naive_buffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.schema import (
    Attr,
    AttrKind,
    BlockDesc,
    OpDesc,
    ParamDesc,
    ProgramDesc,
    Var,
    VarDesc,
    VarKind,
)
from qcc.backends.lite.verifier import complaints_about
from qcc.errors import ModelFormatError


@pytest.fixture
def buffer(tmp_path: Path) -> NaiveBuffer:
    """A quantized depthwise convolution for ARM, with bias, and a relu6 behind it."""
    case = CASES["dw_bn_relu6"]
    return lowered(frozen(case.model(), case.feed()), tmp_path / "a.nb", arch="arm")


def op_of(buffer: NaiveBuffer, kernel: str) -> OpDesc:
    return next(op for op in buffer.ops if str(op.attr(KERNEL_ATTR, "")).startswith(kernel))


def attr_of(op: OpDesc, name: str) -> Attr:
    return next(attr for attr in op.attrs if attr.name == name)


def variable(buffer: NaiveBuffer, name: str) -> VarDesc:
    return next(var for var in buffer.program.blocks[0].vars if var.name == name)


def no_kernel(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), KERNEL_ATTR).s = "conv2d/no_such_alias/4/2/1"


def wrong_type(buffer: NaiveBuffer) -> None:
    calib = op_of(buffer, "calib")
    attr_of(calib, KERNEL_ATTR).s = "calib/int8_to_fp32/4/2/1"


def undeclared(buffer: NaiveBuffer) -> None:
    conv = op_of(buffer, "conv2d")
    conv.inputs = [Var("Input", ("nowhere",)), *(slot for slot in conv.inputs if slot.parameter != "Input")]


def no_bias(buffer: NaiveBuffer) -> None:
    x86_overflow(buffer)
    conv = op_of(buffer, "conv2d")
    conv.inputs = [slot for slot in conv.inputs if slot.parameter != "Bias"]


def hard_swish(buffer: NaiveBuffer) -> None:
    conv = op_of(buffer, "conv2d")
    conv.type = "depthwise_conv2d"
    attr_of(conv, KERNEL_ATTR).s = "depthwise_conv2d/fp32_out/4/2/1"
    activation = [
        Attr("act_type", AttrKind.STRING, s="hard_swish"),
        Attr("with_act", AttrKind.BOOLEAN, b=True),
    ]
    conv.attrs = [*conv.attrs, *activation]


def transposed(buffer: NaiveBuffer) -> None:
    conv = op_of(buffer, "conv2d")
    conv.type = "conv2d_transpose"
    attr_of(conv, KERNEL_ATTR).s = "conv2d_transpose/fp32_out/4/2/1"


def x86_overflow(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), KERNEL_ATTR).s = "conv2d/fp32_out/2/2/1"


def short_param(buffer: NaiveBuffer) -> None:
    tensor = buffer.params[0].variable
    assert tensor is not None
    tensor.data = np.asarray(tensor.data)[:-1]


def wrong_param(buffer: NaiveBuffer) -> None:
    tensor = buffer.params[0].variable
    assert tensor is not None
    tensor.data_type = VarKind.INT32


def double_param(buffer: NaiveBuffer) -> None:
    tensor = buffer.params[0].variable
    assert tensor is not None
    tensor.data_type = VarKind.FP64


def extra_param(buffer: NaiveBuffer) -> None:
    buffer.params = [*buffer.params, replace(buffer.params[0], name="extra")]


def lost_param(buffer: NaiveBuffer) -> None:
    buffer.params = buffer.params[1:]


def no_column(buffer: NaiveBuffer) -> None:
    feed = next(op for op in buffer.ops if op.type == "feed")
    attr_of(feed, "col").i = 1


def no_tensor(buffer: NaiveBuffer) -> None:
    kind = variable(buffer, "x0").type
    assert kind is not None
    kind.lod_tensor = None


def sub_block(buffer: NaiveBuffer) -> None:
    buffer.program.blocks = [*buffer.program.blocks, *buffer.program.blocks]


def unloadable(buffer: NaiveBuffer) -> None:
    conv = op_of(buffer, "conv2d")
    conv.attrs = [*conv.attrs, Attr("z", AttrKind.BOOLEANS)]


def unknown_type(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), KERNEL_ATTR).type = 99


def kernel_of_numbers(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), KERNEL_ATTR).type = AttrKind.INTS


def one_stride(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), "strides").ints = [1]


def no_groups(buffer: NaiveBuffer) -> None:
    attr_of(op_of(buffer, "conv2d"), "groups").i = 0


def columns_of_words(buffer: NaiveBuffer) -> None:
    feed = next(op for op in buffer.program.blocks[0].ops if op.type == "feed")
    attr_of(feed, "col").type = AttrKind.STRING


def lost_fetch(buffer: NaiveBuffer) -> None:
    fetch = next(op for op in buffer.program.blocks[0].ops if op.type == "fetch")
    fetch.inputs = [Var("X", ("nowhere",))]


def circle(buffer: NaiveBuffer) -> None:
    conv = op_of(buffer, "conv2d")
    conv.inputs = [Var("Input", conv.outputs[0].arguments), *conv.inputs[1:]]


def nothing_fetched(buffer: NaiveBuffer) -> None:
    block = buffer.program.blocks[0]
    block.ops = [op for op in block.ops if op.type != "fetch"]


def nothing_fed(buffer: NaiveBuffer) -> None:
    block = buffer.program.blocks[0]
    block.ops = [op for op in block.ops if op.type != "feed"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (nothing_fetched, "it fetches nothing"),
        (nothing_fed, "reads 'x0' and nothing writes it"),
        (no_kernel, "names the kernel 'conv2d/no_such_alias/4/2/1'"),
        (wrong_type, "'x0' is float, where its kernel takes int8"),
        (undeclared, "uses 'nowhere', which is not declared"),
        (no_bias, "a grouped convolution in int8 has no bias"),
        (hard_swish, "hard_swish is fused into a depthwise convolution"),
        (transposed, "a grouped transposed convolution runs in int8"),
        (x86_overflow, "a weight holds 127"),
        (short_param, "bytes where its shape wants"),
        (wrong_param, "is declared fp32 but holds int32"),
        (double_param, "which the runtime does not load"),
        (extra_param, "parameter 'extra' is not declared"),
        (lost_param, "is declared a parameter and has no value"),
        (no_column, "the feed ops have the columns [1]"),
        (no_tensor, "variable 'x0' has no tensor description"),
        (sub_block, "it has 2 blocks"),
        (unloadable, "attribute 'z' is of a type that the runtime does not load"),
        (unknown_type, f"attribute {KERNEL_ATTR!r} is of a type that there is not"),
        (kernel_of_numbers, "which Paddle Lite does not have"),
        (one_stride, "its attribute 'strides' is [1], where two numbers belong"),
        (no_groups, "its attribute 'groups' is 0, where at least 1 belongs"),
        (columns_of_words, "the feed ops have the columns"),
        (lost_fetch, "uses 'nowhere', which is not declared"),
        (circle, "before it is written"),
    ],
)
def test_fault(buffer: NaiveBuffer, fault: Callable[[NaiveBuffer], None], words: str) -> None:
    assert complaints_about(buffer) == []
    fault(buffer)
    assert words in " / ".join(complaints_about(buffer))
    # What is wrong is told with what the file holds.
    assert words in " / ".join(describe(buffer).complaints)


def test_a_program_without_a_block_is_damaged(buffer: NaiveBuffer, tmp_path: Path) -> None:
    empty = replace(buffer, program=replace(buffer.program, blocks=()))
    with pytest.raises(ModelFormatError, match=r"is damaged: its program has no block\.$"):
        through_bytes(empty, tmp_path / "b.nb")


@pytest.mark.parametrize("fault", [undeclared, lost_fetch, unknown_type])
def test_what_the_runtime_would_crash_on_is_not_read(
    buffer: NaiveBuffer, fault: Callable[[NaiveBuffer], None], tmp_path: Path
) -> None:
    fault(buffer)
    told = "uses 'nowhere', which is not declared|is of a type that there is not"
    with pytest.raises(ModelFormatError, match=rf"b\.nb is .*damaged: op \w+ -> .*({told})\.$"):
        through_bytes(buffer, tmp_path / "b.nb")


def through_bytes(buffer: NaiveBuffer, path: Path) -> list[str]:
    with path.open("wb") as stream:
        write_naive_buffer(buffer, stream)
    return parse_naive_buffer(path).complaints


def test_unsorted_attributes(buffer: NaiveBuffer, tmp_path: Path) -> None:
    """The runtime finds attributes by bisection; its mobile reader crashes on these."""
    conv = op_of(buffer, "conv2d")
    conv.attrs = list(reversed(conv.attrs))
    assert any(
        "attrs of an op are not sorted" in complaint for complaint in through_bytes(buffer, tmp_path / "b")
    )


def test_garbage_in_the_header(buffer: NaiveBuffer, tmp_path: Path) -> None:
    path = tmp_path / "b.nb"
    stream = io.BytesIO()
    write_naive_buffer(buffer, stream)
    data = bytearray(stream.getvalue())
    data[16] = 7
    path.write_bytes(bytes(data) + b"more")
    assert parse_naive_buffer(path).complaints == [
        "the version in the header is followed by garbage",
        "4 bytes follow the last parameter",
    ]


def test_padding_is_zero(tmp_path: Path) -> None:
    """A byte that belongs to nothing must be padding."""
    path = tmp_path / "a.nb"
    lowered(CASES["relu"].model(), path)
    data = bytearray(path.read_bytes())
    position = next(
        index for index in range(60, len(data)) if _complains(path, data, index, "belong to nothing")
    )
    assert position < len(data)


def _complains(path: Path, data: bytearray, index: int, words: str) -> bool:
    if data[index]:
        return False
    changed = bytearray(data)
    changed[index] = 1
    path.write_bytes(bytes(changed))
    try:
        return any(words in complaint for complaint in parse_naive_buffer(path).complaints)
    except ModelFormatError:
        return False


def test_param_without_tensor() -> None:
    program = ProgramDesc([BlockDesc(0, -1)])
    buffer = NaiveBuffer(program, [ParamDesc(name="w", variable_type=1)])
    assert any("has no tensor" in complaint for complaint in complaints_about(buffer))
