"""The textual form of pipelines.

    pipeline := pass ("," pass)*
    pass     := name [ "{" option ("," option)* "}" ]
    option   := name "=" value
    value    := "true" | "false" | "none" | number | word | quoted | "[" [ value ("," value)* ] "]"

A word may hold everything but blanks, quotes and `,=[]{}`; whatever else goes into a quoted string,
where a backslash escapes a quote or a backslash. Blanks between tokens mean nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qcc.errors import PipelineError
from qcc.passes.base import Pass, code_of_pass
from qcc.passes.registry import find_pass

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[,={}\[\]])|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s,={}\[\]"]+))"""
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class PassSpec:
    """A pass as text: its name and the options given to it."""

    name: str
    options: dict[str, Any]


def parse_specs(text: str) -> list[PassSpec]:
    """Parse a pipeline without looking up its passes.  Raises PipelineError with the column."""
    return _Parser(text).pipeline()


def build_pass(spec: PassSpec) -> Pass:
    """The pass with its options checked against their types.  Raises PipelineError."""
    found = find_pass(spec.name)
    fields = [field.name for field in dataclasses.fields(found)]  # type: ignore[arg-type]
    for option in spec.options:
        if option not in fields:
            near = difflib.get_close_matches(option, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(fields) or 'none'}."
            raise PipelineError(f"pass {spec.name!r} has no option {option!r}; {hint}")
    with code_of_pass(found, f"pass {spec.name!r}, while it is made,", PipelineError):
        try:
            return TypeAdapter(found).validate_python(spec.options)
        except ValidationError as error:
            first = error.errors()[0]
            option = ".".join(str(part) for part in first["loc"])
            where = f"option {option}" if option else "its options"
            raise PipelineError(
                f"pass {spec.name!r}, {where}: {first['msg']}, not {first['input']!r}."
            ) from None


def format_pass(step: Pass) -> str:
    """The text that parses back to an equal pass: options that differ from their defaults."""
    shown = []
    for field in dataclasses.fields(step):  # type: ignore[arg-type]
        value = getattr(step, field.name)
        if value != option_default(field):
            shown.append(f"{field.name}={format_value(value)}")
    return step.name + ("{" + ",".join(shown) + "}" if shown else "")


def format_value(value: Any) -> str:
    """An option's value as text."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(format_value(item) for item in value) + "]"
    for text, constant in _CONSTANTS.items():
        if value is constant:
            return text
    if not isinstance(value, str):
        return repr(value)
    match = _TOKEN.fullmatch(value)
    plain = match is not None and match["word"] == value
    if plain and value not in _CONSTANTS and not _NUMBER.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def option_default(field: dataclasses.Field[Any]) -> Any:
    """The default of a pass's option; `dataclasses.MISSING` when it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def pipeline(self) -> list[PassSpec]:
        specs = [self.spec()]
        while self.take(","):
            specs.append(self.spec())
        if self.text[self.position :].strip():
            raise self.error("',' or the end of the pipeline")
        return specs

    def spec(self) -> PassSpec:
        name = self.word("the name of a pass")
        options: dict[str, Any] = {}
        if self.take("{") and not self.take("}"):
            while True:
                option = self.word("the name of an option")
                if option in options:
                    raise PipelineError(f"pass {name!r} is given option {option!r} twice.")
                self.need("=")
                options[option] = self.value()
                if self.take("}"):
                    break
                self.need(",", "',' or '}'")
        return PassSpec(name, options)

    def value(self) -> Any:
        if self.take("["):
            return self.items()
        match = self.match()
        if match is None or match["mark"]:
            raise self.error("a value")
        self.position = match.end()
        if match["quoted"]:
            return re.sub(r"\\(.)", r"\1", match["quoted"][1:-1])
        return _scalar(match["word"])

    def items(self) -> list[Any]:
        items: list[Any] = []
        if self.take("]"):
            return items
        while True:
            items.append(self.value())
            if self.take("]"):
                return items
            self.need(",", "',' or ']'")

    def match(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.position)

    def take(self, mark: str) -> bool:
        match = self.match()
        if match is None or match["mark"] != mark:
            return False
        self.position = match.end()
        return True

    def need(self, mark: str, wanted: str | None = None) -> None:
        if not self.take(mark):
            raise self.error(wanted or repr(mark))

    def word(self, wanted: str) -> str:
        match = self.match()
        if match is None or not match["word"]:
            raise self.error(wanted)
        self.position = match.end()
        return match["word"]

    def error(self, wanted: str) -> PipelineError:
        rest = self.text[self.position :].lstrip()
        column = len(self.text) - len(rest) + 1
        found = repr(rest[:12]) if rest else "the end"
        return PipelineError(f"pipeline {self.text!r}, column {column}: expected {wanted}, found {found}.")


def _scalar(word: str) -> Any:
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if not _NUMBER.fullmatch(word):
        return word
    return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
