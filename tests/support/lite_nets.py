"""Networks to lower for Paddle Lite, float and quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from agreement import observe
from lite_ops import F, build_model, conv, floats, static

from qcc._paddle import paddle
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.prune import Prune


def frozen(
    model: Model,
    inputs: Mapping[str, np.ndarray],
    weight_type: str = "channel_wise_abs_max",
    activation_type: str = "moving_average_abs_max",
    options: str = "",
) -> Model:
    """A model as after quantization-aware training: scales observed on `inputs`, then frozen."""
    chosen = f"weight_type={weight_type},activation_type={activation_type}{options}"
    transformed = PassManager.parse(f"transform{{{chosen}}}").run(model)
    for name, value in observe(transformed, model, inputs).items():
        transformed.weights[name] = value
    return PassManager.parse("freeze,prune").run(transformed)


def vision(name: str, size: int = 64, **options: Any) -> tuple[Model, dict[str, np.ndarray]]:
    """A network of `paddle.vision.models` with a softmax, and a batch of two for it."""
    inputs = (floats(2, 3, size, size, low=-1.0, high=1.0),)

    def build(image: Any) -> Any:
        net = getattr(paddle.vision.models, name)(num_classes=10, **options)
        return F.softmax(net(image))

    return build_model(build, inputs), {"x0": inputs[0]}
