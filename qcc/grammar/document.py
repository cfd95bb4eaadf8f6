"""YAML as plain data that remembers where each value stands.

The reader builds from the node graph of PyYAML's safe loader: scalars get YAML's own types, mappings and
lists become dict and list, and a few known tags become a `type` key. No tag ever becomes an object.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qcc.errors import ConfigError
from qcc.text_lines import read_text

KeyPath = tuple[str | int, ...]

# PaddleDetection's tags: `!PiecewiseDecay {gamma: 0.1}` is read as `{type: PiecewiseDecay, gamma: 0.1}`.
KNOWN_TAGS = ("!PiecewiseDecay", "!CosineDecay", "!LinearWarmup")
_YAML_PREFIX = "tag:yaml.org,2002:"
# YAML 1.1, which PyYAML reads, takes 1e-4 for a word: it wants the dot and the sign of 1.0e-4.
EXPONENT_FLOAT = (
    f"{_YAML_PREFIX}float",
    re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
_PLAIN_TAGS = frozenset(
    f"{_YAML_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "map", "seq")
)


# A configuration has some hundred values; lists of anchors and milestones some thousand.
LARGEST, MOST_VALUES, _DEEPEST = 1 << 20, 20_000, 50
_OVERRIDE = "option -o "


def is_override(place: str) -> bool:
    """Whether a place, as `Document.place` tells it, is that of an override."""
    return place.startswith(_OVERRIDE)


@dataclass
class Document:
    """`data`: dicts, lists and scalars; `places`: for each key path, "FILE, line N" or "option -o TEXT"."""

    source: str
    data: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: Sequence[str | int]) -> str:
        """Where the value at `path`, or the nearest thing that holds it, was written."""
        for length in range(len(path), -1, -1):
            place = self.places.get(tuple(path[:length]))
            if place is not None:
                return place
        return self.source

    def override(self, assignment: str) -> None:
        """Set one value from `a.b.c=VALUE`, VALUE in YAML."""
        key, equals, text = assignment.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        option = f"{_OVERRIDE}{assignment}"
        if not equals or not all(path):
            raise ConfigError(f"{option}: expected KEY=VALUE, for instance LearningRate.base_lr=0.001.")
        value, places = _parse(text, option, lambda _mark: option)
        target = self.data
        for number, part in enumerate(path[:-1], start=1):
            if target.get(part) is None:
                target[part] = {}
                self.places[path[:number]] = option
            target = target[part]
            if not isinstance(target, dict):
                raise ConfigError(f"{option}: '{part}' is no section, so nothing in it can be set.")
        target[path[-1]] = value
        self._forget(path)
        for inner, place in places.items():
            self.places[path + inner] = place

    def _forget(self, path: KeyPath) -> None:
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]


def read_document(path: Path, keys: Collection[str] | None = None) -> Document:
    """Read a YAML file whose top level is a mapping; with `keys`, only what these hold there, whatever the
    others do.

    Raises ConfigError with file and line.
    """
    text = read_text(path, LARGEST, ConfigError)
    data, places = _parse(text, str(path), lambda mark: f"{path}, line {mark.line + 1}", keys)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of keys to values.")
    return Document(str(path), data, places)


def _parse(
    text: str, source: str, place: Any, keys: Collection[str] | None = None
) -> tuple[Any, dict[KeyPath, str]]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if keys is not None and isinstance(node, yaml.MappingNode):
            node.value = [
                (key, value)
                for key, value in node.value
                if isinstance(key, yaml.ScalarNode) and key.value in keys
            ]
        builder = _Builder(loader, place)
        data = None if node is None else builder.build(node, (), ())
        builder.places.setdefault((), source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = place(mark) if mark is not None else source
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise ConfigError(f"{where}: this is not YAML: {problem}.") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: it is nested deeper than {_DEEPEST} levels.") from error
    return data, builder.places


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also knows numbers as YAML 1.2 writes them."""


_Loader.add_implicit_resolver(*EXPONENT_FLOAT)


class _Builder:
    """Turns nodes into data, noting the place of every value."""

    def __init__(self, loader: yaml.SafeLoader, place: Any) -> None:
        self._loader = loader
        self._place = place
        self._built = 0
        self.places: dict[KeyPath, str] = {}

    def build(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        where = self._place(node.start_mark)
        self.places.setdefault(path, where)
        self._built += 1
        if self._built > MOST_VALUES:
            raise ConfigError(f"{where}: there are more than {MOST_VALUES:,} values, counting aliases.")
        if len(parents) > _DEEPEST:
            raise ConfigError(f"{where}: it is nested deeper than {_DEEPEST} levels.")
        if id(node) in parents:
            raise ConfigError(f"{where}: an alias refers to what it stands in.")
        parents = (*parents, id(node))
        if node.tag in KNOWN_TAGS:
            return {"type": node.tag[1:], **self._tagged(node, path, parents)}
        if node.tag not in _PLAIN_TAGS:
            shown = node.tag.replace(_YAML_PREFIX, "!!")
            raise ConfigError(f"{where}: tag '{shown}' is not known; known are {', '.join(KNOWN_TAGS)}.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, parents)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), parents) for i, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            raise ConfigError(f"{where}: {node.value!r} is no valid {node.tag.split(':')[-1]}.") from error

    def _tagged(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Mapping[str, Any]:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, parents)
        if isinstance(node, yaml.ScalarNode) and not node.value:
            return {}
        raise ConfigError(f"{self._place(node.start_mark)}: {node.tag} takes keys and values.")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, parents: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = self._place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_YAML_PREFIX}str":
                raise ConfigError(f"{where}: a key must be a plain word.")
            key = key_node.value
            if key in result:
                raise ConfigError(f"{where}: key '{key}' stands twice in the same place.")
            inner = (*path, key)
            self.places[inner] = where
            result[key] = self.build(value_node, inner, parents)
        return result
