"""Appending to programs that have names of their own already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from qcc._paddle import paddle


@contextmanager
def appending(program: Any, startup: Any, prefix: str) -> Iterator[None]:
    """Let layers inside the block be appended to a program and its startup program, under names that begin
    with `prefix`, so that none is one of the program's.

    In Paddle 3 each program names what is appended to it, and knows nothing of the names that it was read
    with; in Paddle 2.6 all programs share the names that `unique_name.guard` sets.
    """
    with ExitStack() as stack:
        stack.enter_context(paddle.static.program_guard(program, startup))
        stack.enter_context(paddle.utils.unique_name.guard(prefix))
        for one in (program, startup):
            if hasattr(one, "switch_name_generator_guard"):
                stack.enter_context(one.switch_name_generator_guard(prefix))
        yield
