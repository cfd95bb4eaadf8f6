"""legacy.tsv: what Paddle 2.6 declares of its ops. Runs under paddlepaddle 2.6.2.

python tools/paddle3/legacy_ops.py qcc/frontend/paddle3/data/legacy.tsv
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from qcc._paddle import core
from qcc.ir.framework import OpSignature
from qcc.ir.program import AttrType, OpProto, ProgramProto
from qcc.ir.text.attributes import plain_value

# Attributes of every op, which the reader writes itself.
BOOKKEEPING = ("op_role", "op_role_var", "op_namescope", "op_callstack", "op_device", "with_quant_attr")
# A value of each type, to find out which attribute is asked for next.
_ANY = {
    "STRING": "a",
    "FLOATS": [1.0],
    "INTS": [1],
    "STRINGS": ["a"],
    "LONGS": [1],
    "BOOLEAN": True,
    "FLOAT": 0.5,
}


def declarations() -> dict[str, Any]:
    """Every forward op's declaration (`OpProto`)."""
    protos = map(OpSignature.FromString, core.get_all_op_protos())
    return {proto.type: proto for proto in protos if not proto.type.endswith("_grad")}


def defaults(op_type: str, kinds: dict[str, int]) -> dict[str, tuple[str, Any]]:
    """Type and default of each attribute that Paddle fills in; those that an op must be given have None."""
    program = core.ProgramDesc()
    op = program.block(0).append_op()
    op.set_type(op_type)
    required: set[str] = set()
    while True:
        try:
            op.check_attrs()
            break
        except (ValueError, RuntimeError) as error:
            named = [name for name in kinds if name not in required and re.search(rf"\b{name}\b", str(error))]
            if not named:
                break
            op._set_attr(named[0], _ANY.get(AttrType.Name(kinds[named[0]]), 1))
            required.add(named[0])
    message = ProgramProto.FromString(program.serialize_to_string())
    return {
        attr.name: (AttrType.Name(attr.type), plain_value(attr))
        for attr in message.blocks[0].ops[0].attrs
        if attr.name not in required
    }


def extras(op_type: str) -> dict[str, tuple[str, Any]]:
    """Types of the attributes for Paddle's own use; they have no default here, so that a program need not
    have them."""
    program = ProgramProto()
    program.blocks.add(idx=0, parent_idx=-1).ops.add(type=op_type)
    desc = core.ProgramDesc(program.SerializeToString())  # which owns its ops
    op = desc.block(0).op(0)
    op._set_attr("op_role", 0)  # any change makes it write the message anew
    attrs = OpProto.FromString(op.serialize_to_string()).attrs
    return {attr.name: (AttrType.Name(attr.type), None) for attr in attrs if attr.name not in BOOKKEEPING}


def attributes(proto: Any) -> dict[str, tuple[str, Any]]:
    filled = defaults(proto.type, {attr.name: attr.type for attr in proto.attrs})
    found = extras(proto.type)
    for attr in proto.attrs:
        kind, default = filled.get(attr.name, (AttrType.Name(attr.type), None))
        if kind not in ("BLOCK", "BLOCKS", "VAR", "VARS") and attr.name not in BOOKKEEPING and not attr.extra:
            found[attr.name] = (kind, default)
    return found


def op_versions() -> dict[str, int]:
    """The versions of ops that Paddle writes into every program."""
    program = ProgramProto.FromString(core.ProgramDesc().serialize_to_string())
    return {pair.op_name: pair.op_version.version for pair in program.op_version_map.pair}


def slots(declared: Any) -> str:
    return " ".join(
        slot.name + "?" * (slot.dispensable or slot.extra) + "*" * slot.duplicable for slot in declared
    )


def main(path: Path) -> None:
    lines, versions = [], op_versions()
    for name, proto in sorted(declarations().items()):
        attrs = json.dumps(attributes(proto), separators=(",", ":"), default=str)
        version = str(versions.get(name, 0))
        lines.append("\t".join((name, version, slots(proto.inputs), slots(proto.outputs), attrs)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
