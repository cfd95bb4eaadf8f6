"""Attributes of ops, from Paddle's messages to Paddle Lite's."""

from __future__ import annotations

from qcc.backends.lite.schema import VALUE_FIELDS, Attr, AttrKind
from qcc.errors import PassError
from qcc.ir.nodes import FIXED_SIZES, Op
from qcc.ir.program import AttrProto

# What Paddle notes for its own executor, its tools or other libraries. The runtime does not know it, and
# some of it holds paths of the machine that built the program.
_MACHINERY = frozenset(
    {
        "Scale_in",
        "Scale_in_eltwise",
        "Scale_out",
        "Scale_weights",
        "Scale_x",
        "Scale_y",
        "exhaustive_search",
        "fix_seed",
        "force_fp32_output",
        "fuse_activation",
        "fuse_alpha",
        "fuse_beta",
        "fuse_relu_before_depthwise_conv",
        "fuse_residual_connection",
        "fuse_with_relu",
        "is_distributed",
        "is_sparse",
        "mkldnn_data_type",
        "op_callstack",
        "qcc_lowest",
        "op_device",
        "op_namescope",
        "op_role",
        "op_role_var",
        "out_threshold",
        "quantization_type",
        "remote_prefetch",
        "scale_out",
        "scale_x",
        "scale_y",
        "skip_quant",
        "trainer_id",
        "use_addto",
        "use_cudnn",
        "use_mkldnn",
        "use_quantizer",
        "with_quant_attr",
        "workspace_size_MB",
        "x_data_format",
        "y_data_format",
        "epmap",
        "height_sections",
        "slot",
        "table_names",
    }
)
_WEIGHT_ONLY = "post_weight_"


def is_machinery(attr: AttrProto) -> bool:
    """True for an attribute that means nothing to the runtime."""
    if attr.name == "quantization_type":
        # Paddle's own values say how an op was trained; Paddle Lite's that its weights are integers.
        return not attr.s.startswith(_WEIGHT_ONLY)
    return attr.name in _MACHINERY


def is_loaded(attr: AttrProto) -> bool:
    """Whether Paddle Lite loads attributes of this type."""
    return attr.type in VALUE_FIELDS and attr.type not in (
        AttrKind.BLOCK,
        AttrKind.BLOCKS,
        AttrKind.BOOLEANS,
    )


def lite_attr(op: Op, attr: AttrProto) -> Attr:
    """The attribute as Paddle Lite has it.  Raises PassError for a type that it does not load."""
    if attr.name in op.pointed:
        raise PassError(f"{op.computed_attr(attr.name)}, which Paddle Lite does not read: {FIXED_SIZES}.")
    if not is_loaded(attr):
        raise PassError(f"attribute {attr.name!r} of {op} is of a type that Paddle Lite does not load.")
    field = VALUE_FIELDS[AttrKind(attr.type)]
    value = getattr(attr, field)
    lite = Attr(attr.name, attr.type)
    setattr(lite, field, value if isinstance(value, (bool, int, float, str)) else tuple(value))
    return lite
