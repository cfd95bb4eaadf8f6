"""What a configuration may say, as text: all of it is taken from the typed sections."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

# Imported so that their sections are there.
import qcc.calibrate.data.preprocess
import qcc.train.config.detection
import qcc.train.config.slim
from qcc.errors import ConfigError
from qcc.grammar.section import Section, unknown
from qcc.grammar.yaml_text import value_as_yaml
from qcc.schema_words import values

_MODULES = (qcc.train.config.__name__, qcc.calibrate.data.preprocess.__name__)


@dataclass(frozen=True)
class Key:
    """A key of a section. `default`: in YAML, and empty when a value must be given."""

    name: str
    values: str
    default: str
    text: str


@dataclass(frozen=True)
class Description:
    """A section. `summary`: the first paragraph of `text`; `holders`: names of the sections that hold it."""

    name: str
    summary: str
    text: str
    keys: tuple[Key, ...]
    holders: tuple[str, ...]


def describe_all() -> list[Description]:
    """All sections, sorted by name."""
    return [describe(name) for name in sorted(_names(), key=str.lower)]


def find(name: str) -> list[Description]:
    """The section `name`, or every section with a key `name`, with that key alone.

    A key may be told with what it stands in, as errors tell it: `YoloTrainFeed.batch_size`. Raises
    ConfigError, with the nearest right name, when there is neither.
    """
    if name in _names():
        return [describe(name)]
    *holders, wanted = name.split(".")
    having = [
        replace(described, keys=tuple(key for key in described.keys if key.name == wanted))
        for described in describe_all()
        if wanted in [key.name for key in described.keys]
    ]
    if not having:
        keys = {key.name for described in describe_all() for key in described.keys}
        raise ConfigError(unknown(wanted, {*_names(), *keys}, "section or key"))
    named = [found for found in having if found.name.lower() == "".join(holders[-1:]).lower()]
    return named or having


def describe(name: str) -> Description:
    """One section. Raises ConfigError, with the nearest right name, when there is none of that name."""
    if name not in _names():
        raise ConfigError(unknown(name, _names(), "section"))
    section = _names()[name]
    text = inspect.cleandoc(section.__doc__ or "")
    summary = text.partition("\n\n")[0].replace("\n", " ")
    holders = [other for other, holder in _names().items() if name in _held(holder)]
    return Description(name, summary, text, tuple(_keys(section)), tuple(sorted(holders)))


def _keys(section: type[Section]) -> Iterator[Key]:
    schema = section.model_json_schema()
    # The names of definitions are those of classes.
    held = {held.__name__: name for name, held in reversed(_held(section).items())}
    required = schema.get("required", [])
    written = _docstrings(section)
    texts = {field.alias or name: written.get(name, "") for name, field in section.model_fields.items()}
    for name, content in schema["properties"].items():
        own = "$ref" in content and name in _names()
        admitted = name if own else values(content, value_as_yaml, held.__getitem__)
        default = content.get("default", {})
        shown = "{}" if isinstance(default, dict) else value_as_yaml(default)
        yield Key(name, admitted, "" if name in required else shown, texts[name])


def _docstrings(section: type[Section]) -> dict[str, str]:
    """The strings behind the fields of a section and of what it inherits from, by the field's name.

    Read when they are asked for: pydantic's `use_attribute_docstrings` would search the source of every
    section whenever a configuration is read, which takes a second.
    """
    found = {}
    for base in reversed(section.__mro__):
        if issubclass(base, Section):
            (written,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(written, ast.ClassDef)
            for field, behind in pairwise(written.body):
                text = ast.get_docstring(ast.Module([behind], []))
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and text:
                    found[field.target.id] = " ".join(text.split())
    return found


@cache
def _names() -> dict[str, type[Section]]:
    """Every section by the name under which files hold it, or that of its class where there is none."""
    sections = list(_sections(Section))
    held = {name: section for holder in sections for name, section in _held(holder).items()}
    # A base that no file holds, only what its sections have in common, has no name.
    bases = {base for section in sections for base in section.__bases__}
    files = [section for section in sections if section not in {*held.values(), *bases}]
    return held | {section.__name__: section for section in files}


def _sections(base: type[Section]) -> Iterator[type[Section]]:
    for section in base.__subclasses__():
        if section.__module__.startswith(_MODULES) and not section.__name__.startswith("_"):
            yield section
        yield from _sections(section)


@cache
def _held(section: type[Section]) -> dict[str, type[Section]]:
    """The sections inside `section`, by key where that is a name, by tag or type, or by class."""
    classes = {found.__name__: found for found in _sections(Section)}
    found = {}
    for key, content in section.model_json_schema()["properties"].items():
        for name, reference in _references(content, key if key[:1].isupper() else None):
            definition = reference.rpartition("/")[2]
            found[name or definition] = classes[definition]
    return found


def _references(content: dict[str, Any], key: str | None) -> Iterator[tuple[str | None, str]]:
    """(name or None, reference) of every definition that a part of a JSON schema refers to."""
    if "$ref" in content:
        yield key, content["$ref"]
    elif "discriminator" in content:
        yield from content["discriminator"]["mapping"].items()
    else:
        for choice in content.get("anyOf", ()):
            yield from _references(choice, key)
        if "items" in content:
            yield from _references(content["items"], None)
