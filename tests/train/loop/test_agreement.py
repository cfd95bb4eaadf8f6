"""Processes that were not started alike refuse to train."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

from qcc.errors import ConfigError
from qcc.train.config import ClassifierConfig, DetectorConfig
from qcc.train.config.slim import Compressor
from qcc.train.config.strategies import DistillationStrategy, QuantizationStrategy
from qcc.train.loop.agreement import OWN, check_settings, check_weights
from qcc.train.parallel.group import ALONE


class Second:
    """Process 1 of 2; `first`: what process 0 does, which is told what this one shares."""

    rank, size = 1, 2

    def __init__(self) -> None:
        self.shared: list[bytes] = []

    def mean(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def share(self, data: bytes, source: int = 0) -> bytes:
        self.shared.append(data)
        return self.first if source == 0 else data

    def exchange(self) -> AbstractContextManager[None]:
        return nullcontext()

    first = b""


def second_beside(check: Any, *arguments: Any) -> Second:
    """Process 1, where process 0 calls `check` with these arguments."""
    group = Second()
    with pytest.raises(ValueError, match="Expecting value"):
        check(group, *arguments)
    group.first, group.shared = group.shared[0], []
    return group


DATA = {"training data": {"images": 2}}


def test_settings_that_differ_are_named() -> None:
    settings = {"epochs": 3, "Feed": {"batch_size": 8, "dataset_dir": "/a", "num_workers": 2}}
    group = second_beside(check_settings, settings, lambda: DATA)

    other = {"epochs": 3, "Feed": {"batch_size": 8, "dataset_dir": "/b", "num_workers": 0}}
    check_settings(group, other, lambda: DATA)
    other["Feed"] = {"batch_size": 4, "dataset_dir": None, "num_workers": 0}
    message = (
        "^process 1 of 2 was not started as process 0 was: Feed.batch_size: 8 -> 4; Feed.dataset_dir: given"
        " -> None; training data.images: 2 -> 1; all need the same settings, training data and versions.$"
    )
    with pytest.raises(ConfigError, match=message):
        check_settings(group, other, lambda: {"training data": {"images": 1}})


def test_weights_that_differ_are_named() -> None:
    weights = {name: np.full(3, value, np.float32) for value, name in enumerate("abcde")}
    group = second_beside(check_weights, weights)

    check_weights(group, weights)
    with pytest.raises(
        ConfigError, match=r"values\.b: .{8} -> .{8}; all need to start from the same weights"
    ):
        check_weights(group, weights | {"b": np.nextafter(weights["b"], np.float32(2))})
    with pytest.raises(ConfigError, match=r"values\.c: .*; and 2 more; all need"):
        check_weights(group, {name: array + 1 for name, array in weights.items()})


def test_one_process_has_nothing_to_compare() -> None:
    check_settings(ALONE, {}, lambda: pytest.fail("it read the data"))
    check_weights(ALONE, {})


def test_no_path_has_to_be_equal_on_all_machines() -> None:
    models = [ClassifierConfig, DetectorConfig, Compressor, QuantizationStrategy, DistillationStrategy]
    assert paths(models) <= OWN


def paths(models: Sequence[type[BaseModel]]) -> set[str]:
    """The keys of all fields of these and of the models in them that are paths."""
    found: set[str] = set()
    for model in models:
        for name, field in model.model_fields.items():
            kinds = get_args(field.annotation) if isinstance(field.annotation, UnionType) else ()
            for kind in kinds or (field.annotation,):
                if kind is Path:
                    found.add(field.serialization_alias or field.alias or name)
                elif isinstance(kind, type) and issubclass(kind, BaseModel):
                    found |= paths([kind])
    return found
