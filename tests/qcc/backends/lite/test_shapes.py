"""Ops on unusual shapes: Paddle Lite's x86 runtime computes what Paddle does, in float and quantized."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_agreement import assert_close, assert_same_layers, lite_outputs, lowered
from lite_arm import arm_form_outputs
from lite_nets import frozen
from lite_shapes import SHAPES

QUANTIZABLE = [name for name in SHAPES if name.startswith(("conv", "deconv", "dw", "linear"))]
# The kernels that compute these in the form for ARM are not all there on x86.
ONLY_ON_ARM = ("affine_channel_nchw",)


@pytest.mark.lite
@pytest.mark.parametrize("name", SHAPES)
def test_float(name: str, tmp_path: Path) -> None:
    case = SHAPES[name]
    model = case.model()
    wanted = [np.asarray(array) for array in model.run(case.feed())]
    found = [lite_outputs(model, case.feed(), tmp_path / "a.nb")]
    if name not in ONLY_ON_ARM:
        found += arm_form_outputs(model, [case.feed()], tmp_path / "b.nb")
    for outputs in found:
        if case.exact:
            assert [array.tolist() for array in outputs] == [array.tolist() for array in wanted]
        assert_close(outputs, wanted)


@pytest.mark.lite
@pytest.mark.parametrize("name", QUANTIZABLE)
def test_frozen(name: str, tmp_path: Path) -> None:
    case = SHAPES[name]
    model = frozen(case.model(), case.feed())
    assert assert_same_layers(model, case.feed(), tmp_path / "a.nb").activations > 0


@pytest.mark.parametrize("name", SHAPES)
def test_arm(name: str, tmp_path: Path) -> None:
    """The verifier finds nothing wrong with the file for ARM, and quantized ops run in int8."""
    case = SHAPES[name]
    lowered(case.model(), tmp_path / "a.nb", arch="arm")
    if name in QUANTIZABLE:
        model = frozen(case.model(), case.feed())
        kernels = [
            str(op.attr("__@kernel_type_attr@__")) for op in lowered(model, tmp_path / "b.nb", arch="arm").ops
        ]
        assert any("/4/2/1" in kernel for kernel in kernels if not kernel.startswith("calib"))
