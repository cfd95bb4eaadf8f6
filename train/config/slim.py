"""The slim file: what to do to a network, when, and where the results go.

The grammar is that of Paddle's Compressor (fluid.contrib.slim): `version`, `include`, `distillers`,
`strategies`, `compressor`; the string 'none' stands for no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from qcc.errors import ConfigError
from qcc.grammar.document import Document, read_document
from qcc.grammar.section import Section, YamlPath, unknown, validate
from qcc.train.config.foreign import refuse_other_grammars
from qcc.train.config.strategies import (
    DistillationStrategy,
    Distiller,
    FSPDistiller,
    L2Distiller,
    QuantizationStrategy,
    SoftLabelDistiller,
    Strategy,
)

Names = Annotated[tuple[str, ...], Field(min_length=1)]
_STRATEGIES: Mapping[str, type[Strategy]] = {
    "QuantizationStrategy": QuantizationStrategy,
    "DistillationStrategy": DistillationStrategy,
}
_DISTILLERS: Mapping[str, type[Distiller]] = {
    "L2Distiller": L2Distiller,
    "SoftLabelDistiller": SoftLabelDistiller,
    "FSPDistiller": FSPDistiller,
}


class Compressor(Section):
    """The part `compressor` of a slim file: how long to train, and which strategies to run."""

    epoch: PositiveInt | None = None
    """How many epochs, raised so that the strategies' last ones are among them; null: 1."""
    checkpoint_path: YamlPath | None = None
    """Folder for checkpoints; null: `checkpoints` inside `save_dir`."""
    init_model: YamlPath | None = None
    """Float weights to start from, whose shapes the network takes over; null: the configuration's."""
    eval_epoch: PositiveInt = 1
    """Evaluate after every so many epochs."""
    save_eval_model: bool = True
    """Whether checkpoints hold the model that was evaluated, which can be frozen and evaluated again."""
    prune_infer_model: tuple[Names, Names] | None = None
    """Feeds and fetches of a second program, `__model__.infer`, beside that model; null: none."""
    strategies: tuple[str, ...] = ()
    """The names of those to run."""


class _SlimFile(Section):
    version: Annotated[float, Field(ge=1, le=1)] = 1.0
    include: tuple[YamlPath, ...] = ()
    distillers: dict[str, Any] = Field(default_factory=dict)
    strategies: dict[str, Any] = Field(default_factory=dict)
    compressor: dict[str, Any] | None = None


@dataclass(frozen=True)
class Distillation:
    """A distillation strategy with the distillers that it names."""

    strategy: DistillationStrategy
    distillers: tuple[Distiller, ...]

    def covers(self, epoch: int) -> bool:
        """Whether the epoch trains with these distillers."""
        return self.strategy.start_epoch <= epoch < self.strategy.end_epoch


@dataclass(frozen=True)
class Slim:
    """A checked slim file; no two of `distillations` cover the same epoch."""

    strategy: QuantizationStrategy
    compressor: Compressor
    distillations: tuple[Distillation, ...] = ()

    @property
    def epochs(self) -> int:
        """The Compressor's `epoch`, raised to hold the last one of each strategy."""
        ends = [distillation.strategy.end_epoch for distillation in self.distillations]
        return max(self.compressor.epoch or 1, self.strategy.end_epoch + 1, *ends)

    def distillation(self, epoch: int) -> Distillation | None:
        """What the epoch trains with besides its own loss."""
        return next((found for found in self.distillations if found.covers(epoch)), None)


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
    document = _read(path)
    parts = _Parts()
    parts.add(document, (path.resolve(),))
    content = document.data.get("compressor")
    if content is None:
        raise ConfigError(f"{path}: key 'compressor' is missing; it says which strategies to run.")
    compressor = validate(Compressor, content, document, ["compressor"])
    return _chosen(compressor, parts, document)


def _read(path: Path) -> Document:
    refuse_other_grammars(path, "slim file")
    return read_document(path)


def _chosen(compressor: Compressor, parts: _Parts, document: Document) -> Slim:
    """What of a file's parts `compressor.strategies` names."""
    where = document.place(["compressor", "strategies"])
    strategies = [
        _named(name, parts.strategies, "strategy", document.place(["compressor", "strategies", index]))
        for index, name in enumerate(compressor.strategies)
    ]
    *before, last = strategies or [None]
    if not isinstance(last, QuantizationStrategy):
        raise ConfigError(f"{where}: the last of compressor.strategies must be a QuantizationStrategy.")
    distillations = []
    for strategy in before:
        if not isinstance(strategy, DistillationStrategy):
            raise ConfigError(
                f"{where}: compressor.strategies names several QuantizationStrategies, but a network is"
                " quantized once, with the scales that it trains with from then on."
            )
        distillers = [_named(name, parts.distillers, "distiller", where) for name in strategy.distillers]
        distillations.append(Distillation(strategy, tuple(distillers)))
    _check_disjoint(distillations, where)
    return Slim(last, compressor, tuple(distillations))


def _check_disjoint(distillations: Iterable[Distillation], where: str) -> None:
    end = 0
    for strategy in sorted((found.strategy for found in distillations), key=lambda found: found.start_epoch):
        if strategy.start_epoch < end:
            raise ConfigError(
                f"{where}: two DistillationStrategies cover epoch {strategy.start_epoch}; let one of them"
                " name the distillers of both."
            )
        end = strategy.end_epoch


def _named(name: Any, known: Mapping[str, Any], what: str, where: str) -> Any:
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{where}: {unknown(name, known, what)}")
    return known[name]


@dataclass(frozen=True)
class _Parts:
    """What a slim file and those that it includes define, by name; `included`: those, each read once."""

    strategies: dict[str, Strategy] = field(default_factory=dict)
    distillers: dict[str, Distiller] = field(default_factory=dict)
    included: set[Path] = field(default_factory=set)

    def add(self, document: Document, including: tuple[Path, ...]) -> None:
        """Add the definitions of a file, whose path is the last of `including`, and of those it includes."""
        file = _check(document)
        for index, included in enumerate(file.include):
            path, place = (including[-1].parent / included).resolve(), document.place(["include", index])
            if path in including:
                raise ConfigError(f"{place}: {included} includes itself.")
            if path in self.included:
                continue  # by another file, too
            self.included.add(path)
            if not path.is_file():
                raise ConfigError(f"{place}: include: there is no file {path}.")
            inner = _read(path)
            if "compressor" in inner.data:
                raise ConfigError(
                    f"{inner.place(['compressor'])}: an included file cannot hold 'compressor'."
                )
            self.add(inner, (*including, path))
        _define(self.distillers, file.distillers, _DISTILLERS, document, ("distillers", "distiller"))
        _define(self.strategies, file.strategies, _STRATEGIES, document, ("strategies", "strategy"))


def _check(document: Document) -> _SlimFile:
    document.data = _without_none_words(document.data)
    include = document.data.get("include")
    if isinstance(include, str):
        document.data["include"] = [include]
    return validate(_SlimFile, document.data, document, ())


def _define(
    defined: dict[str, Any],
    contents: Mapping[str, Any],
    kinds: Mapping[str, type[Any]],
    document: Document,
    words: tuple[str, str],
) -> None:
    """Check each of a section's contents as its class says; `words`: the section's key, and one of it."""
    section, what = words
    for name, content in contents.items():
        place = document.place([section, name])
        if name in defined:
            raise ConfigError(f"{place}: {what} '{name}' is defined in an included file, too.")
        if not isinstance(content, dict) or "class" not in content:
            raise ConfigError(f"{place}: {what} '{name}' needs the key class, one of {', '.join(kinds)}.")
        kind = _named(content["class"], kinds, "class", document.place([section, name, "class"]))
        defined[name] = validate(kind, content, document, [section, name])


def _without_none_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_none_words(item) for item in value]
    return None if value == "none" else value
