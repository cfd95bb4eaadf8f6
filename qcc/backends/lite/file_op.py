"""An op of a file as the rules of `qcc.backends.lite.rules` see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.rules.view import Shape
from qcc.backends.lite.schema import BlockDesc, OpDesc, ParamDesc, TensorDesc, VarKind
from qcc.errors import ModelFormatError
from qcc.targets.lite import find_kernel

_ELEMENTS = {VarKind.FP32: "float"}


_LIKE: Mapping[type, tuple[type, ...]] = {bool: (int,), int: (int,), float: (int, float), str: (str,)}


class Program:
    """The ops of a file, with who writes and who reads each of its variables.

    Paddle Lite's optimizer lets variables share memory by one name. Of such a name neither shape nor writer
    is known, since the file has one declaration for all of them.
    """

    def __init__(self, block: BlockDesc, params: Iterable[ParamDesc]) -> None:
        self._variables = {var.name: var for var in block.vars}
        self.params = {param.name: param for param in params}
        self.readers: Counter[str] = Counter()
        self._writers: dict[str, list[OpDesc]] = {}
        for op in block.ops:
            self.readers.update({name for slot in op.inputs for name in slot.arguments})
            for name in {name for slot in op.outputs for name in slot.arguments}:
                self._writers.setdefault(name, []).append(op)

    def is_used_again(self, name: str) -> bool:
        """Whether several ops write a variable."""
        return len(self._writers.get(name, ())) > 1

    def writer(self, name: str) -> OpDesc | None:
        """The only op that writes a variable; None for feeds, parameters, and names that are used again."""
        writers = self._writers.get(name, ())
        return writers[0] if len(writers) == 1 and writers[0].type != "feed" else None

    def shape(self, name: str) -> Shape | None:
        """A parameter's shape, or the one that a variable is declared with."""
        if name in self.params:
            value = self.params[name].variable
            return None if value is None else tuple(value.dim)
        tensor = self._declared(name)
        if tensor is not None and tensor.dims and not self.is_used_again(name):
            return tuple(tensor.dims)
        writer = self.writer(name)
        # The optimizer declares no shape for what it inserts.
        return (
            self.shape(writer.inputs[0].arguments[0])
            if writer is not None and writer.type == "calib"
            else None
        )

    def element_kind(self, name: str) -> VarKind | None:
        """The element type that a variable is declared with; of a parameter, that of its value."""
        value = self.params[name].variable if name in self.params else None
        tensor = value or self._declared(name)
        return VarKind(tensor.data_type) if tensor is not None and tensor.data_type in set(VarKind) else None

    def _declared(self, name: str) -> TensorDesc | None:
        kind = self._variables[name].type if name in self._variables else None
        return None if kind is None or kind.lod_tensor is None else kind.lod_tensor.tensor


class FileOp:
    """See `OpView`."""

    def __init__(self, desc: OpDesc, program: Program) -> None:
        self._desc = desc
        self._program = program
        self._attrs = {attr.name: attr for attr in desc.attrs}
        self._kernel = find_kernel(desc.text(KERNEL_ATTR))

    @property
    def type(self) -> str:
        return self._desc.type

    @property
    def computes_int8(self) -> bool:
        return self._kernel is not None and self._kernel.precision == "int8" and self.type != "calib"

    @property
    def writes_int8(self) -> bool | None:
        return self._kernel is not None and "int8" in self._kernel.outputs.values()

    def attr(self, name: str, default: Any = None) -> Any:
        """Raises ModelFormatError for a value of another type than the default's."""
        value = self._attrs[name].value if name in self._attrs else default
        if default is None or _is_like(value, default):
            return value
        raise ModelFormatError(
            f"op {self.type}: its attribute {name!r} is {value!r}, where one like {default!r} belongs."
        )

    def shape(self, slot: str) -> Shape | None:
        name = self._first(slot)
        return None if name is None else self._program.shape(name)

    def element(self, slot: str) -> str | None:
        name = self._first(slot)
        kind = None if name is None else self._program.element_kind(name)
        return None if kind is None else _ELEMENTS.get(kind, kind.name.lower())

    def weight(self, slot: str) -> np.ndarray | None:
        name = self._first(slot)
        param = None if name is None else self._program.params.get(name)
        return None if param is None or param.variable is None else param.variable.array

    def is_shared(self, slot: str) -> bool:
        name = self._first(slot)
        return name is not None and self._program.readers[name] > 1

    def source(self, slot: str) -> FileOp | None:
        name = self._first(slot)
        writer = None if name is None else self._program.writer(name)
        return None if writer is None else FileOp(writer, self._program)

    def _first(self, slot: str) -> str | None:
        found = next((item for item in self._desc.inputs if item.parameter == slot), None)
        return found.arguments[0] if found is not None and found.arguments else None


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value is of the type of a default; a tuple stands for any sequence of integers."""
    if isinstance(default, tuple):
        return np.ndim(value) == 1 and (len(value) == 0 or np.asarray(value).dtype.kind in "iu")
    return isinstance(value, _LIKE[type(default)])
