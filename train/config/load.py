"""From files and overrides to a checked training configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from qcc.errors import ConfigError
from qcc.grammar.document import read_document
from qcc.grammar.section import unknown, validate
from qcc.train.config.detection import DetectorConfig
from qcc.train.config.foreign import refuse_other_grammars
from qcc.train.config.schema import ClassifierArchitecture, ClassifierConfig

_ARCHITECTURES: dict[str, type[ClassifierConfig] | type[DetectorConfig]] = {
    **dict.fromkeys(get_args(ClassifierArchitecture), ClassifierConfig),
    "YOLOv3": DetectorConfig,
}


def load_config(path: Path, overrides: Sequence[str] = ()) -> ClassifierConfig | DetectorConfig:
    """Read a configuration file and apply `key=value` overrides, later ones over earlier ones.

    Raises ConfigError with file (or override), line and key.
    """
    refuse_other_grammars(path, "configuration")
    document = read_document(path)
    for assignment in overrides:
        document.override(assignment)
    architecture = document.data.get("architecture")
    if architecture is None:
        raise ConfigError(f"{path}: key 'architecture' is missing; known are {', '.join(_ARCHITECTURES)}.")
    if not isinstance(architecture, str) or architecture not in _ARCHITECTURES:
        place = document.place(["architecture"])
        raise ConfigError(f"{place}: {unknown(architecture, _ARCHITECTURES, 'architecture')}")
    return validate(_ARCHITECTURES[architecture], document.data, document, ())
