"""Configurations as YAML, in the grammar that they are read in."""

from __future__ import annotations

import sys
from typing import Any

import yaml

from qcc.grammar.document import EXPONENT_FLOAT, KNOWN_TAGS
from qcc.grammar.section import Section


def as_yaml(config: Section) -> str:
    """Every key of a configuration, defaults too. Reading the text gives the same configuration."""
    content = _tagged(config.model_dump(mode="json", by_alias=True))
    return str(yaml.dump(content, Dumper=_Dumper, default_flow_style=None, sort_keys=False, width=100))


def value_as_yaml(value: Any) -> str:
    """A value on one line: `true`, `null`, `[1, 2]`, `''`."""
    text = str(yaml.dump(_tagged(value), Dumper=_Dumper, default_flow_style=True, width=sys.maxsize))
    return text.removesuffix("...\n").rstrip("\n")  # PyYAML ends a document that is a plain scalar


class _Tagged(dict[str, Any]):
    """A mapping that is written with a tag."""

    def __init__(self, tag: str, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.tag = tag


class _Dumper(yaml.SafeDumper):
    """Writes plain data and known tags, and equal values in full instead of as aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver(*EXPONENT_FLOAT)  # so that such a word gets quotes
_Dumper.add_representer(_Tagged, lambda dumper, data: dumper.represent_mapping(data.tag, data))


def _tagged(value: Any) -> Any:
    """Turn round what reading does to tags: `{type: PiecewiseDecay}` becomes `!PiecewiseDecay {}` again."""
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    content = {key: _tagged(item) for key, item in value.items()}
    tag = f"!{value.get('type')}"
    if tag not in KNOWN_TAGS:
        return content
    del content["type"]
    return _Tagged(tag, content)
