"""What of a slim file's strategy goes into the pass `transform`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_slim

import qcc
from qcc._paddle import paddle
from qcc.errors import ConfigError
from qcc.passes.transform import Transform
from qcc.train.config import QuantizationStrategy, load_slim
from qcc.train.programs.scheme import check_choice, scheme_record, transform_pass, transform_pipeline


def test_a_strategy_of_defaults_is_a_transform_of_defaults() -> None:
    assert transform_pass(QuantizationStrategy()) == Transform(activation_type="abs_max")
    assert transform_pipeline(QuantizationStrategy()) == (
        "transform{weight_type=abs_max,activation_type=abs_max,weight_bits=8,activation_bits=8}"
    )


def test_every_option_arrives(tmp_path: Path) -> None:
    slim = write_slim(
        tmp_path / "run",
        1,
        window_size=7,
        moving_rate=0.5,
        quantize_op_types="[conv2d, mul]",
        not_quant_pattern="[head, 'a b']",
        skip_vars="[fc.w, 'head.*']",
    )
    strategy = load_slim(slim).strategy
    wanted = Transform(
        activation_type="abs_max",
        window_size=7,
        moving_rate=0.5,
        op_types=("conv2d", "mul"),
        skip_pattern=("skip_quant", "head", "a b"),
        skip_vars=("fc.w", "head.*"),
    )
    assert list(qcc.PassManager.parse(transform_pipeline(strategy)).passes) == [wanted]
    record = scheme_record(strategy, transform_pipeline(strategy))
    assert record["window_size"] == 7
    assert record["moving_rate"] == 0.5
    assert record["quantize_op_types"] == ("conv2d", "mul")
    assert record["not_quant_pattern"] == ("head", "a b")
    assert record["pipeline"] == transform_pipeline(strategy)


@pytest.fixture
def program() -> Any:
    program = paddle.static.Program()
    with paddle.static.program_guard(program, paddle.static.Program()):
        image = paddle.static.data("image", [1, 3, 8, 8])
        with paddle.static.name_scope("head"):
            paddle.static.nn.conv2d(image, 4, 3)
    return program


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"not_quant_pattern": "[tail]"},
            r"line 4: .*not_quant_pattern\[0\]: no op .* with 'tail', .* /head[_0-9]*/",
        ),
        ({"quantize_op_types": "[mul]"}, "line 4: .*quantize_op_types: the network has no op .* has conv2d"),
        ({"not_quant_pattern": "[head]"}, "quantize_op_types: the network has no op of these types that"),
        (
            {"skip_vars": "['conv2d_*.w_0', imag]"},
            r"line 4: .*skip_vars\[1\]: no variable .* 'imag'; did you mean",
        ),
        ({"not_quant_pattern": "[skip_quant]"}, None),
        ({"quantize_op_types": "[mul, conv2d]"}, None),
    ],
)
def test_what_would_quantize_nothing_is_refused(
    tmp_path: Path, program: Any, options: dict[str, str], message: str | None
) -> None:
    strategy = load_slim(write_slim(tmp_path / "run", 1, **options)).strategy
    if message is None:
        check_choice(program, strategy)
        return
    with pytest.raises(ConfigError, match=message):
        check_choice(program, strategy)
