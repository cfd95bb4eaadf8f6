"""The one place where Paddle is imported.

qcc works on Paddle's old IR (`ProgramDesc` and `IrGraph`), and Paddle's Python classes for it in static mode
only. What must be set before Paddle's first import is set by `import qcc`; every module of qcc says
`from qcc._paddle import paddle, core` and none says `import paddle`.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qcc.errors import PaddleError
from qcc.forked import leave_copy
from qcc.interrupts import importing

try:
    with importing(), warnings.catch_warnings():
        # The build for GPUs says so wherever there is none, also to who needs none; `qcc doctor` counts them.
        warnings.filterwarnings("ignore", "You are using GPU version Paddle", UserWarning)
        warnings.filterwarnings("ignore", "No ccache found", UserWarning)
        import paddle
except ImportError as error:
    raise PaddleError(
        f"Paddle cannot be imported ({' '.join(str(error).split())}); install it with"
        " `pip install 'qcc[cpu]'` or `pip install 'qcc[gpu]'`."
    ) from error
except OSError as error:
    # Paddle makes this folder as it is imported, or one called "~" for who has no home.
    data = Path(os.path.expanduser("~/.cache/paddle/dataset"))
    if error.filename is None or Path(error.filename) not in (data, *data.parents):
        raise
    raise PaddleError(
        f"Paddle cannot be imported ({error}): set HOME to a folder that it can write to."
    ) from error
except TypeError as error:
    if sys.flags.optimize < 2:
        raise
    raise PaddleError(
        f"Paddle cannot be imported without docstrings ({error}): leave out -OO, and PYTHONOPTIMIZE=2."
    ) from error

from paddle.base import core
from paddle.base.dygraph.tracer import Tracer
from paddle.base.executor import as_numpy
from paddle.base.framework import IrGraph, IrOpNode, IrVarNode, OpProtoHolder, _dygraph_guard
from paddle.base.layer_helper import LayerHelper

if paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
    raise PaddleError(
        f"Paddle {paddle.__version__} runs with its new IR, and qcc works on the old one: "
        + (
            "take FLAGS_enable_pir_api out of the environment."
            if "FLAGS_enable_pir_api" in os.environ
            else "import qcc before paddle, or set FLAGS_enable_pir_api=0 in the environment."
        )
    )

# Paddle 3 says at each use that layers of static programs are deprecated; users can change nothing about it.
warnings.filterwarnings("ignore", r"(?s).*API \S+ is deprecated", module=r"qcc\.")

VarType = core.VarDesc.VarType
MAJOR = int(paddle.__version__.partition(".")[0])

TURN = threading.RLock()
"""Held while Paddle's mode or flags are other than the caller's, which all threads share: of two that switch
them, the second would bring back what the first had set, and run in what the first has brought back."""


@contextmanager
def static_mode() -> Iterator[None]:
    """Paddle's static mode inside the block, or the decorated function; afterwards the caller's mode.

    In dygraph mode Paddle runs ops at once instead of putting them into a program, and `Program` and
    `Executor` make ops without content. `paddle.disable_static` would not bring the caller's mode back: it
    makes a new tracer, without the state that `paddle.amp` keeps in the one before.
    """
    with TURN, _dygraph_guard(None):
        yield


@contextmanager
def dygraph_mode() -> Iterator[None]:
    """Paddle's dygraph mode inside the block; afterwards the caller's mode."""
    with TURN:
        if paddle.in_dynamic_mode():
            yield
            return
        # A tracer of its own, as `paddle.disable_static` makes: inside `static_mode` the caller's comes back.
        with _dygraph_guard(Tracer()):
            yield


_SERIAL = "FLAGS_new_executor_serial_run"


@contextmanager
def one_op_at_a_time() -> Iterator[None]:
    """Let Paddle's executor run all ops in one thread inside the block.

    Where ops call Python, several threads keep memory each, which grows from run to run, and take turns at
    Python's lock anyway. Where two like networks stand in one program, a student and its teacher, oneDNN's
    convolutions of both run at once, and now and then one computes something else: seen in Paddle 2.6.2 with
    a learning rate of 0, by losses that differ between steps; in one thread they never did.
    """
    with TURN:
        before = paddle.get_flags([_SERIAL])
        paddle.set_flags({_SERIAL: True})
        try:
            yield
        finally:
            paddle.set_flags(before)


def run_program(
    executor: Any, program: Any, feed: dict[str, Any], fetches: list[str], scope: Any
) -> list[Any]:
    """Arrays of what is fetched, as `Executor.run` gives them.

    Paddle refuses to make arrays of rows that know to which sample they belong (LoD), such as those of
    `multiclass_nms`; here they are one array of all rows.
    """
    found = executor.run(program, feed=feed, fetch_list=fetches, scope=scope, return_numpy=False)
    for tensor in found:
        if isinstance(tensor, core.LoDTensor):
            tensor.set_lod([])
    return list(as_numpy(found))


leave_copy()

__all__ = [
    "TURN",
    "IrGraph",
    "IrOpNode",
    "IrVarNode",
    "LayerHelper",
    "OpProtoHolder",
    "VarType",
    "core",
    "dygraph_mode",
    "one_op_at_a_time",
    "paddle",
    "run_program",
    "static_mode",
]
