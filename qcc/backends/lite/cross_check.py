"""A file of qcc's beside the one that Paddle Lite's own optimizer makes of the same model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import qcc
from qcc.backends.engines.process import start
from qcc.backends.engines.wire import Closed
from qcc.backends.lite.file import NaiveBuffer, read_naive_buffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.runtime import runtime_missing
from qcc.backends.lite.schema import OpDesc, ParamDesc
from qcc.errors import LiteRuntimeError, MissingDependencyError
from qcc.model import Model
from qcc.quantization import stored_form
from qcc.targets.lite import Arch

# Attributes that the optimizer asks for, and that Paddle leaves out of files where they have their defaults.
_KEPT_ATTRS = frozenset({("relu6", "threshold"), ("swish", "beta")})
_SAME_SCALE = 1e-5


def optimize(model: Model, arch: Arch) -> NaiveBuffer:
    """What Paddle Lite's optimizer makes of a model.  Raises what `run_optimizer` raises."""
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        return read_naive_buffer(run_optimizer(model, arch, Path(folder)))


def run_optimizer(model: Model, arch: Arch, folder: Path) -> Path:
    """Let Paddle Lite's optimizer convert a model inside a folder, in a process of its own; its file.

    Raises MissingDependencyError when paddlelite is not installed, LiteRuntimeError when the optimizer
    aborts, as it does on some programs of Paddle 2.6.
    """
    missing = runtime_missing()
    if missing is not None:
        raise MissingDependencyError(missing)
    copy = model.copy()
    shell = copy.graph.shell
    copy.graph.shell = replace(shell, stored_attrs=shell.stored_attrs | _KEPT_ATTRS)
    qcc.save(copy, folder, form=stored_form(copy.graph), check=False)
    # A model without weights has no file of them, and the optimizer wants one.
    (folder / "model.pdiparams").touch()
    files = [folder / "model.pdmodel", folder / "model.pdiparams", folder / "model"]
    process = start("qcc.backends.lite.optimizer_worker", *map(str, files), arch)
    try:
        process.receive()
    except Closed:
        raise LiteRuntimeError(f"Paddle Lite's optimizer, opt, {process.died('on this model')}.") from None
    finally:
        process.close()
    return folder / "model.nb"


def cross_check(model: Model, file: Path, arch: Arch) -> list[str]:
    """The differences between a file that is written and what Paddle Lite's optimizer makes of the model.

    Raises what `run_optimizer` raises.
    """
    try:
        theirs = optimize(model, arch)
    except LiteRuntimeError as error:
        raise LiteRuntimeError(
            f"{str(error).rstrip('.')}; {file} is written, and was checked without it: leave out"
            " --cross-check."
        ) from error
    return differences(read_naive_buffer(file), theirs)


def differences(ours: NaiveBuffer, theirs: NaiveBuffer) -> list[str]:
    """Where two files compute their outputs otherwise: by other kernels, from other parameters or scales.

    The two are walked side by side from each output to the inputs. Neither the names of variables count,
    since the optimizer lets variables share memory by one name, nor the order of ops that do not depend
    on each other, nor whether two readers share a calib op or have one each.
    """
    found: list[str] = []
    waiting = list(zip(_outputs(ours), _outputs(theirs), strict=True))
    seen: set[tuple[int, int]] = set()
    our_params, their_params = _params(ours), _params(theirs)
    while waiting:
        op, other = waiting.pop()
        if (id(op.desc), id(other.desc)) in seen:
            continue
        seen.add((id(op.desc), id(other.desc)))
        if op.kernel != other.kernel:
            found.append(f"{op.title}: the optimizer has {other.kernel} instead")
            continue
        found += [f"{op.title}: {what}" for what in _differences(op, other, our_params, their_params)]
        for slot, sources in op.sources.items():
            waiting += zip(sources, other.sources.get(slot, ()), strict=False)
    return sorted(found)


@dataclass(frozen=True)
class _Node:
    """An op in the order of a file, with the ops that made what it reads."""

    desc: OpDesc
    number: int
    sources: Mapping[str, Sequence[_Node]]

    @property
    def kernel(self) -> str:
        return str(self.desc.attr(KERNEL_ATTR, ""))

    @property
    def title(self) -> str:
        return f"op {self.number}, {self.kernel}"


def _outputs(buffer: NaiveBuffer) -> list[_Node]:
    """The fetch ops by their columns."""
    writers: dict[str, _Node] = {}
    fetches = []
    for number, desc in enumerate(buffer.ops):
        sources = {
            slot.parameter: [writers[name] for name in slot.arguments if name in writers]
            for slot in desc.inputs
        }
        node = _Node(desc, number, sources)
        if desc.type == "fetch":
            fetches.append(node)
            continue
        for slot in desc.outputs:
            for name in slot.arguments:
                writers[name] = node
    return sorted(fetches, key=lambda node: int(node.desc.attr("col")))


def _params(buffer: NaiveBuffer) -> dict[str, ParamDesc]:
    return {param.name: param for param in buffer.params}


def _differences(
    op: _Node, other: _Node, params: Mapping[str, ParamDesc], other_params: Mapping[str, ParamDesc]
) -> Iterator[str]:
    theirs = {slot.parameter: slot.arguments for slot in other.desc.inputs}
    for slot in op.desc.inputs:
        weights = [params[name] for name in slot.arguments if name in params]
        others = [other_params[name] for name in theirs.get(slot.parameter, ()) if name in other_params]
        if [_content(param) for param in weights] != [_content(param) for param in others]:
            yield f"another parameter in slot {slot.parameter}"
        if len(op.sources[slot.parameter]) != len(other.sources.get(slot.parameter, ())):
            yield f"slot {slot.parameter} reads other variables"
    for attr in op.desc.attrs:
        if attr.name.endswith("_scale") and isinstance(attr.value, tuple):
            wanted = other.desc.attr(attr.name, ())
            if not wanted or not _same_scales(attr.value, wanted):
                yield f"another attribute {attr.name}"


def _same_scales(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """One scale for all channels may be written once or for each of them."""
    fitting = len(ours) == len(theirs) or 1 in (len(ours), len(theirs))
    return fitting and bool(np.allclose(ours, theirs, rtol=_SAME_SCALE, atol=0))


def _content(param: ParamDesc) -> tuple[int, bytes]:
    tensor = param.variable
    return (-1, b"") if tensor is None else (tensor.data_type, bytes(tensor.data))
