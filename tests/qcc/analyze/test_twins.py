"""Twins: which op of the float network is which of the quantized one, in every form."""

from __future__ import annotations

import numpy as np
import pytest
from nets import several_blocks
from quantized_net import OUTPUTS, quantized_net

import qcc
from qcc.analyze.twins import as_quantized, twins
from qcc.backends.deploy.form import for_target
from qcc.errors import ModelFormatError
from qcc.model import Model, Provenance
from qcc.targets.table import find_target

NET = quantized_net()


def form(name: str) -> Model:
    return NET.frozen if name == "frozen" else qcc.PassManager.parse(name).run(NET.frozen)


@pytest.mark.parametrize("name", ["frozen", "int8", "qdq"])
def test_every_form_has_the_same_rounding(name: str) -> None:
    found = twins(form(name), NET.model)
    frozen = twins(NET.frozen, NET.model)
    assert tuple(layer.output for layer in found.layers) == OUTPUTS
    assert found.notes == ()
    for layer, wanted in zip(found.layers, frozen.layers, strict=True):
        assert layer.rounding.scale == wanted.rounding.scale
        assert np.array_equal(layer.rounding.weight, wanted.rounding.weight)
        assert (layer.rounding.weight_bits, layer.rounding.activation.bits) == (8, 8)


@pytest.mark.parametrize("target", ["paddle-x86", "openvino"])
def test_a_form_for_a_target_flattens_what_the_float_network_does_not(target: str) -> None:
    written, _ = for_target(NET.frozen, find_target(target))
    found = twins(written, NET.model)
    assert tuple(layer.output for layer in found.layers) == OUTPUTS
    assert all(layer.rounding.data in found.float_graph for layer in found.layers)
    assert all(layer.rounding.data in found.quantized for layer in found.layers)
    assert found.notes == ()


def test_the_float_twin_has_its_norms_folded_as_what_was_quantized() -> None:
    found = twins(NET.frozen, NET.model)
    assert "batch_norm" not in {op.type for op in found.float_graph.ops}
    for layer in found.layers:
        off = np.abs(layer.weight - layer.rounding.weight)
        assert np.all(off <= 0.5001 * layer.rounding.step)
        assert off.any()


def test_what_a_record_tells_in_words_is_passed_over() -> None:
    folded, rest = "fold-constants,fold-bn", "transform{weight_type=channel_wise_abs_max},freeze"
    told = Model(NET.frozen.graph, Provenance(None, (folded, "correction of 2 layers", rest)))
    assert "batch_norm" not in {op.type for op in as_quantized(NET.model, told).ops}
    # Passes of this record do not run on this model: what fits is found out without it.
    broken = Model(
        NET.frozen.graph, Provenance(None, ("transform,freeze,unquantize{outputs=[x]},transform",))
    )
    assert len(twins(broken, NET.model).layers) == 3


def test_without_a_record_the_float_model_is_found_out_all_the_same() -> None:
    found = twins(Model(NET.frozen.graph), NET.model)
    assert "batch_norm" not in {op.type for op in found.float_graph.ops}
    assert len(found.layers) == 3


def test_without_the_float_model_the_weights_are_those_that_were_rounded() -> None:
    found = twins(NET.frozen, None)
    assert not found.rounded_weights
    assert "give the float model by --float" in found.notes[0]
    assert all(np.array_equal(layer.weight, layer.rounding.weight) for layer in found.layers)


def test_a_transformed_model_has_its_float_weights() -> None:
    transformed = qcc.PassManager.parse(
        "transform{weight_type=channel_wise_abs_max,activation_type=abs_max}"
    ).run(NET.model)
    found = twins(transformed, None)
    assert found.rounded_weights
    assert all(layer.rounding.scale is None for layer in found.layers)
    assert not any(np.array_equal(layer.weight, layer.rounding.weight) for layer in found.layers)
    assert not any("quantize" in op.type for op in found.float_graph.ops)


def test_weights_that_were_trained_since_are_told_of() -> None:
    moved = NET.model.copy()
    moved.weights["fc_0.w_0"] = moved.weights["fc_0.w_0"] * np.float32(1.1)
    (note,) = twins(NET.frozen, moved).notes
    assert "the weights of 1 of 3 ops are not those of the float model, rounded" in note


def test_models_that_cannot_be_analyzed() -> None:
    with pytest.raises(ModelFormatError, match="nothing to analyze"):
        twins(NET.model, None)
    with pytest.raises(ModelFormatError, match="not the one that was quantized"):
        twins(NET.frozen, several_blocks())
