"""What depends on no input, where a network branches."""

from __future__ import annotations

from typing import Any

import numpy as np
from lite_case import build_model, floats, static

import qcc
from qcc._paddle import paddle


def branching(x: Any) -> Any:
    """Parameters that only a branch reads stand beside a constant that can be computed."""
    y = static.nn.fc(x, 8) + paddle.ones([8]) * 2.0
    return static.nn.cond(paddle.mean(y) > 0, lambda: static.nn.fc(y, 8), lambda: y * 3.0)


def test_a_constant_beside_a_branch() -> None:
    x = floats(2, 8)
    model = build_model(branching, [x], batch=2)
    folded = qcc.PassManager.parse("fold-constants").run(model)
    assert len(folded.graph.ops) < len(model.graph.ops)
    for inputs in ({"x0": x}, {"x0": -9 * x}):
        np.testing.assert_array_equal(folded.run(inputs)[0], model.run(inputs)[0])
