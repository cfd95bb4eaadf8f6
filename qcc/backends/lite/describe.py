"""What stands in a `.nb` file, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qcc.backends.lite.file import NaiveBuffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.schema import BlockDesc, OpDesc, VarDesc, VarKind
from qcc.backends.lite.verifier import complaints_about, element_kind
from qcc.targets.lite import find_kernel


@dataclass(frozen=True)
class Kernel:
    """An op: its kernel as the file names it, where it runs, what it reads and writes.

    `precision` is "int8" when it computes with integers, else "float", "int32" and so on;
    `activation` is the one that is fused into it, "" without one.
    """

    kernel: str
    target: str
    precision: str
    activation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter, or a variable that is fed or fetched; `size` is in bytes, None where it is open."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int | None


@dataclass(frozen=True)
class Description:
    """A whole file. `complaints` is what the verifier finds wrong with it."""

    lite_version: str
    feeds: tuple[Tensor, ...]
    fetches: tuple[Tensor, ...]
    ops: tuple[Kernel, ...]
    params: tuple[Tensor, ...]
    complaints: tuple[str, ...]

    @property
    def int8_ops(self) -> list[Kernel]:
        """The ops that compute with integers; calib, which only converts, is none of them."""
        return [op for op in self.ops if op.precision == "int8" and not op.kernel.startswith("calib")]


def describe(buffer: NaiveBuffer, complaints: Sequence[str] = (), rows: Rows = "declared") -> Description:
    """The description of a file's content; `complaints` are those about its bytes.

    `rows` says whether the number of rows that products see may change between runs.
    """
    block = buffer.program.blocks[0]
    return Description(
        buffer.lite_version,
        _interface(block, "feed"),
        _interface(block, "fetch"),
        tuple(_kernel(op) for op in block.ops if op.type not in ("feed", "fetch")),
        tuple(
            Tensor(
                param.name,
                _dtype(param.variable.data_type),
                tuple(param.variable.dim),
                len(param.variable.data),
            )
            for param in buffer.params
            if param.variable is not None
        ),
        (*complaints, *complaints_about(buffer, rows)),
    )


def _interface(block: BlockDesc, kind: str) -> tuple[Tensor, ...]:
    """What is fed or fetched, by column."""
    variables = {var.name: var for var in block.vars}
    columns = [(op.attr("col"), op) for op in block.ops if op.type == kind]
    ordered = sorted((column, at) for at, (column, _) in enumerate(columns) if isinstance(column, int))
    ops = [columns[at][1] for _, at in ordered]
    slots = [slot for op in ops for slot in (op.outputs if kind == "feed" else op.inputs)]
    # What is wrong with them is among the complaints.
    return tuple(_variable(name, variables.get(name)) for slot in slots for name in slot.arguments)


def _variable(name: str, var: VarDesc | None) -> Tensor:
    if var is None:
        return Tensor(name, "unknown", (), None)
    tensor = var.type.lod_tensor.tensor if var.type and var.type.lod_tensor else None
    return Tensor(name, _dtype(element_kind(var)), tuple(tensor.dims) if tensor else (), None)


def _kernel(op: OpDesc) -> Kernel:
    identifier = op.text(KERNEL_ATTR)
    kernel = find_kernel(identifier)
    activation = op.text("act_type") if op.attr("with_act", op.type.startswith("fusion")) else ""
    return Kernel(
        identifier or op.type,
        kernel.target if kernel else "unknown",
        kernel.precision if kernel else "unknown",
        activation or op.text("activation_type"),
        tuple(name for slot in op.inputs for name in slot.arguments),
        tuple(name for slot in op.outputs for name in slot.arguments),
    )


def _dtype(kind: int) -> str:
    if kind not in set(VarKind):
        return f"type {kind}"
    name = VarKind(kind).name.lower()
    return {"fp16": "float16", "fp32": "float32", "fp64": "float64"}.get(name, name)
