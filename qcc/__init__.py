"""qcc, a quantization compiler for PaddlePaddle models.

The public names below are looked up when they are first used, so that `import qcc` costs nothing and
works where Paddle is missing. What has to be settled before Paddle is imported is settled here, so that it
also holds for who imports qcc, then Paddle, and uses qcc later.
"""

from __future__ import annotations

import os
import sys

# Paddle's library exports its own copy of zlib, and a `zlib` module that is loaded after it binds to half of
# that copy: the first gzip or zip file that is read crashes the process. Loaded before, it keeps its own.
import zlib  # noqa: F401

TYPE_CHECKING = False  # as in `typing`, which takes its time: Ctrl-C is answered as it should be from then on
if TYPE_CHECKING:
    from qcc.backends import save
    from qcc.calibrate.quantize import quantize
    from qcc.frontend import from_layer, from_program, into_layer, load
    from qcc.ir.graph import Graph
    from qcc.ir.networkx_form import to_networkx
    from qcc.ir.nodes import Op, Var
    from qcc.model import Model, Runner
    from qcc.passes import PassManager

if "paddle" not in sys.modules:
    # Paddle 3 turns the old IR (`ProgramDesc` and `IrGraph`), on which qcc works, off unless told otherwise.
    os.environ.setdefault("FLAGS_enable_pir_api", "0")
    # Paddle logs every kernel it picks and every pass it runs at level INFO.
    os.environ.setdefault("GLOG_minloglevel", "2")

__version__ = "0.2.0"

__all__ = [
    "Graph",
    "Model",
    "Op",
    "PassManager",
    "Runner",
    "Var",
    "__version__",
    "from_layer",
    "from_program",
    "into_layer",
    "load",
    "quantize",
    "save",
    "to_networkx",
]

_HOMES = {
    "Graph": "qcc.ir.graph",
    "Model": "qcc.model",
    "Op": "qcc.ir.nodes",
    "PassManager": "qcc.passes",
    "Runner": "qcc.model",
    "Var": "qcc.ir.nodes",
    "from_layer": "qcc.frontend",
    "from_program": "qcc.frontend",
    "into_layer": "qcc.frontend",
    "load": "qcc.frontend",
    "quantize": "qcc.calibrate.quantize",
    "save": "qcc.backends",
    "to_networkx": "qcc.ir.networkx_form",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'qcc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
