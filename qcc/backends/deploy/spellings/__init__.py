"""How ops that an engine's format lacks, or has with another meaning, are written in ops that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qcc.backends.deploy.spellings import activations, maps
from qcc.backends.deploy.spellings.deformable import deformable_conv
from qcc.backends.deploy.spellings.step import Steps
from qcc.ir.nodes import Op

SPELLINGS: Mapping[str, Callable[[Op], Steps | None]] = {
    "celu": activations.celu,
    "channel_shuffle": maps.channel_shuffle,
    "expm1": activations.expm1,
    "fold": maps.fold,
    "gelu": activations.gelu,
    "maxout": activations.maxout,
    "max_pool2d_with_index": maps.adaptive_max_pool,
    "pixel_unshuffle": maps.pixel_unshuffle,
    "pool2d": maps.adaptive_max_pool,
    "rrelu": activations.rrelu,
    "softplus": activations.softplus,
    "stanh": activations.stanh,
    "unfold": maps.unfold,
    "unpool": maps.unpool,
}
"""How an op of a type is written otherwise; None where it is left."""

OF_FILTERS: Mapping[str, Callable[[Op, np.ndarray], Steps]] = {
    "deformable_conv": deformable_conv,
    "deformable_conv_v1": deformable_conv,
}
"""The same of ops whose filter is written otherwise, too."""
