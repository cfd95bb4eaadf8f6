"""Files that are damaged, or made to do harm: each is one sentence, before Paddle sees anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from paddle3_programs import HERE, Json, Program, tensor

import qcc
from qcc.errors import ModelFormatError
from qcc.frontend.paddle3 import convert
from qcc.frontend.paddle3.read import parse


def relu() -> Program:
    program = Program()
    x = program.feed("x", [2, 3])
    (y,) = program.op("relu", [x], [tensor([2, 3])])
    program.fetch(y)
    return program


def load(content: Any) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    convert(parse(data, HERE), HERE, lambda name: pytest.fail(name))


def changed(change: Callable[[Json, list[Json]], object]) -> Json:
    content = relu().content()
    change(content, content["program"]["regions"][0]["blocks"][0]["ops"])
    return content


def test_what_is_changed_below_is_right_before() -> None:
    load(relu().content())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"base_code": ' + b"[" * 200_000,
        b'{"base_code": {"magic": "pir", "version": ' + b"9" * 5000 + b"}}",
        relu().data()[:-40],
        b"\xff\xfe{}",
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFormatError, match=r"inference.json is no JSON, or is truncated or damaged"):
        load(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda top, ops: top.pop("program"), "is damaged: it has None where an object must be"),
        (
            lambda top, ops: top["base_code"].update(magic="x"),
            "says 'x' where a program of Paddle 3 says 'pir'",
        ),
        (lambda top, ops: top["base_code"].update(version="4"), "has '4' where an integer must be"),
        (lambda top, ops: top["base_code"].update(version=True), "has True where an integer must be"),
        (lambda top, ops: top["program"].update(regions=[]), "has not one region with one block"),
        (lambda top, ops: top["program"].update(regions={}), "has {} where a list must be"),
        (lambda top, ops: ops.append(7), "op 3, without a name, has 7 where an object must be"),
        (lambda top, ops: ops[1].update({"#": 5}), "op 1, without a name, has 5 where a name must be"),
        (lambda top, ops: ops[1].update(I=[{"%": 99}]), "pd_op.relu, reads value 99, which is not defined"),
        (lambda top, ops: ops[1].update(I=[{"%": -1}]), "reads value -1, which is not defined"),
        (lambda top, ops: ops[1].update(I=[{"%": "1"}]), "has '1' where an integer must be"),
        (lambda top, ops: ops[1].update(I=[{"%": 1 << 90}]), "where an integer must be"),
        (lambda top, ops: ops.reverse(), "reads value 2, which is not defined"),
        (lambda top, ops: ops.append(dict(ops[1])), "op 3, pd_op.relu, defines value 2 a second time"),
        (lambda top, ops: ops[1]["O"][0].update({"%": -3}), "defines a value under the number -3"),
        (lambda top, ops: ops[1]["O"][0].update({"%": 0}), "defines a value under the number 0"),
        (lambda top, ops: ops[1]["O"][0].update(TT=[]), r"has \[\] where an object must be"),
        (
            lambda top, ops: ops[1]["O"][0].update(TT=tensor([1 << 63])),
            "where an integer must be|has a tensor",
        ),
        (lambda top, ops: ops[1]["O"][0].update(TT=tensor([1] * 65)), "has a tensor of shape"),
        (
            lambda top, ops: ops[1].update(A=[{"N": "a", "AT": {"#": "0.a_i32", "D": "x"}}]),
            "'x' where an integer",
        ),
        (
            lambda top, ops: ops[1].update(A=[{"N": "a", "AT": {"#": "0.a_bool", "D": 2}}]),
            "has 2 where true or",
        ),
        (lambda top, ops: ops[0]["A"].append(ops[0]["A"][0]), "has the attribute 'name' twice"),
    ],
)
def test_damage_is_told_with_its_place(change: Callable[[Json, list[Json]], object], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message) as raised:
        load(changed(change))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ops: ops[1].update(I=[]), "it has 0 operands and 1 results where Paddle 3.3's has 1 and 1"),
        (lambda ops: ops[1].update(I=[{"%": 1}] * 2), "it has 2 operands"),
        (lambda ops: ops[1].update(I=[{"%": 0}]), "relu of Paddle 2.6 needs the input X"),
        (
            lambda ops: ops[1].update(A=[{"N": "a", "AT": {"#": "0.a_i32", "D": 1}}]),
            "Paddle 2.6 has no attribute a",
        ),
        (lambda ops: ops[2]["A"][1]["AT"].update(D=3), r"has the outputs \[3\]"),
        (lambda ops: ops.pop(2), r"has the outputs \[\]"),
        (lambda ops: ops[0]["A"].pop(0), "its attribute name is missing"),
    ],
)
def test_what_fits_no_op_is_refused(change: Callable[[list[Json]], object], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        load(changed(lambda top, ops: change(ops)))


def test_a_value_of_an_inner_block_is_not_known_outside() -> None:
    program = Program()
    x = program.feed("x", [1], "bool")
    inner = {"args": [], "ops": [{"#": "1.relu", "I": [{"%": x}], "O": [{"%": 77, "TT": tensor([1])}]}]}
    program.op("if", [x], [], {}, [inner, {"args": [], "ops": []}])
    program.op("relu", [77], [tensor([1])])
    with pytest.raises(ModelFormatError, match="reads value 77, which is defined later, or in a block apart"):
        load(program.content())


def test_blocks_stand_in_each_other_only_so_deep() -> None:
    program = Program()
    x = program.feed("x", [1], "bool")
    block: Json = {"args": [], "ops": []}
    for _ in range(40):
        block = {
            "args": [],
            "ops": [{"#": "1.if", "I": [{"%": x}], "O": [], "regions": [{"blocks": [block]}]}],
        }
    program.op("if", [x], [], {}, [block, {"args": [], "ops": []}])
    with pytest.raises(ModelFormatError, match="more than 32 deep"):
        load(program.content())


@pytest.mark.parametrize("name", ["", "a\0b", "w"])
def test_a_parameter_has_a_name_of_its_own(name: str) -> None:
    program = Program()
    program.parameter("w", [2])
    program.parameter(name, [2])
    with pytest.raises(ModelFormatError, match=r"is a parameter named .*, which is empty or another one's"):
        load(program.content())


def test_a_feed_does_not_take_a_parameters_name() -> None:
    program = Program()
    program.parameter("x", [2])
    program.fetch(program.feed("x", [2]))
    with pytest.raises(ModelFormatError, match="it feeds 'x', which is a parameter or fed already"):
        load(program.content())


def test_a_giant_constant_takes_no_room() -> None:
    """A shape is only written down; nothing of its size is made."""
    program = Program()
    x = program.feed("x", [1])
    big = program.full(1.0, "float32", [1 << 40, 1 << 20])
    program.fetch(program.op("add", [x, big], [tensor([1 << 40, 1 << 20])])[0])
    program.fetch(program.op("relu", [x], [tensor([1])])[0], 1)
    load(program.content())


def test_the_name_of_a_parameter_leads_nowhere(tmp_path: Path) -> None:
    program = Program()
    w = program.parameter("../../secret", [2])
    program.fetch(program.op("relu", [w], [tensor([2])])[0])
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "inference.json").write_bytes(program.data())
    with pytest.raises(ModelFormatError, match="leads out of the model's folder"):
        qcc.load(folder)


@pytest.mark.parametrize("depth", [200, 320, 480, 900])
def test_lists_in_lists_are_read_or_refused(depth: int) -> None:
    """How deep Python goes depends on who calls; whatever it is, there is no other error."""
    array = '{"#":"0.a_array","D":[' * depth + "]}" * depth
    kind = '{"#":"0.t_vec","D":[' * depth + "]}" * depth
    named = changed(lambda top, ops: ops[1]["A"].append({"N": "struct_name", "AT": "@"}))
    typed = changed(lambda top, ops: ops[1]["O"].append({"%": 50, "TT": "@"}))
    for content, inserted in ((named, array), (typed, kind)):
        with suppress(ModelFormatError):
            load(json.dumps(content).replace('"@"', inserted).encode())


def test_a_vector_that_all_ops_read_does_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcc.frontend.paddle3.conversion._MOST_ARGUMENTS", 1000)
    program = Program()
    x = program.feed("x", [1])
    vector = program.combine([x] * 100, [tensor([1])] * 100)
    axis = program.full(0)
    for column in range(20):
        program.fetch(program.op("concat", [vector, axis], [tensor([100])])[0], column)
    with pytest.raises(ModelFormatError, match="it and the ops before read more than 1000 values"):
        load(program.content())
