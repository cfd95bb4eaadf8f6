"""What the checks say of networks that engines of Paddle get wrong on x86, and of those they get right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import NETS, engine_net, frozen_engine_net
from lite_case import F, build_model, floats, static
from lite_nets import frozen, yolov3

import qcc
from qcc._paddle import paddle
from qcc.backends import judge
from qcc.backends.check import Written, check_runs
from qcc.backends.engines.engine import Engine
from qcc.backends.report import Check
from qcc.errors import OutputError
from qcc.model import Model

INT8 = Engine(onednn=True, int8=True)

# What the check says of the int8 kernels of oneDNN, where they are wrong.
FROZEN = {
    "left_weight": r"19\d times as large.*the matmul_v2 of .*{skip_vars=\[create_parameter_0.w_0\]}",
    "transposed": r"36\d times as large.*the conv2d_transpose of .*--skip-vars conv2d_transpose_0.w_0`",
    "integral_of_bins": r"does not run: .*Could not find threshold information for \[matmul_v2_0",
    # The weight is square, and its scales per channel are taken along its other axis.
    "mask_by_set_value": r"0.95\d times as large.*the mul of 'fc_0.tmp_0",
}
QDQ = {
    "left_weight": r"does not run: .*\[op matmul_v2\]",
    "transposed": r"does not run: .*\[op conv2d_transpose(_bias)?\]",
    "integral_of_bins": r"does not run: .*Could not find threshold information for \[create_parameter_0",
    "mask_by_set_value": FROZEN["mask_by_set_value"],
}


def written(model: Model, folder: Path, form: str = "float") -> tuple[Model, Written]:
    """A model in a form, and its files."""
    if form == "qdq":
        model = qcc.PassManager.parse("qdq").run(model)
    qcc.save(model, folder, form=form, check=False)
    return model, Written(folder / "model.pdmodel", folder / "model.pdiparams", folder)


def by_what(checks: list[Check]) -> dict[str, Check]:
    return {check.what: check for check in checks}


@pytest.mark.parametrize("form", ["float", "qdq"])
@pytest.mark.parametrize("name", NETS)
def test_each_network(name: str, form: str, tmp_path: Path) -> None:
    model, inputs = frozen_engine_net(name)
    checks = by_what(check_runs(*written(model, tmp_path, form), inputs))
    int8 = checks.pop("paddle.inference, oneDNN int8")
    assert [str(check) for check in checks.values() if not check.good] == []
    assert len(checks) == (3 if form == "float" else 1)
    complaint = (FROZEN if form == "float" else QDQ).get(name)
    assert int8.good == (complaint is None), int8
    assert complaint is None or re.search(complaint, int8.outcome), int8


def test_what_float_kernels_get_wrong_is_no_matter_of_quantization(tmp_path: Path) -> None:
    """oneDNN samples other pixels where an image shrinks, which is seen too late where its size is open."""
    x = floats(1, 4, 8, 8)

    def build(image: Any) -> Any:
        half = F.interpolate(paddle.reshape(image, [0, 4, -1, 8]), size=[4, 4], mode="nearest")
        return half + static.nn.conv2d(image, 4, 1, 2, bias_attr=False)

    model = frozen(build_model(build, (x,)), {"x0": x}, "channel_wise_abs_max")
    with pytest.raises(OutputError, match="as oneDNN's float kernels get it wrong, too; run the") as caught:
        qcc.save(model, tmp_path, target="paddle-x86", check={"x0": x})
    assert "skip_vars" not in str(caught.value)


def test_paddles_own_list_of_ops_breaks_squeeze_and_excite(tmp_path: Path) -> None:
    model, inputs = frozen_engine_net("squeeze_and_excite")
    with pytest.raises(OutputError, match=r"0.3\d+ times as large on data, which is wrong"):
        check_runs(*written(model, tmp_path), inputs, Engine(onednn=True, int8=True, int8_ops=()))


def test_what_is_written_for_an_engine_must_be_right_there(tmp_path: Path) -> None:
    """One sentence: where, how far, which op, and the ways out."""
    model, inputs = frozen_engine_net("transposed")
    files = written(model, tmp_path)
    with pytest.raises(OutputError) as caught:
        check_runs(*files, inputs, INT8)
    said = str(caught.value)
    assert said.startswith(
        f"{tmp_path / 'model.pdmodel'} was not written: paddle.inference, oneDNN int8: off by"
    )
    for part in ("36", "on data", "the conv2d_transpose of", "leave it float", "--no-check"):
        assert part in said
    assert by_what(check_runs(*files, inputs, Engine(onednn=True)))["paddle.inference, oneDNN float32"].good
    model, inputs = frozen_engine_net("squeeze_and_excite")
    assert all(check.good for check in check_runs(*written(model, tmp_path / "right"), inputs, INT8))


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1, 369.0])
@pytest.mark.parametrize("form", ["float", "qdq"])
def test_a_kernel_of_another_size_is_seen(
    factor: float, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(judge.Predictor):
        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [array * np.float32(factor) for array in super().run(inputs)]

    monkeypatch.setattr(judge, "Predictor", Wrong)
    model, inputs = frozen_engine_net("squeeze_and_excite")
    checks = check_runs(*written(model, tmp_path, form), inputs)
    assert [check.good for check in checks] == [True, *[False] * (3 if form == "float" else 1)]


def test_made_up_inputs_are_told(tmp_path: Path) -> None:
    model, _ = frozen_engine_net("concat_conv_and_pool")
    checks = check_runs(*written(model, tmp_path))
    assert str(checks[0]) == "Paddle: reads the same weights, bit for bit, and runs on made-up inputs"
    assert all(check.good for check in checks)


def test_a_float_model_is_held_to_float_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = engine_net("concat_conv_and_pool")
    files = written(model, tmp_path)
    assert all(check.good for check in check_runs(*files, inputs))

    class Wrong(judge.Predictor):
        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [array * np.float32(1.001) for array in super().run(inputs)]

    monkeypatch.setattr(judge, "Predictor", Wrong)
    assert [check.good for check in check_runs(*files, inputs)] == [True, False, False, False]


def test_a_detector_is_compared_in_front_of_its_nms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = yolov3()
    quantized = frozen(model, inputs)
    seen: list[int] = []

    class Watched(judge.Predictor):
        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            found = super().run(inputs)
            seen.extend(array.ndim for array in found)
            return found

    monkeypatch.setattr(judge, "Predictor", Watched)
    checks = check_runs(*written(quantized, tmp_path), inputs)
    assert all(check.good for check in checks), [str(check) for check in checks]
    # Two feature maps in each of three engines, of one image and of two, and no rows of boxes.
    assert seen == [4, 4] * 6
