"""Every row of the table: an op of Paddle 2.6, as Paddle 3.3.1 translates it, comes back as it was."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from paddle3_programs import HERE, attrs_of, ops_of, slots_of

from qcc.frontend.paddle3 import convert
from qcc.frontend.paddle3.read import parse
from qcc.frontend.paddle3.rules import RULES
from qcc.frontend.paddle3.tables import find, legacy_ops, rows, signatures
from qcc.frontend.program_file import ProgramFile

# Ops that come back as others, which compute the same.
OTHERS = {
    "depend": "only an order",
    "flash_attn": "single ops",
    "memcpy_d2h": "only a place",
    "npu_identity": "only a place",
    "share_data": "the value itself",
    "view_shape": "reshape2",
}
# What cannot come back.
LOST = {
    "partial_send": "it has no result",
    "send_v2": "it has no result",
    "select_output": "blocks are written as conditional_block and select_input",
    "rnn": "in training, as by default, it is refused",
}

# Differences that are meant.
_STRINGS = ["attribute atol", "attribute rtol"]  # both become numbers, of which one was no number
_QUANTIZED = ["attribute bit_length", "attribute is_test", "input InAccum", "input InState"]
KNOWN = {
    "allclose": _STRINGS,
    "isclose": _STRINGS,
    # The bits are those of qmin and qmax, which Paddle 3 counts in.
    # Statistics are for training.
    "quantize_linear": _QUANTIZED,
    "dequantize_linear": _QUANTIZED,
    # The number is written as text, too, and the place is left to Paddle.
    "fill_constant": [
        "attribute force_cpu",
        "attribute place_type",
        "attribute shape",
        "attribute str_value",
    ],
    "reduce_sum": ["attribute in_dtype"],  # that of its input
    # What is given as tensors is -1.
    "set_value": ["attribute ends", "attribute starts", "attribute steps"],
    "slice": ["attribute infer_flags"],
    "strided_slice": ["attribute infer_flags"],
    "unpool": ["attribute unpooling_type"],  # there is but one
    # Places that are counted from the end are made ones from the front.
    "gather": ["input Index"],
    "gather_nd": ["input Index"],
    "index_add": ["input Index"],
    "index_select": ["input Index"],
    "scatter": ["input Ids"],
    "scatter_nd_add": ["input Index"],
    "cast": ["ops ['assign']"],  # to the type that it has; the output has to be a variable of its own
}
FEEDS = ("pd_op.data", "pd_op.feed")


@cache
def stored() -> dict[str, Any]:
    path = Path(__file__).with_name("one_op_programs.json.gz")
    content: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return content


def without_casts(file: ProgramFile) -> tuple[list[Any], dict[str, str]]:
    """The ops, and what each cast in front of a shape casts: variables here are float32, shapes int32."""
    ops = ops_of(file)
    casts = {op.outputs[0].arguments[0]: op.inputs[0].arguments[0] for op in ops if op.type == "cast"}
    return ops, casts


def expected(legacy: str, line: dict[str, Any]) -> dict[str, list[str]]:
    """The arguments of each slot, but for those that Paddle 3 has left out of its program."""
    ops = parse(json.dumps(line["program"]).encode(), HERE).block.ops
    used = {number for op in ops for number in op.operands}
    fed = {op.attrs["name"] for op in ops if op.name in FEEDS and op.results[0].id in used}
    names = {
        slot.name: [f"i.{slot.name}"] + ([f"i.{slot.name}.1"] if slot.several else [])
        for slot in legacy_ops()[legacy].inputs.values()
    }
    return {slot: arguments for slot, arguments in names.items() if arguments[0] in fed}


def replaced(legacy: str) -> set[str]:
    """Attributes that a tensor may stand for."""
    operands = [target for row in rows().values() if row.legacy == legacy for target in row.operands.values()]
    return {attr for slot, attr in operands if slot and attr}


def differences(legacy: str, line: dict[str, Any]) -> Iterator[str]:
    file = convert(parse(json.dumps(line["program"]).encode(), HERE), HERE, lambda name: pytest.fail(name))
    ops, casts = without_casts(file)
    if legacy == "cast":
        casts = {}
    found = [op for op in ops if op.type == legacy]
    if len(found) != 1:
        yield f"ops {[op.type for op in ops]}"
        return
    inputs = {
        slot: [casts.get(name, name) for name in names] for slot, names in slots_of(found[0].inputs).items()
    }
    for slot, names in expected(legacy, line).items():
        if inputs.get(slot, []) != names:
            yield f"input {slot}"
    attrs = attrs_of(found[0])
    by_tensor = replaced(legacy) if line["inputs"] == "all" else set()
    for name, value in line["attrs"].items():
        if name in attrs and name not in by_tensor and not same(attrs[name], value):
            yield f"attribute {name}"
        if name == line["attr"] and name not in attrs:
            yield f"attribute {name}"


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return bool(found == pytest.approx(wanted, rel=1e-6))
    if isinstance(wanted, str) and found != wanted:
        return (
            is_number(wanted) and is_number(found) and float(found) == pytest.approx(float(wanted), rel=1e-6)
        )
    return bool(found == wanted)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("legacy", sorted(set(stored()) - set(OTHERS) - set(LOST)))
def test_an_op_comes_back(legacy: str) -> None:
    found = {}
    for line in stored()[legacy]:
        for difference in differences(legacy, line):
            found.setdefault(difference, (line["inputs"], line["attr"]))
    assert sorted(found) == sorted(KNOWN.get(legacy, [])), found


def test_every_row_names_what_there_is() -> None:
    for name, row in rows().items():
        declared, signature = legacy_ops()[row.legacy], find(signatures(), name)
        assert set(row.operands) <= set(signature.operands), name
        assert set(row.results) <= set(signature.results), name
        assert {slot for slot, _ in row.operands.values() if slot} <= set(declared.inputs), name
        attrs = {attr for _, attr in row.operands.values() if attr} | set(row.attrs.values())
        assert attrs <= set(declared.attrs), name


def test_every_rule_is_of_an_op_that_there_is() -> None:
    for name in RULES:
        assert find(signatures(), name) is not None, name
