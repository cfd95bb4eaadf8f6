"""From a quantization strategy to pass pipelines, and the forms that are saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import qcc
from qcc.backends import Saved
from qcc.model import Model
from qcc.passes.scales import fresh_weight_scales
from qcc.train.config.strategies import QuantizationStrategy
from qcc.train.programs.scope import Arrays, read_scope

# The pipelines behind each form that is saved, from a transformed test graph.
FREEZE = {
    "float": "freeze,prune",
    "int8": "freeze,int8,prune",
    "qdq": "freeze,qdq,prune",
}


def forms(activation_types: Collection[str]) -> list[str]:
    """The forms that a network can be saved in: a scale measured at every run has no place in qdq."""
    return [form for form in FREEZE if form != "qdq" or "abs_max" not in activation_types]


def transform_pipeline(strategy: QuantizationStrategy) -> str:
    """The text of the pipeline that inserts quantization."""
    options = {
        "weight_type": strategy.weight_quantize_type,
        "activation_type": strategy.activation_quantize_type,
        "weight_bits": strategy.weight_bits,
        "activation_bits": strategy.activation_bits,
    }
    return f"transform{{{','.join(f'{key}={value}' for key, value in options.items())}}}"


def scheme_record(strategy: QuantizationStrategy) -> dict[str, Any]:
    """What a checkpoint tells about how it was quantized."""
    return {
        "weight_quantize_type": strategy.weight_quantize_type,
        "activation_quantize_type": strategy.activation_quantize_type,
        "weight_bits": strategy.weight_bits,
        "activation_bits": strategy.activation_bits,
        "pipeline": transform_pipeline(strategy),
    }


def take_weights(model: Model, scope: Any, averages: Arrays) -> None:
    """Give a test model the values that training has reached, with weight scales that fit them.

    They are those in `scope`, except where there are `averages`.

    The scales that training leaves in the scope are older than the weights by one step of the optimizer.
    """
    for name, array in read_scope(scope, list(model.weights)).items():
        model.weights[name] = averages.get(name, array)
    for name, array in fresh_weight_scales(model.graph).items():
        model.weights[name] = array


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
    data: Mapping[str, np.ndarray] | None = None,
) -> Saved:
    """Save a model that `freeze` has made, checked on `data` where there is some; `old_names`: as `model` and
    `weights`, as the Compressor did."""
    names = "model" if old_names else None
    return qcc.save(model, folder, form=form, model_filename=names, check=True if data is None else data)
