"""The rules: for each fault of Paddle Lite's ARM kernels whether one use of an op meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qcc.backends.lite.rules.products import (
    Convolution,
    activation,
    convolution,
    groups,
    leading_extents,
    pair,
    products_by_gemm,
    why_not_fc,
)
from qcc.backends.lite.rules.reductions import has_kernel, normalized
from qcc.backends.lite.rules.view import OpView, Rows, Shape, is_known, may_be, never_negative
from qcc.targets.lite_arm import ArmFault, Verdict, arm_table

_LARGEST = 127
_UINT8 = 20  # Paddle's number of the type
# A Winograd kernel with smaller sums runs below.
_FEW_PIXELS = 128
_USUAL_THRESHOLD = 20.0

Condition = Callable[[OpView, Rows], str | None]
"""A detail about the use of the op, "" for none, where it meets the fault; None where it does not."""


@dataclass(frozen=True)
class Finding:
    """A fault that a use of an op meets, with what is to be said about this use."""

    fault: ArmFault
    detail: str

    def __str__(self) -> str:
        where = "" if self.fault.processors == "all" else f" on CPUs {self.fault.processors}"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.fault.what}{where}{detail}; {self.fault.remedy}"


def findings(view: OpView, rows: Rows, verdict: Verdict | None = None) -> Iterator[Finding]:
    """The faults that an op meets on ARM, in the order of the table; with a `verdict`, those with it.

    `rows` says whether the number of rows that products see may change between runs.
    """
    for fault in arm_table().faults_of(view.type):
        if verdict is None or fault.verdict == verdict:
            detail = CONDITIONS[fault.when](view, rows)
            if detail is not None:
                yield Finding(fault, detail)


def first_refusal(view: OpView, rows: Rows) -> Finding | None:
    """The first fault for which a file is not to be written; None where there is none."""
    return next(findings(view, rows, "refused"), None)


def meets(view: OpView, name: str, rows: Rows = "declared") -> bool:
    """Whether a use of an op meets one fault of the table."""
    return view.type in arm_table().fault(name).ops and CONDITIONS[name](view, rows) is not None


# ---------------------------------------------------------------------- activations


def _depthwise_hard_swish(view: OpView, rows: Rows) -> str | None:
    found = convolution(view)
    depthwise = view.type == "depthwise_conv2d" or (found is not None and found.is_depthwise)
    return "" if depthwise and activation(view) == "hard_swish" else None


def _unpadded_depthwise_relu(view: OpView, rows: Rows) -> str | None:
    found = convolution(view)
    if found is None or not view.computes_int8 or activation(view) not in ("relu", "relu6"):
        return None
    return "" if found.is_depthwise_3x3 and found.is_unpadded else None


def _transposed_hard_swish(view: OpView, rows: Rows) -> str | None:
    return "" if activation(view) == "hard_swish" else None


def _winograd_hard_swish(view: OpView, rows: Rows) -> str | None:
    found = convolution(view)
    if found is None or not view.computes_int8 or view.writes_int8 is False:
        return None
    if not found.is_winograd or activation(view) != "hard_swish":
        return None
    return "" if rows == "open" or not is_known(view.shape("Input")) else None


# ---------------------------------------------------------------------- products


def _fc(name: str) -> Condition:
    def condition(view: OpView, rows: Rows) -> str | None:
        weight = view.shape("W")
        if not view.computes_int8 or weight is None or len(weight) != 2:
            return None
        found = why_not_fc(leading_extents(view), weight[1], view.is_shared("W"), rows)
        return "" if found == name else None

    return condition


def _int8_products(view: OpView, rows: Rows) -> str | None:
    return _too_many(view, rows, "int8-products") if view.computes_int8 else None


def _float_products(view: OpView, rows: Rows) -> str | None:
    return None if view.computes_int8 else _too_many(view, rows, "float-products")


def _too_many(view: OpView, rows: Rows, name: str) -> str | None:
    products = products_by_gemm(view, rows)
    limit = arm_table().limit(name)
    if products is None or products <= limit:
        return None
    return f"{products:,} products per output, where {limit:,} are right"


def _winograd_sums(view: OpView, rows: Rows) -> str | None:
    found, weight = convolution(view), view.weight("Filter")
    if found is None or weight is None or not view.computes_int8 or not found.is_winograd:
        return None
    shape = view.shape("Input")
    if shape is not None and len(shape) == 4 and is_known(shape[2:]) and _pixels(found, shape) < _FEW_PIXELS:
        return None
    largest, limit = largest_sum(weight, never_negative(view, "Input")), arm_table().limit("winograd-sums")
    return None if largest <= limit else f"up to {largest:,}, where {limit:,} are right"


def _pixels(found: Convolution, shape: Shape) -> int:
    """Pixels of one output map of a 3 x 3 convolution of stride 1 with even padding."""
    pads = found.pads or (0, 0, 0, 0)
    return (shape[2] + pads[0] + pads[1] - 2) * (shape[3] + pads[2] + pads[3] - 2)


def largest_sum(weight: np.ndarray, is_positive: bool) -> int:
    """The largest absolute sum of products that an output channel of a convolution can reach.

    `weight` is int8 [out, in, height, width]; activations go from -127 to 127, or from 0 where `is_positive`:
    then positive and negative weights do not add up.
    """
    rows = weight.reshape(weight.shape[0], -1).astype(np.int64)
    above, below = np.maximum(rows, 0).sum(axis=1), np.maximum(-rows, 0).sum(axis=1)
    sums = np.maximum(above, below) if is_positive else above + below
    return _LARGEST * int(sums.max(initial=0))


def _shared_filter(view: OpView, rows: Rows) -> str | None:
    return "" if view.computes_int8 and view.is_shared("Filter") else None


def _grouped_transposed(view: OpView, rows: Rows) -> str | None:
    return "" if view.computes_int8 and groups(view) > 1 else None


# ---------------------------------------------------------------------- other ops


def _always(view: OpView, rows: Rows) -> str | None:
    return ""


def _adaptive_pool(view: OpView, rows: Rows) -> str | None:
    """The kernel for a fixed window, or for the whole map, is taken by window and strides alone."""
    if not view.attr("adaptive", False) or view.attr("global_pooling", False):
        return None
    (height, width), (first, second) = pair(view, "ksize"), pair(view, "strides")
    if height != width or first != second or height == 1:
        return None
    shape = view.shape("X")
    whole = shape is None or all(may_be(extent, height) for extent in shape[2:])
    return "" if whole or height == 3 or (height == 2 and first == 2) else None


def _reduction(view: OpView, rows: Rows) -> str | None:
    shape = view.shape("X")
    if shape is None:
        return None
    rank = max(len(shape), 1)
    given = () if view.attr("reduce_all", False) else tuple(view.attr("dim", ()))
    axes = normalized(given, rank)
    if has_kernel(view.type, rank, axes, "arm"):
        return None
    return f"{len(shape)} dimensions along {list(given) or 'all axes'}"


def _grid_size(view: OpView, rows: Rows) -> str | None:
    shape, grid = view.shape("X"), view.shape("Grid")
    if shape is None or grid is None:
        return ""
    size, wanted = shape[2:], grid[1:3]
    return None if is_known(size) and size == wanted else f"{list(size)} by a grid of {list(wanted)}"


def _softplus_threshold(view: OpView, rows: Rows) -> str | None:
    threshold = float(view.attr("threshold", _USUAL_THRESHOLD))
    return f"threshold {threshold:g}" if threshold < _USUAL_THRESHOLD else None


def _affine_channel_layout(view: OpView, rows: Rows) -> str | None:
    layout = view.attr("data_layout", "AnyLayout")
    return None if layout == "NCHW" else f"data_layout {layout}"


def _bool_transpose(view: OpView, rows: Rows) -> str | None:
    return "" if view.element("X") == "bool" else None


def _negative_to_uint8(view: OpView, rows: Rows) -> str | None:
    if view.attr("out_dtype") != _UINT8 or view.element("X") != "float":
        return None
    return None if never_negative(view, "X") else ""


CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        "adaptive-pool": _adaptive_pool,
        "affine-channel-layout": _affine_channel_layout,
        "bool-transpose": _bool_transpose,
        "depthwise-hard-swish": _depthwise_hard_swish,
        "depthwise-transposed": _always,
        "fc-one-column": _fc("fc-one-column"),
        "fc-rows": _fc("fc-rows"),
        "fc-shared-weight": _fc("fc-shared-weight"),
        "float-products": _float_products,
        "grid-size": _grid_size,
        "grouped-transposed": _grouped_transposed,
        "int8-products": _int8_products,
        "negative-to-uint8": _negative_to_uint8,
        "reduction": _reduction,
        "shared-transposed-filter": _shared_filter,
        "sign": _always,
        "softplus-threshold": _softplus_threshold,
        "transposed-hard-swish": _transposed_hard_swish,
        "unpadded-depthwise-relu": _unpadded_depthwise_relu,
        "winograd-hard-swish": _winograd_hard_swish,
        "winograd-sums": _winograd_sums,
    }
)
"""By the name that the row of the table has."""
