"""Activations that cannot be negative have all 256 integers in OpenVINO, by zero points."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from engine_nets import engine_net, frozen_engine_net

import qcc
from qcc.backends.deploy import check_openvino
from qcc.backends.deploy.form import for_target
from qcc.backends.deploy.signs import non_negative
from qcc.backends.engines.openvino import OpenVino
from qcc.cli.main import cli
from qcc.errors import OutputError
from qcc.frontend.params import combined, read_weights
from qcc.frontend.program_file import read_program
from qcc.ir.graph import Graph
from qcc.ir.text import print_graph
from qcc.passes.zero_points import read_zero_points, with_zero_points
from qcc.targets.processor import has_vnni
from qcc.targets.table import find_target

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed; `pip install 'qcc[openvino]'`",
)
HERE = "openvino+vnni" if has_vnni() else "openvino"
"""The form that OpenVINO computes rightly on this processor."""


def written(folder: Path) -> dict[str, tuple[float, int, int]]:
    """Scale, zero point and bits of what each quantize op of a file quantizes, as they stand there."""
    program = read_program(folder / "model.pdmodel")
    weights = read_weights(program, combined(program, folder / "model.pdiparams"))
    found = {}
    for op in program.program.blocks[0].ops:
        slots = {one.parameter: list(one.arguments) for one in op.inputs}
        if op.type == "quantize_linear":
            scale, zero = (weights[slots[slot][0]] for slot in ("Scale", "ZeroPoint"))
            bits = next(attr.i for attr in op.attrs if attr.name == "bit_length")
            found[slots["X"][0]] = float(scale.item()), int(zero.item()), bits
    return found


@pytest.mark.parametrize(("target", "steps"), [("openvino", 127), ("openvino+vnni", 255)])
def test_with_vnni_steps_behind_a_relu_are_half_as_large(target: str, steps: int, tmp_path: Path) -> None:
    frozen, _ = frozen_engine_net("squeeze_and_excite")
    qcc.save(frozen, tmp_path, target=target, check=False)
    unsigned = {var.name for var in non_negative(frozen.graph)}
    known = {op.input("X").name: op for op in frozen.graph.ops if op.type.startswith("fake_quantize")}
    found = written(tmp_path)
    assert {name in unsigned for name in found} == {True, False}
    for name, (scale, zero, bits) in found.items():
        frozen_scale = float(frozen.weights[known[name].input("InScale").name].item())
        assert bits == 8
        assert zero == (-128 if name in unsigned else 0)
        # A step is the scale in the file by 127, and the frozen scale has so many of them.
        wanted = steps if name in unsigned else 127
        assert frozen_scale / (scale / 127) == pytest.approx(wanted, rel=1e-5)


def test_what_is_read_is_what_was_formed(tmp_path: Path) -> None:
    frozen, inputs = frozen_engine_net("squeeze_and_excite")
    qcc.save(frozen, tmp_path, target="openvino+vnni", check=False)
    loaded = qcc.load(tmp_path)
    formed, _ = for_target(frozen, find_target("openvino+vnni"))
    assert {op.attr("bit_length", 8) for op in loaded.graph.ops if op.type == "quantize_linear"} == {8, 9}
    # Scales differ by float32's last digit at most; a value on a tie may go to the other side of it.
    (found,), (expected,), (float_like,) = (model.run(inputs) for model in (loaded, formed, frozen))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    assert np.abs(found - float_like).max() < 0.05 * np.abs(float_like).max()


@pytest.mark.parametrize("target", ["openvino", "openvino+vnni"])
def test_written_and_read_again_it_stays_the_same(target: str) -> None:
    """Scales are float32: whatever they are, they do not wander."""
    model, _ = for_target(frozen_engine_net("fc_behind_relu")[0], find_target(target))
    graph = model.graph
    (scale,) = {op.input("Scale").name for op in graph.ops if op.attr("bit_length", 8) == 9}
    for value in np.random.default_rng(0).uniform(1, 2, 200).astype(np.float32):
        graph.weights[scale] = np.array([value])
        first = read_again(graph)
        assert first.weights[scale] == pytest.approx(value, rel=2e-7)
        second = read_again(first)
        assert second.weights[scale] == pytest.approx(float(first.weights[scale].item()), rel=1.2e-7)
        assert print_graph(read_again(second)) == print_graph(second)


def read_again(graph: Graph) -> Graph:
    written = with_zero_points(graph).copy()
    read_zero_points(written)
    return written


def test_without_such_activations_nothing_changes() -> None:
    """Which are zero points around 0, as Paddle's own tools write them."""
    formed, _ = for_target(frozen_engine_net("left_weight")[0], find_target("paddle-x86"))
    assert with_zero_points(formed.graph) is formed.graph
    before = print_graph(formed.graph)
    read_zero_points(formed.graph)
    assert print_graph(formed.graph) == before


@needs_openvino
@pytest.mark.parametrize("name", ["squeeze_and_excite", "transposed", "fc_behind_relu"])
def test_openvino_computes_what_qcc_reads(name: str, tmp_path: Path) -> None:
    frozen, inputs = frozen_engine_net(name)
    saved = qcc.save(frozen, tmp_path, target=HERE, check=inputs)
    assert all(check.good for check in saved.checks)
    assert -128 in {zero for _, zero, _ in written(tmp_path).values()}
    with OpenVino(tmp_path / "model.pdmodel") as engine:
        (found,) = engine.run(inputs)
    (expected,) = qcc.load(tmp_path).run(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@needs_openvino
@pytest.mark.parametrize("name", ["squeeze_and_excite", "attention_from_one_fc"])
def test_without_vnni(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels for processors with AVX2 alone clip sums of two products, which this form goes around."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    frozen, inputs = frozen_engine_net(name)
    qcc.save(frozen, tmp_path, target="openvino", check=inputs)
    with OpenVino(tmp_path / "model.pdmodel") as engine:
        (found,) = engine.run(inputs)
    (expected,) = qcc.load(tmp_path).run(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@needs_openvino
def test_the_check_sees_zero_points_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(graph: Graph) -> Graph:
        changed = with_zero_points(graph)
        for op in changed.ops if changed is not graph else ():
            if op.type == "dequantize_linear" and np.any(zero := changed.weights[op.input("ZeroPoint").name]):
                changed.weights[op.input("ZeroPoint").name] = np.zeros_like(zero)
        return changed

    frozen, inputs = frozen_engine_net("squeeze_and_excite")
    monkeypatch.setattr(check_openvino, "with_zero_points", off)
    with pytest.raises(OutputError, match=r"was not written: OpenVINO: .*--no-check"):
        qcc.save(frozen, tmp_path / "out", target=HERE, check=inputs)
    assert not (tmp_path / "out").exists()


@needs_openvino
def test_it_is_compared_in_openvino(tmp_path: Path) -> None:
    """The command writes what it has read for OpenVINO once more."""
    net, inputs = engine_net("squeeze_and_excite")
    qcc.save(net, tmp_path / "float")
    frozen, _ = frozen_engine_net("squeeze_and_excite")
    qcc.save(frozen, tmp_path / "qdq", target=HERE, check=inputs)
    np.savez(tmp_path / "data.npz", **inputs)
    arguments = [str(tmp_path / name) for name in ("float", "qdq")]
    options = ["--data", str(tmp_path / "data.npz"), "--engine", "openvino"]
    result = CliRunner().invoke(cli, ["compare", *arguments, *options])
    assert result.exit_code == 0, result.output
    assert "come apart" not in result.output


def test_the_record_tells_what_the_file_means(tmp_path: Path) -> None:
    frozen, _ = frozen_engine_net("squeeze_and_excite")
    qcc.save(frozen, tmp_path, target="openvino+vnni", check=False)
    record = json.loads((tmp_path / "qcc.json").read_text())
    assert record["scheme"]["activation_bits"] == [8, 9]
    assert qcc.load(tmp_path).provenance.pipelines  # the record is that of these files
