"""Convolutions and products as Paddle Lite's choice of an ARM kernel looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from qcc.backends.lite.rules.view import OpView, Rows, Shape
from qcc.errors import ModelFormatError

CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
TRANSPOSED = ("conv2d_transpose", "depthwise_conv2d_transpose")
PRODUCTS = ("mul", "matmul", "matmul_v2")
_EXPLICIT = "EXPLICIT"
_RUNS_ALONE = (3, 3)


@dataclass(frozen=True)
class Convolution:
    """A convolution's filter [out, in / groups, height, width] and attributes.

    `pads` are top, bottom, left, right; None where they depend on a size that is not known.
    """

    filter: Shape
    groups: int
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int] | None

    @property
    def is_depthwise(self) -> bool:
        """As the runtime sees it: a group per channel, as many out as in, whatever the op's type."""
        return self.filter[1] == 1 and self.filter[0] == self.groups

    @property
    def is_unpadded(self) -> bool:
        return self.pads == (0, 0, 0, 0)

    @property
    def products(self) -> int:
        """Products per output."""
        return prod(self.filter[1:])

    def _is_plain_3x3(self, stride: int) -> bool:
        small = self.filter[2:] == _RUNS_ALONE and self.dilations == (1, 1)
        return small and self.strides == (stride, stride)

    @property
    def is_depthwise_3x3(self) -> bool:
        """Whether it is depthwise, 3 x 3, with stride 1."""
        return self.is_depthwise and self._is_plain_3x3(1)

    @property
    def is_winograd(self) -> bool:
        """Whether Winograd's kernels may run it: in int8 those of CPUs without dot product."""
        even = self.pads is None or (self.pads[0] == self.pads[1] and self.pads[2] == self.pads[3])
        return self.groups == 1 and even and self._is_plain_3x3(1)

    @property
    def is_direct(self) -> bool:
        """Whether, in int8 on CPUs without dot product, a kernel without a product of matrices runs it."""
        even = self.pads is not None and self.pads[0] == self.pads[1] and self.pads[2] == self.pads[3]
        return self.groups == 1 and even and self._is_plain_3x3(2)


def convolution(view: OpView) -> Convolution | None:
    """The geometry of a conv2d or depthwise_conv2d op; None for other ops, or where the filter is unknown."""
    filter_shape = view.shape("Filter") if view.type in CONVOLUTIONS else None
    if filter_shape is None or len(filter_shape) != 4:
        return None
    strides, dilations = pair(view, "strides"), pair(view, "dilations")
    return Convolution(filter_shape, groups(view), strides, dilations, _pads(view, filter_shape, strides))


def pair(view: OpView, name: str) -> tuple[int, int]:
    """An attribute of two numbers.  Raises ModelFormatError for any other."""
    given = view.attr(name, (1, 1))
    if len(given) != 2:
        raise ModelFormatError(
            f"op {view.type}: its attribute {name!r} is {given!r}, where two numbers belong."
        )
    return int(given[0]), int(given[1])


def groups(view: OpView) -> int:
    """The groups of a convolution.  Raises ModelFormatError where there is none."""
    given = int(view.attr("groups", 1))
    if given < 1:
        raise ModelFormatError(
            f"op {view.type}: its attribute 'groups' is {given}, where at least 1 belongs."
        )
    return given


def _pads(view: OpView, filter_shape: Shape, strides: tuple[int, int]) -> tuple[int, int, int, int] | None:
    algorithm = view.attr("padding_algorithm", _EXPLICIT) or _EXPLICIT
    if algorithm == "VALID":
        return (0, 0, 0, 0)
    if algorithm == "SAME":
        if strides != (1, 1):
            return None
        (top, bottom), (left, right) = (((size - 1) // 2, size // 2) for size in filter_shape[2:])
        return (top, bottom, left, right)
    given = tuple(int(pad) for pad in view.attr("paddings", (0, 0)))
    if len(given) != 4:
        vertical, horizontal = pair(view, "paddings")
        return (vertical, vertical, horizontal, horizontal)
    top, bottom, left, right = given
    return (top, bottom, left, right)


def activation(view: OpView) -> str:
    """The activation that is fused into an op; "" without one."""
    if view.attr("with_act", False):
        return str(view.attr("act_type", ""))
    return str(view.attr("activation_type", ""))


# ---------------------------------------------------------------------- products of matrices


def leading_extents(view: OpView) -> Shape | None:
    """The sizes whose product is the number of rows of the left matrix of an fc, mul or matmul op."""
    shape = view.shape("Input" if view.type == "fc" else "X")
    if shape is None:
        return None
    by_columns = view.type == "mul" or (view.type == "fc" and view.attr("op_type", "mul") == "mul")
    if not by_columns:
        return shape[:-1]
    return shape[: int(view.attr("in_num_col_dims" if view.type == "fc" else "x_num_col_dims", 1))]


def rows_change(leading: Shape | None, rows: Rows) -> bool:
    """Whether the number of rows may change between the runs of one predictor."""
    if rows != "declared":
        return rows == "open"
    return leading is None or any(extent < 0 for extent in leading)


def why_not_fc(leading: Shape | None, columns: int, is_shared: bool, rows: Rows) -> str | None:
    """The rule by which an int8 fc op of this form goes wrong; None when it is right.

    `leading` are the sizes whose product is the number of rows; `is_shared` says that another op reads the
    weight.
    """
    if columns == 1:
        return "fc-one-column"
    if is_shared:
        return "fc-shared-weight"
    return "fc-rows" if rows_change(leading, rows) else None


def inner_size(view: OpView) -> int | None:
    """Products per output of an fc, mul or matmul op; None where they are not known."""
    if view.type == "fc":
        shape = view.shape("W")
        return shape[0] if shape else None
    right, left = view.shape("Y"), view.shape("X")
    if right is None or left is None or not right or not left:
        return None
    if view.type == "mul":
        found = prod(right[: int(view.attr("y_num_col_dims", 1))])
    else:
        turned = view.attr("transpose_Y", False) or view.attr("trans_y", False)
        found = right[-1] if turned or len(right) == 1 else right[-2]
    return found if found > 0 else None


def products_by_gemm(view: OpView, rows: Rows) -> int | None:
    """Products per output of an op that a product of matrices computes; None for other ops.

    An fc op that never sees more than one row is computed by another kernel. In int8 the choice is that of
    CPUs without dot product.
    """
    found = convolution(view)
    if found is not None:
        special = found.is_depthwise or found.is_winograd or (found.is_direct and view.computes_int8)
        return None if special else found.products
    if view.type in TRANSPOSED:
        shape = view.shape("Filter")
        return shape[0] // groups(view) if shape else None
    if view.type == "fc":
        leading = leading_extents(view)
        if leading is not None and set(leading) <= {1} and not rows_change(leading, rows):
            return None
        return inner_size(view)
    return inner_size(view) if view.type in PRODUCTS else None
