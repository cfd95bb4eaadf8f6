"""Batch normalization as what it is at inference: y = a * x + b per channel, which folds into a
convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.rewrite import is_weight

_STATISTICS = ("Scale", "Bias", "Mean", "Variance")


@dataclass(frozen=True)
class Affine:
    """y = a * x + beta + shift per channel, with shift = -a * mean: float32 [channels] each.

    a = gamma / sqrt(variance + epsilon), in float32 and in the order of arithmetic that Paddle Lite's
    optimizer has (`conv_bn_fuser.cc`).
    """

    a: np.ndarray
    shift: np.ndarray
    beta: np.ndarray

    @staticmethod
    def of(graph: Graph, norm: Op) -> Affine:
        """What a `batch_norm` computes from its weights."""
        gamma, beta, mean, variance = (graph.weights[norm.input(slot).name] for slot in _STATISTICS)
        # A variance below zero, which is none, gives NaN: no more is to be said of it here.
        with np.errstate(invalid="ignore"):
            a = gamma / np.sqrt(variance + np.float32(norm.attr("epsilon", 1e-5)))
        return Affine(a, -mean * a, beta)

    def bias(self, conv_bias: np.ndarray | None) -> np.ndarray:
        """The bias behind a convolution that is scaled by `a` and had this bias, if any: [channels]."""
        start = self.beta if conv_bias is None else self.beta + self.a * conv_bias.reshape(-1)
        return start + self.shift


def is_affine(norm: Op) -> bool:
    """All values of a `batch_norm` over the second dimension are weights of float32, statistics are not taken
    from the batch, and nobody reads them."""
    if norm.attr("data_layout", "NCHW") not in ("NCHW", "AnyLayout"):
        return False
    if not (norm.attr("is_test", False) or norm.attr("use_global_stats", False)):
        return False
    # A test graph writes its running statistics onto themselves.
    sources = [norm.input(slot) for slot in _STATISTICS]
    if any(not var.persistable or var.producer is not None or var.dtype != VarType.FP32 for var in sources):
        return False
    return not any(var.consumers for slot, vs in norm.outputs.items() if slot != "Y" for var in vs)


def has_own_filter(graph: Graph, conv: Op) -> bool:
    """The filter of a convolution is a weight of float32, and its output's channels are the second
    dimension."""
    weight, layout = conv.input("Filter"), conv.attr("data_format", "NCHW")
    floats = is_weight(graph, weight) and weight.dtype == VarType.FP32
    return floats and layout in ("NCHW", "AnyLayout")


def along_channels(a: np.ndarray, conv: Op, weight: np.ndarray) -> np.ndarray:
    """Shape one value per output channel so that it broadcasts over a convolution's filter.

    A transposed convolution's is [in, out / groups, h, w]: the inputs of a group meet the outputs of that
    group.
    """
    if "transpose" not in conv.type:
        return a.reshape(-1, *[1] * (weight.ndim - 1))
    groups = conv.attr("groups", 1)
    per_input = np.repeat(a.reshape(groups, 1, -1), weight.shape[0] // groups, axis=1)
    return per_input.reshape(weight.shape[0], -1, *[1] * (weight.ndim - 2))


def added_per_channel(graph: Graph, add: Op, channels: int) -> np.ndarray | None:
    """What an `elementwise_add` adds to each channel, the second of four dimensions, of its X: float32
    [channels]; None when it does something else."""
    operand = add.input("Y")
    if not is_weight(graph, operand) or operand.name not in graph.weights:
        return None
    value = graph.weights[operand.name]
    if value.dtype != np.float32:
        return None
    if value.size == 1 and channels > 0:
        return np.full(channels, value.reshape(-1)[0])
    axis = add.attr("axis", -1)
    channel_dim = 1 - (axis if axis >= 0 else 4 - value.ndim)
    if not (0 <= channel_dim < value.ndim and value.size == channels == value.shape[channel_dim]):
        return None
    return value.reshape(-1)
