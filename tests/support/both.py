"""One net, quantized by Paddle's passes and by qcc's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from agreement import observe
from paddle_passes import paddle_freeze, paddle_transform, run_program
from qat_nets import Net
from same_program import Renaming, same_graph

from qcc._paddle import IrGraph, paddle
from qcc.model import Model
from qcc.passes import PassManager

WEIGHT_TYPES = ("abs_max", "channel_wise_abs_max", "range_abs_max", "moving_average_abs_max")
ACTIVATION_TYPES = ("abs_max", "range_abs_max", "moving_average_abs_max")


@dataclass(frozen=True)
class Scheme:
    weight_type: str
    activation_type: str
    weight_bits: int = 8
    activation_bits: int = 8

    @property
    def options(self) -> dict[str, object]:
        return dict(vars(self))

    @property
    def per_channel(self) -> bool:
        return self.weight_type == "channel_wise_abs_max"

    @property
    def text(self) -> str:
        return "transform{" + ",".join(f"{name}={value}" for name, value in vars(self).items()) + "}"

    def __str__(self) -> str:
        return "-".join(str(value) for value in vars(self).values())


@dataclass
class Both:
    """A test graph, transformed by Paddle and by qcc, with the same scales observed."""

    net: Net
    scheme: Scheme
    graph: IrGraph
    scope: paddle.static.Scope
    model: Model

    @staticmethod
    def transformed(net: Net, scheme: Scheme) -> Both:
        scope = net.scope()
        graph = paddle_transform(net.test, scope, for_test=True, **scheme.options)
        model = PassManager.parse(scheme.text).run(net.test_model())
        for name, value in observe(model, net.test_model(), net.batch()).items():
            model.weights[name] = value
            scope.find_var(name).get_tensor().set(value, paddle.CPUPlace())
        return Both(net, scheme, graph, scope, model)

    def freeze(self) -> Both:
        scheme = self.scheme
        paddle_freeze(
            self.graph,
            self.scope,
            weight_type="channel_wise_abs_max" if scheme.per_channel else "abs_max",
            weight_bits=scheme.weight_bits,
            activation_bits=scheme.activation_bits,
        )
        return Both(self.net, scheme, self.graph, self.scope, PassManager.parse("freeze").run(self.model))

    def renaming(self) -> Renaming:
        """From qcc's program to Paddle's, which gives each frozen op its own copy of the weight's scales."""
        known = [self.net.feed, *(name for name in self.net.weights if name in self.model.graph)]
        scales = [f"{name}@scale" for name in self.net.weights]
        return same_graph(self.model.to_program(), self.graph.to_program(), known, scales)

    def paddles_output(self, fetch: str) -> np.ndarray:
        (output,) = run_program(self.graph.to_program(), self.scope, self.net.batch(7), [fetch])
        return np.asarray(output)

    def output(self) -> np.ndarray:
        (output,) = self.model.run(self.net.batch(7))
        return np.asarray(output)
