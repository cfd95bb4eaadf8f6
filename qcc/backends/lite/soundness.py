"""What an op of a naive buffer may not be, whatever its kernel: the runtime follows it and crashes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qcc.backends.lite.schema import VALUE_FIELDS, OpDesc


def unsound(op: OpDesc, declared: Collection[str]) -> Iterator[str]:
    """What is unsound about an op where these variables are declared, as sentences without a stop."""
    for attr in op.attrs:
        if attr.type not in VALUE_FIELDS:
            yield f"{title(op)}: attribute {attr.name!r} is of a type that there is not"
    used = (name for slot in (*op.inputs, *op.outputs) for name in slot.arguments)
    missing = next((name for name in used if name not in declared), None)
    if missing is not None:
        yield f"{title(op)} uses {missing!r}, which is not declared"


def title(op: OpDesc) -> str:
    """What messages call an op."""
    return f"op {op.type} -> {[name for slot in op.outputs for name in slot.arguments]}"
