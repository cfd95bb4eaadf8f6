"""The rule of most ops: slots and attributes have other names in Paddle 2.6, and nothing else differs."""

from __future__ import annotations

from typing import Any

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.int_arrays import SLOTS, int_array, narrowed
from qcc.frontend.paddle3.output import OutOp, Unsupported
from qcc.frontend.paddle3.tables import Row, legacy_ops

# Counts that 2.6 reads as int32, whatever they are.
_NARROW = frozenset((("linspace", "number"), ("logspace", "number"), ("sequence_mask", "max_len")))


def convert_by_table(call: Call, row: Row, **attrs: Any) -> OutOp:
    """Write the op that a row of the table names; `attrs` are set beside what the table says.

    Raises Unsupported for an operand that is computed where 2.6 takes a constant, and for an attribute that
    2.6 lacks.
    """
    inputs: dict[str, list[str]] = {}
    for operand, (slot, attr) in row.operands.items():
        _put_operand(call, row, operand, slot, attr, inputs, attrs)
    for name, attr in row.attrs.items():
        if name in call.op.attrs:
            attrs.setdefault(attr, call.attr(name))
    call.ignore("is_test")  # where 2.6 has it, the row has it, too
    for name, needed in row.needed.items():
        if call.attr(name, needed) != needed:
            raise Unsupported(
                f"Paddle 2.6 computes it with {name} = {needed} only, and here it is {call.attr(name)}"
            )
    _refuse_operands(call, row)
    outputs = _outputs(call, row)
    return call.emit(row.legacy, inputs, outputs, **attrs)


def _put_operand(
    call: Call,
    row: Row,
    operand: str,
    slot: str,
    attr: str,
    inputs: dict[str, list[str]],
    attrs: dict[str, Any],
) -> None:
    if operand not in call:
        return
    numbers = call.numbers(operand) if attr else None
    if (row.legacy, operand) in SLOTS:
        more_inputs, more_attrs = int_array(call, operand, row.legacy, attr or operand)
        inputs.update(more_inputs)
        attrs.update(more_attrs)
    elif numbers is not None:
        # A constant of one number is that number, or a list of one, as the attribute's type wants it.
        text = legacy_ops()[row.legacy].attrs[attr][0] == "STRING"
        attrs[attr] = str(numbers[0]) if text and len(numbers) == 1 else list(numbers)
    elif (row.legacy, operand) in _NARROW:
        inputs[slot] = [narrowed(call, call[operand], call.type(operand))]
    elif slot:
        inputs[slot] = call.all(operand)
    else:
        call.constant(operand)


def _refuse_operands(call: Call, row: Row) -> None:
    for operand in call.operand_names:
        if operand not in row.operands and operand in call:
            raise Unsupported(f"{row.legacy} of Paddle 2.6 has no input {operand}")


def _outputs(call: Call, row: Row) -> dict[str, list[str]]:
    declared = legacy_ops()[row.legacy].outputs
    outputs = {}
    for name in call.result_names:
        slot = row.results.get(name, "")
        value = call.result(name)
        if value is None:
            continue
        if slot not in declared:
            if value.id in call.state.last_use:
                raise Unsupported(f"{row.legacy} of Paddle 2.6 has no output {name}")
            continue
        outputs[slot] = call.outs(name)
    return outputs
