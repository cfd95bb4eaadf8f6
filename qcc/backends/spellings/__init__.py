"""How ops that an engine's format lacks, or has with another meaning, are written in ops that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qcc.backends.spellings import activations, boxes, maps, numbers, places, pools, scalars
from qcc.backends.spellings.deformable import deformable_conv
from qcc.backends.spellings.step import Spell, SpellPart, Steps
from qcc.ir.nodes import Op

SPELLINGS: Mapping[str, Spell] = {
    "addmm": numbers.addmm,
    "affine_grid": places.affine_grid,
    "bilinear_interp": maps.by_a_fraction,
    "box_coder": boxes.box_coder,
    "celu": activations.celu,
    "channel_shuffle": maps.channel_shuffle,
    "crop": places.crop,
    "crop_tensor": places.crop,
    "expand_as_v2": places.expand_as,
    "expm1": activations.expm1,
    "flatten_contiguous_range": places.flatten_range,
    "fold": maps.fold,
    "frobenius_norm": numbers.frobenius_norm,
    "gelu": activations.gelu,
    "hard_swish": activations.as_paddle_computes,
    "increment": numbers.increment,
    "isfinite_v2": numbers.is_finite,
    "isinf_v2": numbers.is_infinite,
    "isnan_v2": numbers.is_nan,
    "lerp": numbers.lerp,
    "logit": numbers.logit,
    "max_pool2d_with_index": pools.adaptive_max,
    "maxout": activations.maxout,
    "norm": numbers.norm,
    "p_norm": numbers.norm_of_all,
    "pad3d": places.circular_pad,
    "pixel_unshuffle": maps.pixel_unshuffle,
    "polygon_box_transform": places.polygon_box_transform,
    "pool2d": pools.pool,
    "reduce_amax": numbers.amax,
    "reduce_amin": numbers.amin,
    "relu6": activations.as_paddle_computes,
    "reshape": places.reshape,
    "reverse": places.reverse,
    "roi_align": boxes.roi_align,
    "rrelu": activations.rrelu,
    "shuffle_channel": maps.channel_shuffle,
    "soft_relu": activations.soft_relu,
    "softplus": activations.softplus,
    "stanh": activations.stanh,
    "strided_slice": places.strided_slice,
    "swish": activations.as_paddle_computes,
    "transpose": places.transpose,
    "trunc": numbers.trunc,
    "unfold": maps.uneven_unfold,
    "unpool": maps.unpool,
}
"""How an op of a type is written otherwise; None where it is left."""


def _taken_over(*names: str) -> dict[str, Spell]:
    """Those of paddle2onnx that another reader lacks as well."""
    return {name: SPELLINGS[name] for name in names}


_BUILT_IN = dict.fromkeys(activations.BUILT_IN, activations.as_paddle_computes)
_FUNCTIONS: Mapping[str, Spell] = {
    "brelu": activations.brelu,
    "log10": numbers.logarithm,
    "log1p": numbers.log1p,
    "log2": numbers.logarithm,
    "log_softmax": activations.log_softmax,
    "logsigmoid": activations.log_sigmoid,
    "selu": activations.selu,
    "sign": numbers.sign,
    "softsign": activations.softsign,
    "trunc": numbers.trunc,
}
"""What OpenVINO's reader and Paddle Lite both lack."""
_OF_TRUTH = dict.fromkeys(("bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor"), numbers.of_truth)
"""Likewise, some of them."""

FOR_ONEDNN: Mapping[str, Spell] = {
    **_BUILT_IN,
    "conv2d": maps.of_computed_filters,
    "depthwise_conv2d": maps.of_computed_filters,
    "dropout": numbers.dropout,
    "nearest_interp": places.nearest,
    "nearest_interp_v2": places.nearest,
    "pad": places.pad,
    "pool2d": pools.for_onednn,
}
"""The same for Paddle's oneDNN kernels."""

FOR_OPENVINO: Mapping[str, Spell] = {
    **_taken_over(
        *("celu", "channel_shuffle", "crop", "crop_tensor", "expm1", "fold", "frobenius_norm"),
        *("increment", "isfinite_v2", "isinf_v2", "isnan_v2", "lerp", "logit", "maxout", "pad3d"),
        *("pixel_unshuffle", "reduce_amax", "reduce_amin", "reshape", "reverse", "rrelu"),
        *("shuffle_channel", "soft_relu", "stanh", "strided_slice", "transpose", "unpool"),
    ),
    **_BUILT_IN,
    **_FUNCTIONS,
    **_OF_TRUTH,
    "affine_channel": maps.affine_channel,
    "arg_max": places.arg_extreme,
    "arg_min": places.arg_extreme,
    "bilinear_interp": maps.interpolate,
    "flatten2": places.flatten,
    "instance_norm": numbers.instance_norm,
    "mean": numbers.mean,
    "mish": activations.mish,
    "nearest_interp": maps.nearest_interp,
    "nearest_interp_v2": places.nearest,
    "norm": numbers.any_norm,
    "p_norm": numbers.norm_of_all,
    "pad": places.pad,
    "pixel_shuffle": maps.pixel_shuffle,
    "pool2d": pools.mean_beyond,
    "prelu": activations.prelu,
    "reciprocal": numbers.reciprocal,
    "square": numbers.square,
    "unfold": maps.unfold,
}
"""The same for OpenVINO where it reads models of Paddle."""

FOR_LITE: Mapping[str, Spell] = {
    **_taken_over(
        *("addmm", "crop_tensor", "expm1", "fold", "frobenius_norm", "gelu", "lerp", "logit", "maxout"),
        *("pixel_unshuffle", "reduce_amax", "reduce_amin", "soft_relu", "stanh", "strided_slice"),
    ),
    **_BUILT_IN,
    **_FUNCTIONS,
    **_OF_TRUTH,
    "bmm": numbers.bmm,
    "elementwise_floordiv": numbers.floor_divide,
    "expand_as_v2": places.expand_as,
    "pow": numbers.whole_power,
}
"""The same for Paddle Lite."""

OF_NUMBERS_FOR_LITE: Mapping[str, Spell] = {
    **{f"reduce_{kind}": scalars.unchanged for kind in ("all", "any", "max", "mean", "min", "prod", "sum")},
    "gather": scalars.gather,
    "lookup_table_v2": scalars.look_up,
    "one_hot_v2": scalars.one_hot,
    "reshape2": scalars.to_a_number,
    "stack": scalars.stack,
    "transpose2": scalars.unchanged,
    "unsqueeze2": scalars.unsqueeze,
}
"""Likewise, of what has no dimensions in Paddle."""

SpellWeight = Callable[[Op, np.ndarray], Steps | None]
_PERMUTED: Mapping[str, tuple[str, SpellWeight]] = {
    "gather": ("Index", maps.by_permutation),
    "index_select": ("Index", maps.by_permutation),
}
OF_WEIGHTS: Mapping[str, tuple[str, SpellWeight]] = {
    "deformable_conv": ("Filter", deformable_conv),
    "deformable_conv_v1": ("Filter", deformable_conv),
    **_PERMUTED,
}
"""The same of ops that depend on the values of a weight, with the slot of that."""

OF_WEIGHTS_FOR_OPENVINO = _PERMUTED
"""The same for OpenVINO where it reads models of Paddle."""

IN_PARTS_FOR_ONNX: Mapping[str, SpellPart] = {"broadcast_tensors": places.broadcast_part}
"""The same of ops with several outputs."""

IN_PARTS: Mapping[str, SpellPart] = {
    **IN_PARTS_FOR_ONNX,
    "unbind": places.part_of,
    "unstack": places.part_of,
}
"""The same for OpenVINO where it reads models of Paddle, and for Paddle Lite."""
