"""Quantized models for tests of what comes after the passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from agreement import observe
from qat_nets import Net

from qcc.model import Model
from qcc.passes import PassManager

SCHEME = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"


def transformed_model(before: Model, inputs: Mapping[str, np.ndarray], scheme: str = SCHEME) -> Model:
    """A model, transformed, with scales observed on these inputs."""
    model = PassManager.parse(scheme).run(before)
    for name, value in observe(model, before, inputs).items():
        model.weights[name] = value
    return model


def transformed(net: Net, scheme: str = SCHEME) -> Model:
    """A network's test model, transformed, with scales observed on one batch."""
    return transformed_model(net.test_model(), net.batch(), scheme)


def frozen(net: Net, scheme: str = SCHEME) -> Model:
    """The same, frozen and pruned."""
    return PassManager.parse("freeze,prune").run(transformed(net, scheme))
