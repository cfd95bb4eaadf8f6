"""From a quantization strategy to pass pipelines, and the forms that are saved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

import qcc
from qcc._paddle import paddle
from qcc.backends import Saved
from qcc.backends.assumed import assume_frozen
from qcc.backends.onnx.form import simulating
from qcc.errors import ConfigError, PassError, TargetError
from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.passes.pipeline import format_value
from qcc.passes.transform import Transform
from qcc.passes.transform_outputs import TransformOutputs
from qcc.targets.lite import LITE_TARGETS
from qcc.targets.table import find_target
from qcc.train.config.strategies import INT8_BITS, QuantizationStrategy
from qcc.train.models.network import Network
from qcc.train.programs.weights import initialise

OLD_PROGRAM = "model"
"""How the Compressor called a saved form's program."""

SCHEME_KEYS = (
    "weight_quantize_type",
    "activation_quantize_type",
    "weight_bits",
    "activation_bits",
    "window_size",
    "moving_rate",
    "quantize_op_types",
    "not_quant_pattern",
    "skip_vars",
)
"""The keys of a strategy that say how a network is quantized."""

_DEFAULTS = Transform()
# The options of `transform` that its text holds even where they are defaults.
_ALWAYS_SHOWN = frozenset(("weight_type", "activation_type", "weight_bits", "activation_bits"))
# The pipelines behind each form that is saved, from a transformed test graph.
FREEZE = {
    "float": "freeze,prune",
    "int8": "freeze,int8,prune",
    "qdq": "freeze,qdq,prune",
}


def forms(found: Mapping[str, Any]) -> list[str]:
    """The forms that a network of this scheme can be saved in: INT8 holds weights of 8 bits at most, and a
    scale measured at every run has no place in qdq."""
    if any(bits > INT8_BITS for bits in found["weight_bits"]):
        return ["float"]
    return [form for form in FREEZE if form != "qdq" or "abs_max" not in found["activation_type"]]


def transform_pass(strategy: QuantizationStrategy) -> Transform:
    """The pass that inserts quantization."""
    # A teacher's ops stand in the scope `skip_quant`, so that it always counts.
    patterns = dict.fromkeys((*_DEFAULTS.skip_pattern, *strategy.not_quant_pattern))
    return Transform(
        weight_type=strategy.weight_quantize_type,
        activation_type=strategy.activation_quantize_type,
        weight_bits=strategy.weight_bits,
        activation_bits=strategy.activation_bits,
        window_size=strategy.window_size,
        moving_rate=strategy.moving_rate,
        op_types=strategy.quantize_op_types,
        skip_pattern=tuple(patterns),
        skip_vars=strategy.skip_vars,
    )


def frozen_name(form: str) -> str:
    """What one of the forms of `FREEZE` is called: "float" is how the frozen one stores its integers."""
    return "frozen" if form == "float" else form


def simulated_outputs(network: Network, strategy: QuantizationStrategy) -> TransformOutputs | None:
    """The pass that inserts what the strategy's target rounds between the ops of a network; None where that
    is nothing.

    Raises ConfigError for a target that there is not, or that the network cannot be quantized for.
    """
    if strategy.target is None or strategy.target in LITE_TARGETS:
        return None
    scope = paddle.static.Scope()
    initialise(network, scope, seed=0)
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    try:
        table = find_target(strategy.target, others=tuple(LITE_TARGETS))
        found = simulating(assume_frozen(PassManager((transform_pass(strategy),)).run(model)).model, table)
    except (TargetError, PassError) as error:
        raise ConfigError(f"{strategy.where('target')}: {error}") from error
    if found is None:
        return None
    kind = strategy.activation_quantize_type
    return replace(
        found, activation_type=kind, window_size=strategy.window_size, moving_rate=strategy.moving_rate
    )


def transform_pipeline(strategy: QuantizationStrategy, simulated: TransformOutputs | None = None) -> str:
    """The text of the pipeline that inserts quantization: types and bits, and what else is no default; and
    what the target rounds besides."""
    step = transform_pass(strategy)
    shown = [
        f"{name}={format_value(value)}"
        for name, value in vars(step).items()
        if name in _ALWAYS_SHOWN or value != getattr(_DEFAULTS, name)
    ]
    text = f"{Transform.name}{{{','.join(shown)}}}"
    return text if simulated is None else f"{text},{PassManager((simulated,))}"


def scheme_record(strategy: QuantizationStrategy, pipeline: str) -> dict[str, Any]:
    """What a checkpoint tells about how it was quantized; `pipeline`: that inserted quantization."""
    return {key: getattr(strategy, key) for key in SCHEME_KEYS} | {"pipeline": pipeline}


def check_choice(program: Any, strategy: QuantizationStrategy) -> None:
    """Raise ConfigError when the strategy would quantize no op of `program`, or names a scope or a variable
    that it has not."""
    ops = program.global_block().ops
    _check_names(ops, strategy)
    scopes = {op.attr("op_namescope") for op in ops if op.has_attr("op_namescope")}
    for index, pattern in enumerate(strategy.not_quant_pattern):
        if pattern not in _DEFAULTS.skip_pattern and not any(_holds(scope, pattern) for scope in scopes):
            raise ConfigError(
                f"{strategy.where('not_quant_pattern', index)}: no op of the network stands in a name scope"
                f" with '{pattern}', so that it would keep nothing float; name scopes are"
                f" {', '.join(sorted(scopes))}."
            )
    if not any(
        op.type in strategy.quantize_op_types
        and not any(_holds(op.attr("op_namescope"), pattern) for pattern in strategy.not_quant_pattern)
        for op in ops
    ):
        raise ConfigError(
            f"{strategy.where('quantize_op_types')}: the network has no op of these types that would be"
            " quantized; it has"
            f" {', '.join(sorted({op.type for op in ops if op.type in _DEFAULTS.op_types})) or 'none'}."
        )


def _check_names(ops: Iterable[Any], strategy: QuantizationStrategy) -> None:
    names = dict.fromkeys(name for op in ops for name in (*op.input_arg_names, *op.output_arg_names))
    for index, pattern in enumerate(strategy.skip_vars):
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ", so that it would keep nothing float."
            where = strategy.where("skip_vars", index)
            raise ConfigError(f"{where}: no variable of the network is called {pattern!r}{hint}")


def _holds(scope: str, pattern: str) -> bool:
    """`transform`'s rule for its skip_pattern."""
    return pattern in scope or fnmatchcase(scope, pattern)


def freeze(model: Model, form: str, weight_type: str | None = None) -> Model:
    """One of the forms of `FREEZE` from a transformed test model; `weight_type` overrides the trained one."""
    pipeline = FREEZE[form]
    if weight_type is not None:
        pipeline = pipeline.replace("freeze", f"freeze{{weight_type={weight_type}}}", 1)
    return qcc.PassManager.parse(pipeline).run(model)


def save_form(
    model: Model,
    form: str,
    folder: Path,
    *,
    old_names: bool = False,
    check: bool | Mapping[str, np.ndarray] = True,
) -> Saved:
    """Save a model that `freeze` has made; `check`: see `qcc.save`; `old_names`: as `model` and `weights`, as
    the Compressor did."""
    names = OLD_PROGRAM if old_names else None
    return qcc.save(model, folder, form=form, model_filename=names, check=check)
