"""Biases that make good what rounding the weights does to the mean of a layer's outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.calibrate.plan import Plan
from qcc.calibrate.weights import nearest
from qcc.passes.channels import Layer, bias_of, layers
from qcc.passes.window import Window


def bias_shifts(
    plan: Plan, means: Mapping[str, np.ndarray], learned: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """What the pass `correct-biases` adds to biases, by name, under the weight of their layer; `means`: of
    the channels of what layers read, float64 [channels], by its name; `learned`: weights that are not rounded
    to the nearest integers, and biases that stay, by name.

    At a border a kernel meets zeros: each of its places counts as often as it lies inside of the map, where
    the size of that is declared. Transposed convolutions stay, of whose kernel a place meets a part, and so
    does a bias that several layers share, or that is fetched.
    """
    graph = plan.folded.graph
    values: dict[str, dict[str, np.ndarray]] = {}
    for found in layers(graph):
        name, mean = found.operands.weight.name, means.get(found.operands.data.name)
        if mean is None or name not in plan.weights or found.op.type == "conv2d_transpose":
            continue
        bias = bias_of(graph, found)
        operand = None if bias is None else bias.op.input("Y")
        if bias is None or operand is None or len(operand.consumers) > 1:
            continue
        if operand.name in learned or operand.name in graph.fetches:
            continue
        rounded = (
            learned[name] if name in learned else nearest(plan, name, found.operands.channel_axis).values
        )
        shift = _outputs(found, rounded - graph.weights[name], mean)
        if shift is not None:
            values[name] = {operand.name: -shift.astype(np.float32)}
    return values


def _outputs(found: Layer, weight: np.ndarray, inputs: np.ndarray) -> np.ndarray | None:
    """What a layer with this weight, and no bias, gives on average where all of a map is these inputs:
    [channels]; None where it has another number of them."""
    # [groups, outputs, inputs]
    whole = (found.grouped(weight) * _inside(found)).sum(3, dtype=np.float64)
    if inputs.size != whole.shape[0] * whole.shape[2]:
        return None
    return np.einsum("goi,gi->go", whole, inputs.reshape(whole.shape[0], -1)).reshape(-1)


def _inside(found: Layer) -> np.ndarray:
    """For each place of the kernel, at which share of the outputs it lies inside of the map: [places]."""
    kernel, size = found.operands.weight.shape[2:], found.operands.data.shape[2:]
    if found.is_matrix or len(size) != 2 or min(size) < 1:
        return np.ones(1)
    window = Window.of(found.op, kernel, size)
    shares = []
    for axis in (0, 1):
        first = np.arange(window.output[axis]) * window.strides[axis] - window.padding[axis][0]
        places = first + np.arange(kernel[axis])[:, np.newaxis] * window.dilations[axis]
        shares.append(((places >= 0) & (places < size[axis])).mean(1))
    return np.outer(*shares).reshape(-1)
