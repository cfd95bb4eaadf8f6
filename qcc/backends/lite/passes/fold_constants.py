"""lite-fold-constants: compute once what depends on no input and cannot be computed on the device."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.attributes import is_loaded, is_machinery
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.program import OpProto
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fold_constants import fold
from qcc.targets.lite import kernels_for

_MOST_ELEMENTS = 1 << 20


@options(frozen=True, config=OPTIONS)
class LiteFoldConstants(LitePass):
    """Replace constants that Paddle Lite cannot compute, or whose ops it cannot load, by weights.

    Before:

        zeros = fill_constant() {shape=[1, 4, 8], value=0.0}
        mask = set_value(Input=zeros) {axes=[1], ends=[2], starts=[0], steps=[1], values=scalars(5.0)}
        y = elementwise_add(X=x, Y=mask)

    After, with a weight `mask`:

        y = elementwise_add(X=x, Y=mask)

    Other constants stay computed, as Paddle Lite's own optimizer leaves them.
    """

    name: ClassVar[str] = "lite-fold-constants"
    runs_in_paddle: ClassVar[bool] = True

    arch: Literal["arm", "x86"] = "arm"

    def apply(self, graph: Graph) -> PassResult:
        return fold(graph, _MOST_ELEMENTS, self._cannot_run)

    def _cannot_run(self, op: Op) -> bool:
        if not kernels_for(op.type, self.arch):
            return True
        message = OpProto.FromString(op.desc.serialize_to_string())
        return not all(is_loaded(attr) or is_machinery(attr) for attr in message.attrs)
