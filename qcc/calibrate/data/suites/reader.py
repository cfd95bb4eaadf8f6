"""Which suite a file is of, and its operations one behind the other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcc.calibrate.data.preprocess import Preprocess
from qcc.calibrate.data.suites import detection, images, paddlex, segmentation
from qcc.calibrate.data.suites.made import Made, Operations
from qcc.calibrate.data.suites.options import Options, WrongOption
from qcc.errors import ConfigError
from qcc.grammar.document import LARGEST, Document, read_document
from qcc.grammar.section import validate
from qcc.text_lines import read_text

# As the suites name the files that they leave beside a model.
NAMES = ("infer_cfg.yml", "inference.yml", "deploy.yaml", "deploy.yml", "model.yml")


@dataclass(frozen=True)
class _Suite:
    """`key`: of the top level of its files, which tells them; `layout`: of an image whose dimensions no
    operation has changed."""

    key: str
    operations: Operations
    layout: str


_SUITES = (
    _Suite("Preprocess", detection.OPERATIONS, "NHWC"),
    _Suite("PreProcess", images.OPERATIONS, "NHWC"),
    _Suite("Deploy", segmentation.OPERATIONS, "NCHW"),
    _Suite("Transforms", paddlex.OPERATIONS, "NCHW"),
)
# What PaddleX 1 and 2 say besides: the order of channels, and what is done with a whole batch.
_MODE, _OF_BATCHES = "TransformsMode", "BatchTransforms"


def is_of_a_suite(path: Path) -> bool:
    """Whether a file speaks of preparing images, in the words of one of the suites.  Raises ConfigError."""
    return _suite_of(path) is not None


def _suite_of(path: Path) -> _Suite | None:
    """By its text alone: a file of such a name that is no YAML may belong to another tool."""
    text = read_text(path, LARGEST, ConfigError)
    return next((one for one in _SUITES if re.search(rf"^{one.key}\s*:", text, re.MULTILINE)), None)


def read_foreign(path: Path) -> Preprocess | None:
    """What a file of a suite says; None for a file that does not speak of preparing images.

    Whatever else stands in such a file is not looked at: `model.yml` holds pickled numbers, and files of
    these names may belong to other tools.

    Raises ConfigError for one that is no YAML, or that wants what cannot be done here.
    """
    suite = _suite_of(path)
    if suite is None:
        return None
    content = read_document(path, (suite.key, _MODE, _OF_BATCHES)).data
    operations = _operations(content.get(suite.key))
    if operations is None:
        return None
    made = Made(suite.layout)
    if suite.operations is paddlex.OPERATIONS:
        made.content["channels"] = content.get(_MODE, "RGB")
        operations += _operations(content.get(_OF_BATCHES)) or []
    _make(made, suite, operations, path)
    return validate(Preprocess, made.content, Document(str(path), made.content), ())


def _make(made: Made, suite: _Suite, operations: Iterable[tuple[str, Any]], path: Path) -> None:
    for name, written in operations:
        if name.endswith("Encode"):
            continue  # PaddleOCR's of labels
        if name not in suite.operations:
            raise ConfigError(
                f"{path}: images go through {name}, which qcc does not know: say by --preprocess"
                " FILE.yml how they are prepared instead (`qcc config help Preprocess`), or give arrays."
            )
        try:
            options = _options(written)
            suite.operations[name](made, options)
            options.check_spelling()
        except WrongOption as error:
            raise ConfigError(
                f"{path}: {name}: {error}; --preprocess FILE.yml can say instead how images are prepared"
                " (`qcc config help Preprocess`)."
            ) from error


def _options(written: Any) -> Options:
    if not isinstance(written, dict) or not all(isinstance(key, str) for key in written):
        raise WrongOption(f"its options should be keys with values, not {written!r}")
    return Options(written)


def _operations(content: Any) -> list[tuple[str, Any]] | None:
    """The names of operations with their options, in order; None where they are not what a suite writes."""
    match content:
        case {"transform_ops": listed} | {"transforms": listed}:
            return _operations(listed)
        case [*listed] if all(isinstance(one, dict) and "type" in one for one in listed):
            return [(str(one["type"]), {k: v for k, v in one.items() if k != "type"}) for one in listed]
        case [*listed] if all(isinstance(one, dict | str) for one in listed):
            named = [one if isinstance(one, dict) else {one: None} for one in listed]
            return [(name, options or {}) for one in named for name, options in one.items()]
    return None
