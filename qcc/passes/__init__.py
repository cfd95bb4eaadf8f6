"""Passes: rewrites of a graph, and the manager that runs pipelines of them."""

from qcc.passes.base import Pass, PassResult
from qcc.passes.manager import PassManager

__all__ = ["Pass", "PassManager", "PassResult"]
