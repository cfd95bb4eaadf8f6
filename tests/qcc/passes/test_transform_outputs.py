"""Fake quantization of what a target rounds between quantized ops: inserted, trained through, and settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import nets
import numpy as np
import pytest

import qcc
from qcc.backends.assumed import SCHEME, assume_frozen
from qcc.backends.onnx.form import prepare, simulating
from qcc.model import Model
from qcc.passes.fake_quant import BETWEEN
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import thresholds
from qcc.passes.static_scales import StaticScales, ops_to_calibrate
from qcc.passes.transform_outputs import TransformOutputs
from qcc.targets.table import find_target

TABLE = find_target("onnxruntime")
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 12, 12)).astype("f")
FINE = "transform{activation_type=abs_max,weight_bits=16,activation_bits=16}"


@pytest.fixture(scope="module")
def models() -> Mapping[str, Model]:
    return nets.build(nets.residual_net)


@pytest.fixture(scope="module")
def inserted(models: Mapping[str, Model]) -> TransformOutputs:
    found = simulating(assume_frozen(models["test"]).model, TABLE)
    assert found is not None
    return found


def with_scales(model: Model) -> Model:
    """Fixed scales, each another one."""
    names = [op.input("X").name for op in ops_to_calibrate(model.graph)]
    scales = tuple(f"{name}={0.5 + number / 8}" for number, name in enumerate(names))
    return PassManager((StaticScales(scales=scales),)).run(model)


def test_training_and_test_graph_round_the_same(
    models: Mapping[str, Model], inserted: TransformOutputs
) -> None:
    found = {}
    for name, model in models.items():
        transformed = PassManager((*PassManager.parse(SCHEME).passes, inserted)).run(model)
        marked = [op for op in transformed.graph.ops if op.attr(BETWEEN, False)]
        found[name] = {op.input("X").name: op.attr("bit_length") for op in marked}
        for op in marked:
            # Nothing but the quantizer, and the gradient of what made it, reads the exact values.
            made_by = op.input("X").producer
            assert made_by is not None
            others = {reader.type for reader in op.input("X").consumers} - {op.type}
            assert others <= {f"{made_by.type}_grad"}
    assert found["train"] == found["test"]
    assert set(found["test"].values()) == {8, 9}


def test_gradients_go_straight_through(models: Mapping[str, Model], inserted: TransformOutputs) -> None:
    entries = tuple(f"{entry.rpartition('=')[0]}=16" for entry in inserted.outputs)
    fine = replace(inserted, outputs=entries, activation_type="abs_max")
    weights = [name for name in models["train"].weights if name.endswith(".w_0")]
    feeds = {"image": IMAGES, "label": np.arange(4).reshape(4, 1)}
    gradients = []
    for passes in ((), (*PassManager.parse(FINE).passes, fine)):
        model = PassManager(passes).run(models["train"]) if passes else models["train"]
        gradients.append(qcc.Runner(model).run(feeds, [f"{name}@GRAD" for name in weights]))
    for wanted, found in zip(*gradients, strict=True):
        assert np.abs(found - wanted).max() < 0.01 * np.abs(wanted).max()


def test_freezing_notes_the_scales_and_rounds_no_more(
    models: Mapping[str, Model], inserted: TransformOutputs
) -> None:
    transform = PassManager.parse(SCHEME).passes
    whole = with_scales(PassManager((*transform, inserted)).run(models["test"]))
    frozen = PassManager.parse("freeze,prune").run(whole)
    noted = thresholds(frozen.graph)
    marked = {op.input("X").name: op for op in whole.graph.ops if op.attr(BETWEEN, False)}
    assert noted == {name: float(whole.weights[op.input("InScale").name][0]) for name, op in marked.items()}
    assert not any(op.attr(BETWEEN, False) for op in frozen.graph.ops)
    # As if nothing had been inserted.
    scales = {op.input("X").name: op for op in whole.graph.ops if "InScale" in op.inputs}
    entries = tuple(
        f"{name}={float(whole.weights[op.input('InScale').name][0])}" for name, op in scales.items()
    )
    plain = PassManager((*transform, StaticScales(scales=entries))).run(models["test"])
    wanted = PassManager.parse("freeze,prune").run(plain).run({"image": IMAGES})
    np.testing.assert_array_equal(frozen.run({"image": IMAGES})[0], wanted[0])
    assert [op.type for op in frozen.graph.ops] == [
        op.type for op in PassManager.parse("freeze,prune").run(plain).graph.ops
    ]


def test_the_file_computes_what_was_trained(models: Mapping[str, Model], inserted: TransformOutputs) -> None:
    """But for the grid of the inputs of quantized ops, which is finer there."""
    transform = PassManager.parse(SCHEME).passes
    whole = with_scales(PassManager((*transform, inserted)).run(models["test"]))
    prepared = prepare(PassManager.parse("freeze,prune").run(whole), TABLE.with_vnni(), {})
    feeds = {"image": IMAGES}
    trained, file, plain = (
        model.run(feeds)[0] for model in (whole, prepared.model, PassManager.parse("freeze").run(whole))
    )
    assert np.abs(file - trained).max() < 0.5 * np.abs(plain - trained).max()


def test_scales_that_nobody_observed_are_not_noted(
    models: Mapping[str, Model], inserted: TransformOutputs
) -> None:
    transformed = PassManager.parse(SCHEME).run(models["test"])
    inputs = {op.input("X").name for op in ops_to_calibrate(transformed.graph)}
    whole = PassManager((inserted,)).run(transformed)
    for op in ops_to_calibrate(whole.graph):
        if op.input("X").name in inputs:
            whole.weights[op.input("InScale").name] = np.ones(1, "f")
    marked = {op.input("X").name for op in whole.graph.ops if op.attr(BETWEEN, False)}
    noted = thresholds(PassManager.parse("freeze,prune").run(whole).graph)
    assert set(noted) == marked & inputs < marked
