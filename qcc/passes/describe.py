"""What there is to say about a pass, as text."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from qcc.errors import PipelineError
from qcc.passes.base import Pass, code_of_pass
from qcc.passes.pipeline import format_value, option_default
from qcc.passes.registry import find_pass, known_passes
from qcc.schema_words import values


@dataclass(frozen=True)
class Option:
    """An option of a pass: the values that it takes, and its default as a pipeline's text has it."""

    name: str
    values: str
    default: str


@dataclass(frozen=True)
class Description:
    """A pass: the package that it comes from, its docstring, and its options.

    `summary` is the first line of the docstring; for a pass that cannot be loaded, it says why. `backend` and
    `runs_in_paddle` are those of `Pass`.
    """

    name: str
    package: str
    summary: str
    text: str = ""
    options: tuple[Option, ...] = ()
    backend: str | None = None
    runs_in_paddle: bool = True


def describe_all() -> list[Description]:
    """All known passes. One that cannot be loaded does not keep the others from being listed."""
    described = []
    for name, registered in known_passes().items():
        try:
            described.append(describe(name))
        except PipelineError as error:
            described.append(Description(name, registered.package, str(error)))
    return described


def describe(name: str) -> Description:
    """One pass.  Raises PipelineError when it is not known or cannot be loaded."""
    found = find_pass(name)
    text = inspect.cleandoc(found.__doc__ or "")
    package = known_passes()[name].package
    with code_of_pass(
        found, f"pass {name!r} of the package {package}, asked for its options,", PipelineError
    ):
        options = _options(found)
    return Description(
        name,
        package,
        text.partition("\n")[0],
        text,
        options,
        found.backend,
        found.runs_in_paddle,
    )


def _options(found: type[Pass]) -> tuple[Option, ...]:
    schema = TypeAdapter(found).json_schema()
    definitions = schema.get("$defs", {})
    options = []
    for field in dataclasses.fields(found):  # type: ignore[arg-type]
        admitted = _values(schema["properties"][field.name], definitions)
        default = option_default(field)
        text = "" if default is dataclasses.MISSING else format_value(default)
        options.append(Option(field.name, admitted, text))
    return tuple(options)


def _values(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values that a JSON schema admits, in the words of the pipeline grammar."""
    return values(schema, format_value, lambda name: _values(definitions[name], definitions))
