"""Program messages."""

from __future__ import annotations

import pytest
from qat_nets import NETS

from qcc._paddle import paddle
from qcc.ir.program import ProgramProto, message_of

static = paddle.static


def loop() -> static.Program:
    """A program with a second block."""
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        start, end = paddle.full([1], 0, "int64"), paddle.full([1], 10, "int64")
        static.nn.while_loop(lambda number: number < end, lambda number: [number + 1], [start])
    return main


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_message_made_of_blocks_is_what_paddle_serializes(blocks: int) -> None:
    program = loop() if blocks == 2 else NETS["convolutions"]().train_model().to_program()
    assert program.num_blocks == blocks
    whole = program.desc.serialize_to_string()
    assert message_of(program.desc) == ProgramProto.FromString(whole)
    assert message_of(program.desc).SerializeToString() == whole
