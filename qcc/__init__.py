"""qcc, a quantization compiler for PaddlePaddle models.

The public names below are looked up when they are first used, so that `import qcc` costs nothing and
works where Paddle is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcc.backends import save
    from qcc.frontend import from_program, load
    from qcc.ir.graph import Graph
    from qcc.ir.networkx_form import to_networkx
    from qcc.ir.nodes import Op, Var
    from qcc.model import Model
    from qcc.passes import PassManager

__version__ = "0.1.0"

__all__ = [
    "Graph",
    "Model",
    "Op",
    "PassManager",
    "Var",
    "__version__",
    "from_program",
    "load",
    "save",
    "to_networkx",
]

_HOMES = {
    "Graph": "qcc.ir.graph",
    "Model": "qcc.model",
    "Op": "qcc.ir.nodes",
    "PassManager": "qcc.passes",
    "Var": "qcc.ir.nodes",
    "from_program": "qcc.frontend",
    "load": "qcc.frontend",
    "save": "qcc.backends",
    "to_networkx": "qcc.ir.networkx_form",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'qcc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
