"""The slim file: what to quantize, when, and where the results go.

The grammar is that of Paddle's Compressor (fluid.contrib.slim): `version`, `include`, `strategies`,
`compressor`; the string 'none' stands for no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from qcc.errors import ConfigError
from qcc.train.config.document import Document, read_document
from qcc.train.config.section import Section, unknown, validate

Bits = Annotated[int, Field(ge=2, le=16)]


class QuantizationStrategy(Section):
    """Quantize at the start of `start_epoch`; freeze and save at the end of `end_epoch`.

    A path that is not given saves nothing. `save_in_nodes` and `save_out_nodes` are the feeds and fetches of
    the saved models, by default those of the evaluation program.
    """

    kind: Literal["QuantizationStrategy"] = Field(alias="class", default="QuantizationStrategy")
    start_epoch: NonNegativeInt = 0
    end_epoch: NonNegativeInt = 0
    float_model_save_path: Path | None = None
    mobile_model_save_path: Path | None = None
    int8_model_save_path: Path | None = None
    weight_bits: Bits = 8
    activation_bits: Bits = 8
    weight_quantize_type: Literal[
        "abs_max", "channel_wise_abs_max", "range_abs_max", "moving_average_abs_max"
    ] = "abs_max"
    activation_quantize_type: Literal["abs_max", "range_abs_max", "moving_average_abs_max"] = "abs_max"
    save_in_nodes: tuple[str, ...] | None = None
    save_out_nodes: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _epochs_in_order(self) -> QuantizationStrategy:
        if self.end_epoch < self.start_epoch:
            raise ValueError(f"end_epoch {self.end_epoch} lies before start_epoch {self.start_epoch}")
        return self


class Compressor(Section):
    """`epoch`: how many epochs to train; `eval_epoch`: evaluate after every so many epochs."""

    epoch: PositiveInt | None = None
    checkpoint_path: Path | None = None
    init_model: Path | None = None
    eval_epoch: PositiveInt = 1
    strategies: tuple[str, ...] = ()


class _SlimFile(Section):
    version: Annotated[float, Field(ge=1, le=1)] = 1.0
    include: tuple[Path, ...] = ()
    strategies: dict[str, Any] = Field(default_factory=dict)
    compressor: dict[str, Any] | None = None


@dataclass(frozen=True)
class Slim:
    """A checked slim file; `epochs` is the Compressor's `epoch`, raised to hold the strategy's last one."""

    strategy: QuantizationStrategy
    compressor: Compressor

    @property
    def epochs(self) -> int:
        return max(self.compressor.epoch or 1, self.strategy.end_epoch + 1)


def default_slim(epochs: int) -> Slim:
    """What is done without a slim file: per-channel weights, moving-average activations, all epochs."""
    strategy = QuantizationStrategy(
        end_epoch=epochs - 1,
        weight_quantize_type="channel_wise_abs_max",
        activation_quantize_type="moving_average_abs_max",
    )
    return Slim(strategy, Compressor(epoch=epochs))


def load_slim(path: Path) -> Slim:
    """Read a slim file and those that it includes. Raises ConfigError with file, line and key."""
    document = read_document(path)
    file = _check(document)
    strategies = _strategies(document, file, (path.resolve(),))
    if file.compressor is None:
        raise ConfigError(f"{path}: key 'compressor' is missing; it says which strategies to run.")
    compressor = validate(Compressor, file.compressor, document, ["compressor"])
    return Slim(_one_strategy(compressor, strategies, document), compressor)


def _one_strategy(
    compressor: Compressor, strategies: dict[str, QuantizationStrategy], document: Document
) -> QuantizationStrategy:
    for index, name in enumerate(compressor.strategies):
        if name not in strategies:
            place = document.place(["compressor", "strategies", index])
            raise ConfigError(f"{place}: {unknown(name, strategies, 'strategy')}")
    if len(compressor.strategies) != 1:
        place = document.place(["compressor", "strategies"])
        count = len(compressor.strategies)
        raise ConfigError(f"{place}: compressor.strategies must name exactly one strategy, not {count}.")
    return strategies[compressor.strategies[0]]


def _check(document: Document) -> _SlimFile:
    document.data = _without_none_words(document.data)
    include = document.data.get("include")
    if isinstance(include, str):
        document.data["include"] = [include]
    return validate(_SlimFile, document.data, document, ())


def _strategies(
    document: Document, file: _SlimFile, including: tuple[Path, ...]
) -> dict[str, QuantizationStrategy]:
    result: dict[str, QuantizationStrategy] = {}
    for index, included in enumerate(file.include):
        path = (including[-1].parent / included).resolve()
        if path in including:
            raise ConfigError(f"{document.place(['include', index])}: {included} includes itself.")
        inner = read_document(path)
        inner_file = _check(inner)
        if inner_file.compressor is not None:
            raise ConfigError(f"{inner.place(['compressor'])}: an included file cannot hold 'compressor'.")
        result |= _strategies(inner, inner_file, (*including, path))
    for name, content in file.strategies.items():
        place = document.place(["strategies", name])
        if name in result:
            raise ConfigError(f"{place}: strategy '{name}' is defined in an included file, too.")
        if not isinstance(content, dict) or "class" not in content:
            raise ConfigError(f"{place}: strategy '{name}' needs the key class: QuantizationStrategy.")
        result[name] = validate(QuantizationStrategy, content, document, ["strategies", name])
    return result


def _without_none_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_none_words(item) for item in value]
    return None if value == "none" else value
