"""Uses of ops that Paddle Lite has a kernel for, and gets wrong or aborts on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

from qcc.ir.dtypes import dtype_name
from qcc.ir.nodes import Op
from qcc.targets.lite import Arch

CASTS = {
    "bool": ("bool", "int32", "int64", "float32"),
    "uint8": ("float32",),
    "int32": ("bool", "int32", "int64", "float32"),
    "int64": ("int32", "int64", "float32"),
    "float32": ("bool", "int32", "int64", "float32", "uint8"),
}
"""What the kernel of cast, one for all processors, knows: element type -> to which."""
UNFILLED_STATES = "it does not compute the last states"
_SHIFT_RATIO = 0.25
_TRANSPOSED_CONVOLUTIONS = ("conv2d_transpose", "depthwise_conv2d_transpose")


def is_square(op: Op) -> bool | None:
    """Whether the feature map that a yolo_box op decodes is square; None when its size is open."""
    height, width = op.input("X").shape[2:]
    return None if height < 0 or width < 0 else height == width


def limit_of(op: Op, arch: Arch) -> str | None:
    """Why Paddle Lite cannot compute this use of an op, as a clause; None when it can."""
    if arch == "x86" and op.type in _TRANSPOSED_CONVOLUTIONS:
        return _filter_per_channel(op)
    found = _LIMITS.get(op.type)
    return None if found is None else found(op)


def _filter_per_channel(op: Op) -> str | None:
    # Seen in one of ten to one of twenty runs.
    if 1 < op.attr("groups", 1) == op.input("Input").shape[1]:
        return "with a group per channel it now and then crashes; give the convolution fewer groups"
    return None


def _yolo_box(op: Op) -> str | None:
    if op.attr("iou_aware", False):
        return "it does not know iou_aware"
    if is_square(op) is False:
        height, width = op.input("X").shape[2:]
        return (
            f"it takes the feature map of {height} x {width} for square and puts boxes in the wrong place;"
            " export the model for square images"
        )
    return None


def _prelu(op: Op) -> str | None:
    return "with a slope per element it is wrong" if op.attr("mode") == "element" else None


def _top_k(op: Op) -> str | None:
    return None if op.attr("largest", True) else "it finds the largest only"


def _shape(op: Op) -> str | None:
    if op.output("Out").shape != (0,):
        return None
    return "it gives a number one dimension, where Paddle gives it none; take the shape of something else"


def _look_up(op: Op) -> str | None:
    if op.input("Ids").shape or len(op.output("Out").shape) != 1:
        return None
    return (
        "it gives several dimensions for a number, where Paddle gives one; reshape the number to [1] before"
    )


def _strided_slice(op: Op) -> str | None:
    return "negative strides are wrong" if any(stride < 0 for stride in op.attr("strides", [])) else None


def _p_norm(op: Op) -> str | None:
    return None if op.attr("porder", 2.0) == 2.0 else "it computes the norm with porder=2 only"


def _temporal_shift(op: Op) -> str | None:
    return None if op.attr("shift_ratio", _SHIFT_RATIO) == _SHIFT_RATIO else "it shifts a quarter always"


def _cast(op: Op) -> str | None:
    source, target = (dtype_name(var.dtype) for var in (op.input("X"), op.output("Out")))
    if target in CASTS.get(source, ()):
        return None
    return f"it does not cast {source} to {target}; cast by way of float32"


def _arg_max(op: Op) -> str | None:
    return "it does not know flatten" if op.attr("flatten", False) else None


def _rnn(op: Op) -> str | None:
    if op.attr("mode") not in ("LSTM", "GRU"):
        return f"it knows LSTM and GRU, not {op.attr('mode')}"
    if any(var.consumers for var in op.outputs.get("State", ())):
        return UNFILLED_STATES
    return None


def _matmul(op: Op) -> str | None:
    """Matrices of one batch times matrices of another: both must be as many. A size that is open is taken for
    the batch where it is the first, which may be one, and elsewhere for more than one."""
    left, right = (op.input(slot).shape[:-2] for slot in ("X", "Y"))
    if not left or not right:
        return None
    *inner, batch = zip_longest(reversed(left), reversed(right), fillvalue=1)
    several = any((a == 1) != (b == 1) for a, b in inner)
    if several or any(a != b and a > 0 and b > 0 for a, b in (*inner, batch)):
        return (
            f"it does not multiply {list(left)} by {list(right)} matrices; repeat one of them before, by"
            " paddle.tile or expand"
        )
    return None


_LIMITS: dict[str, Callable[[Op], str | None]] = {
    "arg_max": _arg_max,
    "cast": _cast,
    "lookup_table_v2": _look_up,
    "matmul": _matmul,
    "matmul_v2": _matmul,
    "p_norm": _p_norm,
    "prelu": _prelu,
    "rnn": _rnn,
    "shape": _shape,
    "strided_slice": _strided_slice,
    "temporal_shift": _temporal_shift,
    "top_k_v2": _top_k,
    "yolo_box": _yolo_box,
}
