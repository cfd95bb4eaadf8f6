"""A small network, quantized from data, and the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import nets
import numpy as np

import qcc
from qcc.model import Model

WEIGHTS = ("conv2d_0.w_0", "conv2d_1.w_0", "fc_0.w_0")
WITHOUT = ("bias-correction",)
OUTPUTS = ("conv2d_0.tmp_0", "conv2d_1.tmp_0", "fc_0.tmp_0")


@dataclass(frozen=True)
class QuantizedNet:
    """`model`: float, with a norm; `frozen`: what `qcc.quantize` makes of it with `batches`, but for biases,
    which belong to no op alone."""

    model: Model
    frozen: Model
    batches: tuple[dict[str, np.ndarray], ...]


@cache
def quantized_net() -> QuantizedNet:
    """Two convolutions, one of them depthwise, and a product. Nobody may change what this returns."""
    model = nets.build(nets.residual_net)["test"]
    random = np.random.default_rng(0)
    norm = next(op for op in model.graph.ops if op.type == "batch_norm")
    model.weights[norm.input("Variance").name] = random.uniform(0.25, 4.0, 8).astype(np.float32)
    batches = tuple({"image": random.standard_normal((2, 3, 12, 12)).astype(np.float32)} for _ in range(3))
    return QuantizedNet(model, qcc.quantize(model, batches, without=WITHOUT), batches)
