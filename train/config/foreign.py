"""Files of other grammars than the one that is wanted: what they are, and what does what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from qcc.errors import ConfigError
from qcc.grammar.document import LARGEST
from qcc.inputs import read_input

Wanted = Literal["configuration", "slim file"]

_WANTED: dict[Wanted, str] = {
    "configuration": "qcc's configurations have the grammar of PaddleDetection 0.1 (`qcc config list`)",
    "slim file": "qcc's slim files have that of Paddle's Compressor (`qcc config help QuantizationStrategy`)",
}
_WITHOUT_TRAINING = (
    "`qcc apply MODEL -p 'transform{activation_type=abs_max}' -o DIR` and then"
    " `qcc freeze DIR --calibrate DATA` quantize the inference model"
)


@dataclass(frozen=True)
class _Grammar:
    """`name`: whose files these are. `keys`: each entry gives one away, by all its keys together; a key with
    a dot stands inside the one before the dot. `tags`: ends of tags that do, too. `instead`: what does what
    these files ask for."""

    name: str
    keys: tuple[tuple[str, ...], ...]
    instead: str
    tags: tuple[str, ...] = ()


_GRAMMARS = (
    _Grammar(
        "PaddleDetection 2",
        (
            ("_BASE_",),
            ("_READER_",),
            ("slim",),
            ("TrainDataset",),
            ("EvalDataset",),
            ("TestDataset",),
            ("TrainReader",),
            ("EvalReader",),
            ("TestReader",),
            ("worker_num",),
            ("YOLOv3.neck",),
            ("YOLOv3.post_process",),
            ("arch", "Preprocess"),  # infer_cfg.yml beside an exported model
        ),
        f"{_WITHOUT_TRAINING} that its tools/export_model.py writes",
        ("DataSet", "Dataset", "ImageFolder"),
    ),
    _Grammar(
        "PaddleSlim's auto compression (ACT)",
        (
            ("QuantAware",),
            ("QuantPost",),
            ("Quantization",),
            ("HyperParameterOptimization",),
            ("TrainConfig",),
            ("Global.model_dir",),
            ("Global", "Distillation"),
        ),
        f"{_WITHOUT_TRAINING} of its model_dir",
    ),
    _Grammar("PaddleClas", (("Arch",),), f"{_WITHOUT_TRAINING} that its tools/export_model.py writes"),
    _Grammar(
        "PaddleOCR",
        (("Global", "Architecture"),),
        f"{_WITHOUT_TRAINING} that its tools/export_model.py writes",
    ),
    _Grammar(
        "PaddleSeg",
        (("_base_",), ("train_dataset",), ("val_dataset",), ("model", "lr_scheduler"), ("model", "iters")),
        f"{_WITHOUT_TRAINING} that its tools/export.py writes",
    ),
    _Grammar(
        "an exported Paddle model (how its inputs are prepared)",
        (("Global", "PreProcess"), ("PreProcess", "PostProcess")),
        f"{_WITHOUT_TRAINING} beside it",
    ),
)
_SLIM_FILE = _Grammar("a slim file", (("compressor",), ("strategies",), ("distillers",)), "-s")
_CONFIGURATION = _Grammar(
    "a training configuration", (("architecture",), ("YoloTrainFeed",), ("ClassifierTrainFeed",)), "-c"
)


def refuse_other_grammars(path: Path, wanted: Wanted) -> None:
    """Raise ConfigError when `path` is a file of a grammar that is known, but not that of what is wanted.

    What cannot be read, or is no YAML, is left to the one who reads it.
    """
    root = _root(path)
    if root is None:
        return
    for grammar in _GRAMMARS:
        if found := _found(grammar, root):
            word, line = found
            raise ConfigError(
                f"{path}, line {line}: {word} is of {grammar.name}, and {_WANTED[wanted]}; {grammar.instead}."
            )
    other = _SLIM_FILE if wanted == "configuration" else _CONFIGURATION
    if found := _found(other, root):
        word, line = found
        command = "-c CONFIG -s" if wanted == "configuration" else "-s SLIM -c"
        raise ConfigError(
            f"{path}, line {line}: {word} is of {other.name}, which {other.instead} takes: `qcc quantize"
            f" {command} {path}`."
        )


def _root(path: Path) -> yaml.MappingNode | None:
    try:
        node = yaml.compose(read_input(path, LARGEST).decode("utf-8-sig"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return None
    return node if isinstance(node, yaml.MappingNode) else None


def _found(grammar: _Grammar, root: yaml.MappingNode) -> tuple[str, int] | None:
    """What gives a file away as one of the grammar, and its line."""
    lines = dict(_keys(root))
    for keys in grammar.keys:
        if all(key in lines for key in keys):
            return f"key '{keys[0]}'", lines[keys[0]]
    for _, value in root.value:
        if value.tag.startswith("!") and value.tag.endswith(grammar.tags):
            return f"tag '{value.tag}'", value.start_mark.line + 1
    return None


def _keys(root: yaml.MappingNode) -> Iterator[tuple[str, int]]:
    """The keys of the top level, and with a dot those inside of them, each with its line."""
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode):
            yield key.value, key.start_mark.line + 1
            for inner, _ in value.value if isinstance(value, yaml.MappingNode) else ():
                yield f"{key.value}.{inner.value}", inner.start_mark.line + 1
