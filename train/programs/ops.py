"""Ops that Paddle 3's own Python functions no longer append to programs of the old IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcc._paddle import LayerHelper


def append_op(kind: str, inputs: Mapping[str, Any], attrs: Mapping[str, Any] | None = None) -> Any:
    """Append an op to the default main program; returns the variable that it writes to its slot `Out`.

    `inputs`: a variable, or a list of them, by slot; the output's dtype is that of `X`.
    """
    helper = LayerHelper(kind)
    first = inputs["X"][0] if isinstance(inputs["X"], list) else inputs["X"]
    out = helper.create_variable_for_type_inference(dtype=first.dtype)
    helper.append_op(type=kind, inputs=dict(inputs), outputs={"Out": out}, attrs=dict(attrs or {}))
    return out
