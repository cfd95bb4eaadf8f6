"""The pass that the guide shows is run here, so that the guide stays true."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from qcc._paddle import paddle
from qcc.frontend import from_program
from qcc.passes import PassManager
from qcc.passes.transform import Transform

GUIDE = Path(__file__).parents[2] / "docs" / "writing-a-pass.md"


def test_the_pass_of_the_guide_keeps_its_ops_float(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "exempt_of_the_guide.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    exempt = import_module("exempt_of_the_guide").Exempt()
    main, start, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    with paddle.utils.unique_name.guard(), paddle.static.program_guard(main, start):
        x = paddle.static.data("x", [-1, 3, 8, 8])
        hidden = paddle.static.nn.conv2d(x, 4, 3, bias_attr=False)
        y = paddle.static.nn.fc(hidden, 2)
    paddle.static.Executor().run(start, scope=scope)
    model = from_program(main, scope, ["x"], [y.name], for_test=True)

    quantized = PassManager((exempt, Transform(op_types=("conv2d", "mul", "matmul_v2")))).run(model)

    scopes = {
        op.type: op.attr("quantization_type") for op in quantized.graph.ops if op.type in ("conv2d", "mul")
    }
    assert scopes == {"conv2d": "qat_with_weight", "mul": None}
    assert exempt.apply(quantized.graph).modified is False
