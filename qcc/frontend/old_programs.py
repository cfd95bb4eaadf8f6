"""Programs of older Paddles, and of newer ones, in the words of the one that is installed.

Each Paddle writes the attributes that it knows, and knew fewer before: 1.5 has no `padding_algorithm`, 1.2 no
`align_mode`. A convolution's layout was `AnyLayout`, which is NCHW. Paddle's executor takes its default for
what is absent, and NCHW for AnyLayout; paddle2onnx, OpenVINO and Paddle Lite end there.

Paddle 3 takes the ends of slices that go backwards as Python does; for Paddle 2, -1 is in front of all, and
no other end is. Neither minds who has written a program.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from qcc._paddle import MAJOR, core
from qcc.errors import ModelFormatError
from qcc.ir.program import AttrProto, BlockProto, OpProto, ProgramProto, VarTypeProto
from qcc.ir.text.usual import BOOKKEEPING, extra_attributes, usual_attributes

# Attributes that say which kernel computes, and not what. Which ops have them, each Paddle says otherwise.
_OF_KERNELS = frozenset(
    {
        "Scale_data",
        "Scale_in",
        "Scale_out",
        "Scale_weights",
        "Scale_x",
        "Scale_y",
        "Shift_data",
        "force_fp32_output",
        "mkldnn_data_type",
        "slot",
        "use_cudnn",
        "use_mkldnn",
        "use_quantizer",
    }
)
# Attributes that Paddle 3 has, and 2.6 has not, at defaults that give what 2.6 computes: a file is to be read
# alike by both.
_OF_PADDLE3 = frozenset(
    {
        ("argsort", "stable"),
        ("cumprod", "exclusive"),
        ("cumprod", "reverse"),
        ("histogram", "density"),
        ("kldiv_loss", "log_target"),
        ("max_pool2d_with_index", "ceil_mode"),
        ("max_pool3d_with_index", "ceil_mode"),
        ("nanmedian", "mode"),
        ("repeat_interleave", "output_size"),
        ("round", "decimals"),
        ("thresholded_relu", "value"),
    }
)
# Every op has it that Paddle appended to a program. What a pass makes of ops, qcc's too, says what it needs.
_APPENDED = "op_role_var"
# Ops that Paddle 2 has under another name alone, with a further output that nobody reads.
_MOVES = [("X", 1), ("Out", 1)]
_RENAMED = {"flatten": "flatten2", "squeeze": "squeeze2", "unsqueeze": "unsqueeze2"}
# Of other ops, such as affine_channel, AnyLayout is another one.
_LAID_OUT = frozenset(
    {
        "conv2d",
        "conv2d_transpose",
        "conv3d",
        "conv3d_transpose",
        "depthwise_conv2d",
        "depthwise_conv2d_transpose",
        "pool2d",
        "pool3d",
    }
)
_LAYOUT = "data_format"
# What the version of a program says: 2006002 for 2.6.2.
_MAJOR = 1_000_000
_FAR = -(2**31)


def reword(program: ProgramProto, path: Path) -> None:
    """State what the ops of a program leave to be understood, or what the Paddle here takes otherwise.

    Raises ModelFormatError, with the path in front, for what no attribute can say to the Paddle here.
    """
    if (program.version.version // _MAJOR >= 3) != (MAJOR >= 3):
        _recount_ends(program, path)
    for block in program.blocks:
        for op in block.ops:
            if op.type in _RENAMED and _slots(op) == _MOVES:
                _rename(block, op)
            # What quantizes has its own reader, see `program_file` and `passes.fake_quant`.
            if "quantize" not in op.type:
                _state_defaults(op)
            if op.type in _LAID_OUT:
                _name_layout(op)


def _rename(block: BlockProto, op: OpProto) -> None:
    op.type = _RENAMED[op.type]
    (written,) = (name for slot in op.outputs for name in slot.arguments)
    shape = block.vars.add(name=f"{written}@{op.type}.xshape")
    shape.type.type = VarTypeProto.LOD_TENSOR
    shape.type.lod_tensor.tensor.data_type = VarTypeProto.FP32
    op.outputs.add(parameter="XShape", arguments=[shape.name])


def _recount_ends(program: ProgramProto, path: Path) -> None:
    """Let slices that go backwards end where they do for the Paddle that wrote the program, which says from
    then on that the Paddle here has written it: what is saved of it is not to be recounted."""
    sliced = [(block, op) for block in program.blocks for op in block.ops if op.type == "strided_slice"]
    backwards = [(block, op) for block, op in sliced if _goes_backwards(op, path)]
    if not backwards:
        return
    shapes = [{var.name: var.type.lod_tensor.tensor.dims for var in one.vars} for one in program.blocks]
    for block, op in backwards:
        (source,) = (name for slot in op.inputs if slot.parameter == "Input" for name in slot.arguments)
        number = block.idx
        while number > 0 and source not in shapes[number]:
            number = program.blocks[number].parent_idx
        _recount(op, shapes[number].get(source, ()), path)
    program.version.version = core.ProgramDesc()._version()


def _goes_backwards(op: OpProto, path: Path) -> bool:
    """Whether a stride is negative.  Raises ModelFormatError where it, or the end of such a slice, is known
    only when the network runs."""
    given = {slot.parameter for slot in op.inputs if slot.arguments}
    open_strides = not given.isdisjoint(("StridesTensor", "StridesTensorList"))
    if not open_strides and all(stride >= 0 for stride in _numbers(op, "strides")):
        return False
    if open_strides or not given.isdisjoint(("EndsTensor", "EndsTensorList")):
        raise ModelFormatError(
            f"{path}: a strided_slice takes its strides, or the ends of a slice that goes backwards, from a"
            " variable, and Paddle 2 and 3 count such ends otherwise: load it under the Paddle that wrote it."
        )
    return True


def _recount(op: OpProto, shape: Sequence[int], path: Path) -> None:
    axes, strides, ends = (_numbers(op, name) for name in ("axes", "strides", "ends"))
    sizes = dict(enumerate(shape))
    if not len(axes) == len(strides) == len(ends) or not sizes.keys() >= set(axes):
        raise ModelFormatError(
            f"{path}: a strided_slice of {list(shape)} has the axes {list(axes)}, the strides {list(strides)}"
            f" and the ends {list(ends)}, which do not belong together."
        )
    for place, (axis, stride) in enumerate(zip(axes, strides, strict=True)):
        if stride < 0:
            ends[place] = _end(ends[place], sizes[axis])


def _numbers(op: OpProto, name: str) -> Any:
    """The numbers of an attribute, to be changed in place; none where it is absent, or holds a variable."""
    return next((attr.ints or attr.longs for attr in op.attrs if attr.name == name), [])


def _end(end: int, size: int) -> int:
    """An end of a slice backwards, as the Paddle here takes it; where a size is open (-1), as far as it does
    not depend on that."""
    if MAJOR >= 3:
        return _FAR if end == -1 else 0 if end < -size < 0 else end
    return -1 if end == _FAR or end < -size < 0 else size - 1 if end == -1 < size else end


def _slots(op: OpProto) -> list[tuple[str, int]]:
    slots = (*op.inputs, *op.outputs)
    return [(slot.parameter, len(slot.arguments)) for slot in slots if slot.arguments]


def _state_defaults(op: OpProto) -> None:
    present = {attr.name for attr in op.attrs}
    absent = [attr for attr in _stated(op.type) if attr.name not in present]
    if not absent or _APPENDED not in present:
        return
    attrs = [AttrProto.FromString(attr.SerializeToString()) for attr in (*op.attrs, *absent)]
    del op.attrs[:]
    op.attrs.extend(sorted(attrs, key=lambda attr: attr.name))


def _name_layout(op: OpProto) -> None:
    for attr in op.attrs:
        if attr.name == _LAYOUT and attr.s == "AnyLayout":
            attr.s = "NCDHW" if "3d" in op.type else "NCHW"


@cache
def _stated(op_type: str) -> tuple[AttrProto, ...]:
    """What an op of this type says of what it computes, at Paddle's defaults."""
    unstated = {*BOOKKEEPING, *_OF_KERNELS, *extra_attributes(op_type)}
    return tuple(
        attr
        for name, attr in usual_attributes(op_type).items()
        if name not in unstated and (op_type, name) not in _OF_PADDLE3
    )
