"""Float models as the engine of a target reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, conv, floats

from qcc._paddle import paddle
from qcc.backends.deploy.floats import float_for
from qcc.measure.tradeoff.forms import paddle_form
from qcc.targets.table import find_target


@pytest.mark.parametrize(
    "op",
    [
        lambda x: F.channel_shuffle(x, 2),
        lambda x: F.selu(x),
        lambda x: F.softsign(x),
        lambda x: paddle.einsum("nchw,ndhw->ncd", x, x),
    ],
)
def test_what_openvino_does_not_read_is_written_in_other_ops_in_floats_too(
    op: Callable[[Any], Any], tmp_path: Path
) -> None:
    """A budget of time is about how fast the float model is in the engine."""
    given = {"x0": floats(1, 3, 8, 8)}
    model = build_model(lambda x: op(conv(8, 3)(x)), tuple(given.values()))
    target = find_target("openvino")
    found = float_for(model, target).run(given)
    np.testing.assert_allclose(found[0], model.run(given)[0], rtol=1e-5, atol=1e-6)
    form = paddle_form(target, "openvino")
    running = form.open(form.write(model, tmp_path), False)
    try:
        assert running.times(given, 1, 1).cpu
    finally:
        running.close()
