"""Giving a network the shapes of pruned weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from qcc.errors import CheckpointError
from qcc.train.models.network import Network
from qcc.train.programs.scope import persistable_names
from qcc.train.programs.weights import check_complete

Shape = tuple[int, ...]

# What they compute has as many channels as what they read.
_KEEP_CHANNELS = frozenset(("relu", "relu6", "leaky_relu", "pool2d", "nearest_interp_v2"))
_NORM_SLOTS = ("Scale", "Bias", "Mean", "Variance")


def take_shapes(
    network: Network, weights: Mapping[str, NDArray[Any]], source: Path
) -> tuple[Network, list[str]]:
    """The network, which has no backward part yet, with as many channels as `weights` have.

    Returns it, and the names of the weights whose shapes are others than they were. What it reads and
    computes keeps its shape, and so do kernels. Groups of depthwise convolutions follow. Raises
    CheckpointError, with the name of `source`, when a weight is missing, or does not fit the others.
    """
    check_complete(network, weights, source)
    before = {var.name: tuple(var.shape) for var in network.test.list_vars()}
    shapes = {name: tuple(weights[name].shape) for name in persistable_names(network.test)}
    changed = {name: shape for name, shape in shapes.items() if shape != before[name]}
    if not changed:
        return network, []
    train, test, startup = (program.clone() for program in (network.train, network.test, network.startup))
    # The test program first: its ops are those that people know.
    _Reshaping(test, changed, source).run(network.outputs)
    _Reshaping(train, changed, source).run(network.train_outputs)
    _reshape_first_values(startup, changed)
    return replace(network, train=train, test=test, startup=startup), sorted(changed)


def can_take_shapes(network: Network, weights: Mapping[str, NDArray[Any]]) -> bool:
    """Whether `take_shapes` would do it."""
    try:
        take_shapes(network, weights, Path())
    except CheckpointError:
        return False
    return True


def _reshape_first_values(startup: Any, shapes: Mapping[str, Shape]) -> None:
    block = startup.global_block()
    for op in block.ops:
        (name,) = op.output_arg_names
        if name in shapes:
            op._set_attr("shape", list(shapes[name]))
            block.var(name).desc.set_shape(shapes[name])


@dataclass(frozen=True)
class _Width:
    """The weight whose dimension `axis` is the number of channels of a variable."""

    weight: str
    axis: int


class _Reshaping:
    """Sets the shapes of weights in a program, and follows them from op to op."""

    def __init__(self, program: Any, shapes: Mapping[str, Shape], source: Path) -> None:
        self._block = program.global_block()
        self._source = source
        self._before = {name: tuple(var.shape) for name, var in self._block.vars.items()}
        self._widths: dict[str, _Width] = {}
        for name, shape in shapes.items():
            self._block.var(name).desc.set_shape(shape)

    def run(self, outputs: tuple[str, ...]) -> None:
        """Check and infer all shapes; those of `outputs` must stay as they are."""
        check: Mapping[str, Callable[[Any], None]] = {
            "conv2d": self._convolution,
            "depthwise_conv2d": self._depthwise,
            "batch_norm": self._norm,
            "mul": self._product,
            "elementwise_add": self._sum,
            "concat": lambda op: None,
            **dict.fromkeys(_KEEP_CHANNELS, self._keep),
        }
        for op in self._block.ops:
            check.get(op.type, self._refuse_changes)(op)
            op.desc.infer_shape(self._block.desc)
        for name in outputs:
            self._check_unchanged(name, "the network is to compute")

    # ------------------------------------------------------------------ ops

    def _convolution(self, op: Any) -> None:
        data, weight = op.input("Input")[0], op.input("Filter")[0]
        channels = self._channels(data)
        each = channels // op.attr("groups")
        self._check_kernel(weight, each, f"what it filters has {channels} channels")
        self._widths[op.output("Output")[0]] = _Width(weight, 0)

    def _depthwise(self, op: Any) -> None:
        data, weight = op.input("Input")[0], op.input("Filter")[0]
        channels = self._channels(data)
        reason = f"what it filters one by one has {channels} channels"
        self._check(weight, (channels, 1, *self._before[weight][2:]), reason)
        op._set_attr("groups", channels)
        self._keep(op, "Input", "Output")

    def _norm(self, op: Any) -> None:
        channels = self._channels(op.input("X")[0])
        for slot in _NORM_SLOTS:
            self._check(op.input(slot)[0], (channels,), f"what is normalised has {channels} channels")
        for slot in ("SavedMean", "SavedVariance"):  # in test programs Paddle infers no shapes of these
            self._block.var(op.output(slot)[0]).desc.set_shape((channels,))
        self._keep(op, "X", "Y")

    def _product(self, op: Any) -> None:
        data, weight = op.input("X")[0], op.input("Y")[0]
        rows = prod(self._shape(data)[op.attr("x_num_col_dims") :])
        found = self._shape(weight)
        columns = max(1, found[1]) if len(found) == 2 else self._before[weight][1]
        self._check(weight, (rows, columns), f"what it is multiplied with has {rows} columns")
        self._widths[op.output("Out")[0]] = _Width(weight, 1)

    def _sum(self, op: Any) -> None:
        one, other = op.input("X")[0], op.input("Y")[0]
        channels = self._channels(one)
        if self._block.var(other).persistable:
            self._check(other, (channels,), f"it is added to {channels} channels")
        elif self._channels(other) != channels:
            # The one that has changed; a sum of one channel and many would be computed, but mean another.
            changed, kept = (one, other) if self._changed(one) else (other, one)
            self._refuse_width(
                changed,
                self._channels(kept),
                f"what comes of it is added to '{kept}' of {self._channels(kept)} channels",
            )
        self._keep(op)

    def _keep(self, op: Any, data: str = "X", result: str = "Out") -> None:
        """The channels of the result are counted by the weight that counts those of what is read."""
        read = op.input(data)[0]
        if read in self._widths:
            self._widths[op.output(result)[0]] = self._widths[read]

    def _refuse_changes(self, op: Any) -> None:
        for name in op.input_arg_names:
            self._check_unchanged(name, f"{op.type} takes")

    # ------------------------------------------------------------------ checks

    def _check_unchanged(self, name: str, who: str) -> None:
        if self._changed(name) and self._block.var(name).persistable:
            self._check(name, self._before[name], f"{who} no other one")
        elif self._changed(name):
            channels = self._before[name][1]
            self._refuse_width(name, channels, f"{who} {channels} channels by the configuration")

    def _check_kernel(self, weight: str, channels: int, reason: str) -> None:
        found, before = self._shape(weight), self._before[weight]
        filters = max(1, found[0]) if len(found) == len(before) else before[0]
        self._check(weight, (filters, channels, *before[2:]), reason)

    def _check(self, weight: str, wanted: Shape, reason: str) -> None:
        found = self._shape(weight)
        if found != wanted:
            raise CheckpointError(
                f"{self._source}: '{weight}' has shape {list(found)}, but must have {list(wanted)}, since"
                f" {reason}."
            )

    def _refuse_width(self, name: str, channels: int, reason: str) -> None:
        """Name the weight whose shape gives `name` another number of channels than it must have."""
        width = self._widths.get(name)
        if width is None:
            raise CheckpointError(
                f"{self._source}: by the shapes of the weights '{name}' has {self._channels(name)} channels,"
                f" but must have {channels}, since {reason}."
            )
        wanted = list(self._shape(width.weight))
        wanted[width.axis] = channels
        self._check(width.weight, tuple(wanted), reason)

    def _changed(self, name: str) -> bool:
        return self._shape(name) != self._before[name]

    def _channels(self, name: str) -> int:
        return self._shape(name)[1]

    def _shape(self, name: str) -> Shape:
        return tuple(self._block.var(name).shape)
