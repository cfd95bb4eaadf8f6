"""What the passes for Paddle Lite make: computed by Paddle as well, or refused there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_arm import FLOAT
from lite_case import Case, floats, parameter, static
from lite_ops import CASES
from lite_variants import VARIANTS

import qcc
from qcc._paddle import paddle
from qcc.errors import GraphError, TargetError
from qcc.passes import PassManager
from qcc.passes.instruments import OpCount
from qcc.passes.registry import find_pass, known_passes

TRANSPOSED = Case(
    "transposed", (floats(3, 8),), lambda x: paddle.matmul(x, parameter(5, 8), transpose_y=True)
)
RESHAPED = Case("reshaped", (floats(2, 4, 5, 5),), lambda x: paddle.nn.Conv2D(4, 6, 3)(x))
MASKED = Case(
    "masked", (floats(1, 4, 8),), lambda x: x + static.setitem(paddle.zeros([1, 4, 8]), (slice(None), 1), 5.0)
)
DEPTHWISE = Case("depthwise_transposed", FLOAT["depthwise-transposed"][1], FLOAT["depthwise-transposed"][0])
REPLACED = Case(
    "replaced",
    (floats(2, 6, 5, 5), floats(2, 4, 5, 5)),
    lambda x, y: static.setitem(x, (slice(None), slice(1, -1)), x[:, 1:-1] + y),
)
CROPPED = Case("cropped", (floats(2, 4, 9, 10),), lambda x: paddle.crop(x, [-1, 2, -1, 4], [0, 1, 2, 3]))
ALL = {**CASES, **VARIANTS}
# Pass -> models on which it has something to do.
COMPUTED = {
    "lite-fold-constants": (MASKED,),
    "lite-arm-ops": (ALL["pool_adaptive_3"], ALL["softplus_beta"], DEPTHWISE),
    "lite-ops": (ALL["affine_channel"],),
    "fold-reshape": (RESHAPED,),
    "fold-transpose": (TRANSPOSED,),
    "fuse-shuffle-channel": (ALL["channel_shuffle"],),
    "global-pool": (ALL["pool_adaptive"],),
    "remove-identity": (ALL["scale_identity"], ALL["dropout"]),
    "lite-kernels": (ALL["conv2d"],),
    "lite-set-value": (REPLACED,),
    "lite-spell-out": (
        ALL["bmm"],
        ALL["gelu_tanh"],
        ALL["relu6_threshold"],
        ALL["sign"],
        ALL["strided_neg"],
        CROPPED,
    ),
}


def test_every_pass_that_paddle_computes_is_run_here() -> None:
    classes = [find_pass(name) for name in known_passes()]
    lite = [found for found in classes if found.backend == "lite"]
    assert {found.name for found in lite if found.runs_in_paddle} == set(COMPUTED)
    assert all(found.runs_in_paddle for found in classes if found not in lite)


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name, cases in COMPUTED.items() for case in cases],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_paddle_computes_the_same_as_before(name: str, case: Case, tmp_path: Path) -> None:
    model, counts = case.model(), OpCount()
    lowered = PassManager.parse(name).run(model, [counts])
    assert counts.changes[0].result.modified
    for found, expected in zip(lowered.run(case.feed()), model.run(case.feed()), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    qcc.save(lowered, tmp_path)


def test_what_paddle_does_not_compute_is_neither_run_nor_saved(tmp_path: Path) -> None:
    case = CASES["conv_bn_relu"]
    lowered = PassManager.parse("prune,lite-fold-bn,remove-identity").run(case.model())
    assert any("Bias" in op.inputs for op in lowered.graph.ops)
    with pytest.raises(
        GraphError, match="went through pass 'lite-fold-bn', whose result Paddle does not compute"
    ):
        lowered.run(case.feed())
    again = PassManager.parse("prune").run(lowered)
    for form in ("float", "int8", "qdq"):
        with pytest.raises(TargetError, match=r"pass 'lite-fold-bn', .* cannot be saved as a Paddle model"):
            qcc.save(again, tmp_path / "out", form=form, check=False)
    assert not (tmp_path / "out").exists()


def test_pass_that_changed_nothing_keeps_nobody_from_saving(tmp_path: Path) -> None:
    model = TRANSPOSED.model()
    qcc.save(PassManager.parse("lite-fold-bn").run(model), tmp_path)
    (found,), (expected,) = (one.run(TRANSPOSED.feed()) for one in (qcc.load(tmp_path), model))
    np.testing.assert_array_equal(found, expected)
