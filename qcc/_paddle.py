"""The one place where Paddle is imported.

qcc works on Paddle's old IR (`ProgramDesc` and `IrGraph`). Paddle 3.x turns it off unless
`FLAGS_enable_pir_api=0` stands in the environment before the first import, so every module of qcc
says `from qcc._paddle import paddle, core` and none says `import paddle`.
"""

from __future__ import annotations

import os
import sys
import warnings

# Paddle's library exports its own copy of zlib, and a `zlib` module that is loaded after it binds to half of
# that copy: the first gzip or zip file that is read crashes the process. Loaded before, it keeps its own.
import zlib  # noqa: F401

from qcc.errors import PaddleError

if "paddle" not in sys.modules:
    os.environ.setdefault("FLAGS_enable_pir_api", "0")
    # Paddle logs every kernel it picks and every pass it runs at level INFO.
    os.environ.setdefault("GLOG_minloglevel", "2")

try:
    with warnings.catch_warnings():
        # The build for GPUs says so wherever there is none, also to who needs none; `qcc doctor` counts them.
        warnings.filterwarnings("ignore", "You are using GPU version Paddle", UserWarning)
        import paddle
except ImportError as error:
    raise PaddleError(
        f"Paddle cannot be imported ({error}); install it with `pip install 'qcc[cpu]'`"
        " or `pip install 'qcc[gpu]'`."
    ) from error

from paddle.base import core
from paddle.base.framework import IrGraph, IrOpNode, IrVarNode, OpProtoHolder
from paddle.base.layer_helper import LayerHelper
from paddle.base.proto import framework_pb2

if int(paddle.__version__.split(".")[0]) >= 3 and os.environ.get("FLAGS_enable_pir_api") != "0":
    raise PaddleError(
        f"Paddle {paddle.__version__} was imported before qcc with its new IR switched on;"
        " set FLAGS_enable_pir_api=0 in the environment, or import qcc first."
    )

paddle.enable_static()

VarType = core.VarDesc.VarType

__all__ = [
    "IrGraph",
    "IrOpNode",
    "IrVarNode",
    "LayerHelper",
    "OpProtoHolder",
    "VarType",
    "core",
    "framework_pb2",
    "paddle",
]
