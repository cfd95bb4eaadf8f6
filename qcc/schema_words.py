"""The values that a JSON schema admits, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SIGNS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


def values(schema: dict[str, Any], literal: Callable[[Any], str], reference: Callable[[str], str]) -> str:
    """For instance `integer > 0 | none`, `[text, ...]`, `abs_max | range_abs_max`.

    `literal` writes a constant; `reference` says what the definition of a name admits.
    """
    if "$ref" in schema:
        return reference(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(literal(value) for value in schema["enum"])
    if "const" in schema:
        return literal(schema["const"])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " | ".join(values(choice, literal, reference) for choice in choices)
    kind = schema.get("type")
    if kind == "array":
        return _list(schema, literal, reference)
    if kind in ("integer", "number"):
        return f"{kind}{_bounds(schema)}"
    if kind == "boolean":
        return f"{literal(True)} | {literal(False)}"
    if kind == "null":
        return literal(None)
    if kind == "string":
        return "path" if schema.get("format") == "path" else "text"
    return "any value"


def _list(schema: dict[str, Any], literal: Callable[[Any], str], reference: Callable[[str], str]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(values(item, literal, reference) for item in schema['prefixItems'])}]"
    item = values(schema.get("items", {}), literal, reference)
    count = schema.get("minItems")
    if count is not None and count == schema.get("maxItems"):
        return f"[{item}, {count} times]"
    return f"[{item}, ...]"


def _bounds(schema: dict[str, Any]) -> str:
    return ",".join(f" {sign} {schema[key]:g}" for key, sign in _SIGNS if key in schema)
