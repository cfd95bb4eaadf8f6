"""What must hold in a naive buffer for the runtime to load it and to compute what is meant.

The runtime checks next to nothing of this; its mobile reader crashes, and its kernels return garbage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from qcc.backends.lite.file import NaiveBuffer
from qcc.backends.lite.file_op import FileOp, Program
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.rules.arm import findings, meets
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.schema import (
    NUMPY_DTYPES,
    PARAM_KINDS,
    AttrKind,
    BlockDesc,
    OpDesc,
    ParamDesc,
    VarDesc,
    VarKind,
)
from qcc.backends.lite.soundness import title, unsound
from qcc.errors import ModelFormatError
from qcc.targets.lite import Arch, Kernel, find_kernel
from qcc.targets.lite_arm import Verdict

_NOT_LOADED = (AttrKind.BOOLEANS, AttrKind.BLOCKS, AttrKind.VAR, AttrKind.VARS)
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "depthwise_conv2d_transpose")
_MOST_EXACT_ON_X86 = 64


def complaints_about(
    buffer: NaiveBuffer, rows: Rows = "declared", arch: Arch | None = None, *, strict: bool = True
) -> list[str]:
    """Everything that is wrong with the content of a file, as sentences without a stop.

    `rows` says whether the number of rows that products see may change between the runs of one predictor.
    Without an `arch` the kernels that the file names tell it. What the runtime does not look at, and Paddle
    Lite's own optimizer writes otherwise than qcc, counts where it is `strict`.
    """
    if len(buffer.program.blocks) != 1:
        return [f"it has {len(buffer.program.blocks)} blocks, where qcc knows one"]
    block = buffer.program.blocks[0]
    variables = {var.name: var for var in block.vars}
    params = {param.name: param for param in buffer.params}
    program = Program(block, buffer.params)
    complaints = [
        *_about_block(block),
        *_about_variables(block, variables, params, strict),
        *_about_interface(block, variables),
        *(complaint for param in buffer.params for complaint in _about_param(param)),
        *(complaint for op in block.ops for complaint in _about_op(op, variables, program)),
        *_about_order(block, {param.name for param in buffer.params}),
    ]
    # What is broken already needs no look at what it would compute.
    try:
        return complaints or faults_of(buffer, rows, arch or arch_of(buffer), "refused")
    except ModelFormatError as error:
        return [str(error).rstrip(".")]


def arch_of(buffer: NaiveBuffer) -> Arch:
    """The processor that a file is for: x86 where it names kernels for that, else ARM."""
    kernels = (find_kernel(op.text(KERNEL_ATTR)) for op in buffer.ops)
    return "x86" if any(kernel is not None and kernel.target == "x86" for kernel in kernels) else "arm"


def faults_of(buffer: NaiveBuffer, rows: Rows, arch: Arch, verdict: Verdict) -> list[str]:
    """The faults of kernels that the ops of a file meet, as sentences without a stop.

    Raises ModelFormatError for an op with attributes that no kernel takes.
    """
    program = Program(buffer.program.blocks[0], buffer.params)
    found = []
    for op in buffer.ops:
        view = FileOp(op, program)
        if arch == "arm":
            found += [f"{title(op)}: {finding}" for finding in findings(view, rows, verdict)]
        elif verdict == "refused" and meets(view, "transposed-hard-swish"):
            found.append(f"{title(op)}: hard_swish is fused into a transposed convolution")
    return found


def _about_block(block: BlockDesc) -> Iterator[str]:
    if (block.idx, block.parent_idx) != (0, -1):
        yield f"the main block has the number {block.idx} and the parent {block.parent_idx}"


def _about_variables(
    block: BlockDesc, variables: dict[str, VarDesc], params: dict[str, ParamDesc], strict: bool
) -> Iterator[str]:
    if len(variables) < len(block.vars):
        yield "a variable is declared twice"
    for name, var in variables.items():
        kind = element_kind(var)
        if var.type is None or var.type.lod_tensor is None:
            yield f"variable {name!r} has no tensor description"
        elif var.type.type == VarKind.LOD_TENSOR and var.persistable != (name in params):
            yield f"variable {name!r} is declared a parameter and has no value, or the other way round"
        elif strict and name in params and kind != _param_kind(params[name]):
            yield f"parameter {name!r} is declared {_name(kind)} but holds {_name(_param_kind(params[name]))}"
    for name in params:
        if name not in variables:
            yield f"parameter {name!r} is not declared"


def _about_interface(block: BlockDesc, variables: dict[str, VarDesc]) -> Iterator[str]:
    for op_type, kind in (("feed", VarKind.FEED_MINIBATCH), ("fetch", VarKind.FETCH_LIST)):
        holder = variables.get(op_type)
        if holder is None or holder.type is None or holder.type.type != kind or not holder.persistable:
            yield f"the variable {op_type!r} is missing or of a wrong kind"
        columns = [op.attr("col") for op in block.ops if op.type == op_type]
        if op_type == "fetch" and not columns:
            yield "it fetches nothing, so that nothing comes out"
        numbers = [column for column in columns if isinstance(column, int)]
        if sorted(numbers) != list(range(len(columns))):
            yield f"the {op_type} ops have the columns {columns}"


def _about_param(param: ParamDesc) -> Iterator[str]:
    tensor = param.variable
    if tensor is None or param.variable_type != 1:
        yield f"parameter {param.name!r} has no tensor"
        return
    if tensor.data_type not in PARAM_KINDS:
        yield f"parameter {param.name!r} has the type {tensor.data_type}, which the runtime does not load"
        return
    wanted = int(np.prod(tensor.dim, dtype=np.int64)) * NUMPY_DTYPES[VarKind(tensor.data_type)].itemsize
    if len(tensor.data) != wanted:
        yield f"parameter {param.name!r} has {len(tensor.data)} bytes where its shape wants {wanted}"


# ---------------------------------------------------------------------- operators


def _about_op(op: OpDesc, variables: dict[str, VarDesc], program: Program) -> Iterator[str]:
    for attr in op.attrs:
        if attr.type in _NOT_LOADED:
            yield f"{title(op)}: attribute {attr.name!r} is of a type that the runtime does not load"
    found = list(unsound(op, variables))
    if found:
        yield from found
        return
    kernel = find_kernel(op.text(KERNEL_ATTR))
    if kernel is None or kernel.op != op.type:
        yield f"{title(op)} names the kernel {op.attr(KERNEL_ATTR)!r}, which Paddle Lite does not have"
        return
    yield from (f"{title(op)}: {complaint}" for complaint in _about_types(op, kernel, program))
    yield from (f"{title(op)}: {complaint}" for complaint in _about_known_faults(op, kernel, program.params))


def _about_order(block: BlockDesc, weights: Collection[str]) -> Iterator[str]:
    """Weights are there from the start, also those that an op names as its outputs, as batch_norm does."""
    first: dict[str, int] = {}
    for at, op in enumerate(block.ops):
        for name in (name for slot in op.outputs for name in slot.arguments):
            first.setdefault(name, at)
    for at, op in enumerate(block.ops):
        read = [name for slot in op.inputs for name in slot.arguments if name not in weights]
        early = [name for name in read if first.get(name, len(block.ops)) >= at]
        if early and op.type != "feed":
            when = "before it is written" if early[0] in first else "and nothing writes it"
            yield f"{title(op)} reads {early[0]!r} {when}"


def _about_types(op: OpDesc, kernel: Kernel, program: Program) -> Iterator[str]:
    for slot in op.inputs:
        accepted = kernel.inputs.get(slot.parameter, "any")
        # Of a name that is used again the file declares one type, that of one of the variables.
        for name in (name for name in slot.arguments if not program.is_used_again(name)):
            flows = _precision(op, name, program)
            if accepted not in ("any", flows):
                yield f"{name!r} is {flows}, where its kernel takes {accepted}"


def _precision(op: OpDesc, name: str, program: Program) -> str:
    if op.attr(f"{name}_quant_scale") is not None:
        return "float"
    kind = program.element_kind(name)
    found = "unknown" if kind is None else kind.name.lower()
    return {"fp32": "float"}.get(found, found)


def _about_known_faults(op: OpDesc, kernel: Kernel, params: dict[str, ParamDesc]) -> Iterator[str]:
    """Int8 kernels of x86 that are there, and compute something wrong; those of ARM have a table."""
    if kernel.precision != "int8" or op.type == "calib":
        return
    activation = op.text("act_type") if op.attr("with_act", False) else ""
    slots = {slot.parameter: slot.arguments for slot in op.inputs}
    if kernel.target == "arm":
        return
    if op.type in _CONVOLUTIONS and op.attr("groups", 1) != 1 and not slots.get("Bias"):
        yield "a grouped convolution in int8 has no bias"
    if op.type == "fc":
        yield "an fc op runs in int8 on x86"
    if kernel.alias == "int8_out" and activation == "leaky_relu":
        yield "leaky_relu is fused into an op with int8 output on x86"
    weight = params.get(slots.get("Filter", [""])[0])
    if weight is not None and weight.variable is not None:
        largest = np.max(np.abs(weight.variable.array.astype(np.int16)), initial=0)
        if largest > _MOST_EXACT_ON_X86:
            yield f"a weight holds {largest}, and the sums of the x86 kernel overflow above 64"


# ---------------------------------------------------------------------- small things


def element_kind(var: VarDesc) -> int:
    """The declared element type of a variable."""
    if var.type is None or var.type.lod_tensor is None or var.type.lod_tensor.tensor is None:
        return -1
    return var.type.lod_tensor.tensor.data_type


def _param_kind(param: ParamDesc) -> int:
    return -1 if param.variable is None else param.variable.data_type


def _name(kind: int) -> str:
    return VarKind(kind).name.lower() if kind in set(VarKind) else f"type {kind}"
