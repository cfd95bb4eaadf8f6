"""The base of all typed configuration, and how its errors become one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from qcc.errors import ConfigError
from qcc.grammar.document import KNOWN_TAGS, Document, is_override

# Where pydantic speaks of Python's types.
_WORDS = {
    "tuple_type": "it should be a list",
    "dict_type": "it should be a mapping of keys to values",
    "model_type": "it should be a mapping of keys to values",
    "model_attributes_type": "it should be a mapping of keys to values",
    "string_type": "it should be a word",
    "path_type": "it should be a path, in quotes where it looks like something else",
}

# YAML has no paths, but words for them.
YamlPath = Annotated[Path, Strict(False)]

AnySection = TypeVar("AnySection", bound="Section")


@dataclass(frozen=True)
class Origin:
    """Where a section was written. All are equal, so that sections are that say the same."""

    document: Document | None = field(default=None, compare=False)
    path: tuple[str | int, ...] = field(default=(), compare=False)


class Section(BaseModel):
    """A part of a configuration: immutable, and closed to keys that it does not declare.

    A value has to be of the type that its key wants, but for whole numbers where any number will do: `true`
    is no number, 2.0 no whole number, and a number or a truth value in quotes is a word.
    """

    # The string behind a key is its description, which `qcc config help` shows.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    _origin: Origin = PrivateAttr(default=Origin())

    @model_validator(mode="before")
    @classmethod
    def _known_keys_and_tuples(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.known_keys():
                raise PydanticCustomError(
                    "unknown_key", "{hint}", {"key": key, "hint": unknown(key, cls.known_keys())}
                )
        return {key: _immutable(value) for key, value in data.items()}

    @classmethod
    def known_keys(cls) -> list[str]:
        return [field.alias or name for name, field in cls.model_fields.items()]

    def where(self, *path: str | int) -> str:
        """What errors begin with that are about a value of this section: `FILE, line N: section.key`.

        There is no file in it where the section was not read from one.
        """
        document, whole = self._origin.document, [*self._origin.path, *path]
        return ("" if document is None else f"{document.place(whole)}: ") + _dotted(whole, after="")


def _immutable(value: Any) -> Any:
    """YAML's lists, and those in them, as tuples; mappings are the business of their own sections."""
    return tuple(_immutable(item) for item in value) if isinstance(value, list) else value


def unknown(key: Any, known: Iterable[str], what: str = "key") -> str:
    """`unknown key 'gama'; did you mean 'gamma'?`, or the list of known ones when none is near."""
    known = sorted(known)
    other_case = [name for name in known if name.lower() == str(key).lower()]
    near = other_case or difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}."
    return f"unknown {what} '{key}'; {hint}"


def validate(model: type[AnySection], data: Any, document: Document, path: Sequence[str | int]) -> AnySection:
    """Check `data`, which stands at `path` of `document`. Raises ConfigError with file, line and key."""
    try:
        section = model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], document, path)) from error
    section._origin = Origin(document, tuple(path))
    return section


def _sentence(error: ErrorDetails, document: Document, path: Sequence[str | int]) -> str:
    location = _existing_path(document.data, [*path, *error["loc"]])
    if error["type"] == "unknown_key":
        place, kind = (document.place([*location, step]) for step in (error["ctx"]["key"], "type"))
        # A type given by -o takes no keys of the one that the file's other keys belong to.
        both = f"{kind}, with {place}" if is_override(kind) and not is_override(place) else place
        return f"{both}: {_dotted(location, 'in ')}{error['msg']}"
    place = _culprit(error, document, location)
    if error["type"] == "missing" and isinstance(error["loc"][-1], str):
        return f"{place}: key '{error['loc'][-1]}' is missing{_dotted(location, ' in ', '')}."
    shown = "" if isinstance(error["input"], dict | list | tuple) else f", not {error['input']!r}"
    return f"{place}: {_dotted(location)}{_rule(error)}{shown}."


def _culprit(error: ErrorDetails, document: Document, location: Sequence[str | int]) -> str:
    """The place of what an error is about: of the keys that a rule of a whole section names, one given by
    -o comes first."""
    keys = {"union_tag_invalid": ["type"], "value_error": re.findall(r"\w+", error["msg"])}
    named = [[*location, key] for key in keys.get(error["type"], ())]
    places = [document.place(path) for path in named if tuple(path) in document.places]
    return next(filter(is_override, places), [*places, document.place(location)][0])


def _rule(error: ErrorDetails) -> str:
    """What the value would have to be."""
    context = error.get("ctx", {})
    if error["type"] == "missing":
        return f"a value is missing after the first {error['loc'][-1]}"
    if error["type"] in ("too_short", "too_long"):
        wanted = context.get("min_length", context.get("max_length"))
        return f"it needs {wanted} values, not {context['actual_length']}"
    if error["type"] == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "")
        return f"unknown type '{context['tag']}'; known are {known}"
    if error["type"] == "union_tag_not_found":
        return "it needs a tag, one of " + ", ".join(KNOWN_TAGS)
    if error["type"] in _WORDS:
        return _WORDS[error["type"]]
    return error["msg"].removeprefix("Value error, ").replace("Input should", "it should")


def _existing_path(data: Any, location: Sequence[str | int]) -> list[str | int]:
    """The location without the steps that pydantic adds for tagged unions and for missing keys."""
    path: list[str | int] = []
    for step in location:
        inside_dict = isinstance(data, dict) and step in data
        inside_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if inside_dict or inside_list:
            data = data[step]
            path.append(step)
    return path


def _dotted(path: Sequence[str | int], before: str = "", after: str = ": ") -> str:
    if not path:
        return ""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{before}{text.removeprefix('.')}{after}"
