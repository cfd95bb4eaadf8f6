"""Measurements: against models that are really quantized so; interrupted, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import build_model, floats
from nets import several_blocks
from quantized_net import OUTPUTS, WEIGHTS, WITHOUT, quantized_net

import qcc
from qcc._paddle import paddle
from qcc.analyze import beside
from qcc.analyze.beside import write_beside
from qcc.analyze.findings import Analysis, Outcome
from qcc.analyze.page import write_page
from qcc.analyze.run import Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.compare import Agreement, compare
from qcc.calibrate.data.sources import Source
from qcc.calibrate.parts import Parts
from qcc.calibrate.plan import make_plan
from qcc.errors import DataError, OutputError
from qcc.interrupts import Stopped
from qcc.model import Model
from qcc.numerics import decibels

NET = quantized_net()


@contextmanager
def silent(name: str, total: int) -> Iterator[Any]:
    yield lambda done: None


def sample() -> Sample:
    return Sample.of(Source(iter(NET.batches)), NET.model, 16)


def run(folder: Path, top: int | None = None, stop_after: int | None = None) -> Analysis:
    asked = iter(range(1000))
    wanted = Wanted(top, silent, lambda: stop_after is not None and next(asked) >= stop_after)
    found, journal = analyze(
        "net", twins(NET.frozen, NET.model), sample(), folder / "journal", wanted, facts={}
    )
    journal.remove()
    return found


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return run(tmp_path_factory.mktemp("analysis"))


def distance(quantized: Model) -> float:
    """Of the output, by another way."""
    (found,) = compare(NET.model, quantized, NET.batches)
    return found.mean


def test_the_whole(analysis: Analysis) -> None:
    assert analysis.outcome.distance == pytest.approx(distance(NET.frozen), rel=1e-3)
    assert analysis.batches == 3
    assert analysis.floats == ()
    assert analysis.sizes["float"] > analysis.sizes["int8"] > analysis.sizes["float"] / 4


def test_a_weight_that_is_fetched_is_no_output_that_could_move(tmp_path: Path) -> None:
    model, frozen = NET.model.copy(), NET.frozen.copy()
    for one in (model, frozen):
        one.graph.fetches = (WEIGHTS[0], *one.fetches)
    wanted = Wanted(0, silent, lambda: False)

    found, journal = analyze("net", twins(frozen, model), sample(), tmp_path / "journal", wanted, facts={})

    journal.remove()
    assert list(found.outcome.by_head) == list(NET.model.fetches)


def test_scores_beside_boxes_in_pixels_are_an_output_of_their_own(tmp_path: Path) -> None:
    def net(x: Any) -> Any:
        features = paddle.nn.Conv2D(3, 8, 1)(x)
        scores = paddle.nn.functional.sigmoid(paddle.nn.Conv2D(8, 2, 1)(features))
        return paddle.concat([paddle.nn.Conv2D(8, 4, 1)(features) * 300, scores], axis=1)

    batches = [{"x0": floats(1, 3, 8, 8)}]
    model = build_model(net, (batches[0]["x0"],))
    frozen = qcc.quantize(model, batches, without=WITHOUT)
    read = Sample.of(Source(iter(batches)), model, 1)
    found, _ = analyze("net", twins(frozen, model), read, tmp_path / "j", Wanted(0, silent), facts={})
    whole, scores = found.outcome.by_head
    assert (whole, model.graph.var(scores).producer.type) == (*model.fetches, "sigmoid")
    labelled = Sample([lambda: {**batches[0], "label": np.zeros(1)}], "labelled")
    same, _ = analyze("net", twins(frozen, model), labelled, tmp_path / "k", Wanted(0, silent), facts={})
    assert same.outcome == found.outcome


@pytest.mark.parametrize("number", [0, 1, 2])
def test_effects_are_those_of_models_that_are_quantized_so(analysis: Analysis, number: int) -> None:
    (one,) = (one for one in analysis.ops if one.layer.output == OUTPUTS[number])
    assert one.effect is not None
    others = [name for name in WEIGHTS if name != WEIGHTS[number]]
    alone = qcc.quantize(NET.model, NET.batches, skip_vars=others, without=WITHOUT)
    assert one.effect.alone == pytest.approx(distance(alone), rel=0.02)
    all_but = qcc.quantize(NET.model, NET.batches, skip_vars=[WEIGHTS[number]], without=WITHOUT)
    assert one.effect.off == pytest.approx(distance(all_but), rel=0.02)


def test_the_worst_comes_first(analysis: Analysis) -> None:
    effects = [one.effect.alone for one in analysis.ops if one.effect is not None]
    assert len(effects) == 3
    assert effects == sorted(effects, reverse=True)


def test_damage_adds_up(analysis: Analysis) -> None:
    for one in analysis.ops:
        damage = one.damage
        # Noise of the weight and of the activation do not know of each other.
        noise = sum(10 ** (-value / 10) for value in (damage.weight, damage.activation))
        assert damage.both == pytest.approx(decibels(1.0, noise), abs=2.0)
        assert 30 < damage.both < 60
        assert 0.99 < damage.cosine < 1
        assert 20 < damage.channels < 60
    first = next(one for one in analysis.ops if one.layer.output == OUTPUTS[0])
    assert first.damage.among == pytest.approx(first.damage.both, abs=0.01)


def test_a_loud_channel_does_not_hide_that_the_others_are_lost(tmp_path: Path) -> None:
    loud = NET.model.copy()
    weight = loud.weights["conv2d_0.w_0"].copy()
    weight[0] *= 1000
    loud.weights["conv2d_0.w_0"] = weight
    pipeline = "fold-bn,transform{weight_type=abs_max,activation_type=abs_max},freeze"
    frozen = qcc.PassManager.parse(pipeline).run(loud)
    found, _ = analyze("loud", twins(frozen, loud), sample(), tmp_path / "j", Wanted(0, silent), facts={})
    (first,) = (one.damage for one in found.ops if one.layer.output == OUTPUTS[0])
    assert first.both > 30
    assert first.channels < 1
    assert found.ops[-1].layer.output == OUTPUTS[2]


def test_ranges_say_what_is_clipped(analysis: Analysis) -> None:
    first = next(one for one in analysis.ops if one.layer.output == OUTPUTS[0])
    values = np.concatenate([batch["image"] for batch in NET.batches])
    assert first.range.scale is not None
    assert sum(first.range.counts) == np.count_nonzero(values)
    assert (first.range.smallest, first.range.largest) == (values.min(), values.max())
    clipped = np.mean(np.abs(values) > first.range.scale)
    assert first.range.clipped == pytest.approx(clipped, abs=1e-3)
    assert len(first.spread.peaks) == 8


def test_interrupted_anywhere_it_goes_on_to_the_same(analysis: Analysis, tmp_path: Path) -> None:
    for stop_after in (4, 13):
        with pytest.raises(Stopped):
            run(tmp_path, stop_after=stop_after)
        before = (tmp_path / "journal").read_bytes()
        (tmp_path / "journal").write_bytes(before + b'["off 2 fc_0.tm')  # a line that a kill has cut
    assert run(tmp_path).record() == analysis.record()


def test_killed_after_any_piece_it_goes_on_to_the_same(tmp_path: Path) -> None:
    def runs() -> Analysis:
        return analyze("net", twins(NET.frozen, NET.model), sample(), journal, Wanted(1, silent), facts={})[0]

    journal = tmp_path / "journal"
    wanted = runs().record()
    pieces = journal.read_bytes().splitlines(keepends=True)
    for count in range(1, 7):
        journal.write_bytes(b"".join(pieces[:count]))
        assert runs().record() == wanted


def test_what_is_masked_out_is_not_off(tmp_path: Path) -> None:
    models = [masked(one) for one in (NET.frozen, NET.model)]
    found, _ = analyze("net", twins(*models), sample(), tmp_path / "journal", Wanted(None, silent), facts={})
    assert 0 < found.outcome.distance < 0.1
    assert all(one.effect is not None and one.effect.alone < 0.1 for one in found.ops)


def masked(model: Model) -> Model:
    """A model whose second class is never told: its score is minus infinity."""
    graph = model.graph.copy()
    (name,) = graph.fetches
    scores = graph.var(name)
    mask = np.zeros((1, scores.shape[-1]), np.float32)
    mask[0, 1] = -np.inf
    out = graph.add_var_like("masked", scores)
    inputs = {"X": scores, "Y": graph.add_var("mask", "float32", mask.shape, mask)}
    graph.add_op("elementwise_add", inputs, {"Out": out}, {"axis": -1})
    graph.fetches = ("masked",)
    return Model(graph)


def test_an_op_that_makes_numbers_none_is_the_worst(tmp_path: Path) -> None:
    """The root of what is below zero is no number: here of the first score, less what it is in float, on the
    side to which rounding moves it."""
    batch = NET.batches[0]
    wanted, moved = (model.run(batch)[0] for model in (NET.model, NET.frozen))
    factor, shift = np.zeros_like(wanted), np.zeros_like(wanted)
    factor[0, 0] = np.sign(wanted[0, 0] - moved[0, 0])
    shift[0, 0] = -factor[0, 0] * wanted[0, 0]

    def rooted(model: Model) -> Model:
        graph = model.graph.copy()
        var = graph.var(NET.model.fetches[0])
        for kind, given in (("elementwise_mul", factor), ("elementwise_add", shift)):
            other = graph.add_var(f"{kind}_given", "float32", given.shape, given)
            out = graph.add_var_like(f"{kind}_out", var)
            graph.add_op(kind, {"X": var, "Y": other}, {"Out": out}, {"axis": -1})
            var = out
        graph.add_op("sqrt", {"X": var}, {"Out": graph.add_var_like("root", var)}, {})
        graph.fetches = ("root",)
        return Model(graph)

    def found(top: int | None) -> Analysis:
        both, of_one = twins(rooted(NET.frozen), rooted(NET.model)), Source(iter([batch]))
        one = Sample.of(of_one, NET.model, 1)
        return analyze("net", both, one, tmp_path / f"{top}", Wanted(top, silent), facts={})[0]

    whole = found(None)
    effects = [one.effect.alone for one in whole.ops if one.effect is not None]
    assert effects[0] == np.inf
    assert effects == sorted(effects, reverse=True)
    infinite = {one.layer.output for one, effect in zip(whole.ops, effects, strict=True) if effect == np.inf}
    (top,) = (one for one in found(1).ops if one.effect is not None)
    assert top.layer.output in infinite
    write_page(whole, tmp_path / "page.html")
    assert 'width="nan"' not in (tmp_path / "page.html").read_text()


def test_of_the_top_ops_alone_the_effect_is_measured(analysis: Analysis, tmp_path: Path) -> None:
    found = run(tmp_path, top=1)
    measured = [one.layer.output for one in found.ops if one.effect is not None]
    assert measured == [analysis.ops[0].layer.output]
    assert found.ops[0].effect == analysis.ops[0].effect


def test_parts_run_only_what_depends_on_a_change() -> None:
    graph = twins(NET.frozen, NET.model).float_graph
    parts = Parts(graph, OUTPUTS, graph.fetches, graph.fetches)
    assert parts.cuts == frozenset(OUTPUTS)
    values = parts.run(NET.batches[0])
    assert np.array_equal(values[graph.fetches[0]], Model(graph).run(NET.batches[0])[0])
    (same,) = parts.heads_with(values, {})
    assert same is values[graph.fetches[0]]
    (twice,) = parts.heads_with(values, {OUTPUTS[2]: 2 * values[OUTPUTS[2]]})
    bias = graph.weights["fc_0.b_0"]
    assert np.allclose(twice - bias, 2 * (same - bias), rtol=1e-4, atol=1e-5)


def test_a_network_with_loops_is_cut_where_tensors_cross() -> None:
    model = several_blocks()
    inputs = {"x": np.ones((2, 3), np.float32)}
    parts = Parts(model.graph, [var.name for var in model.graph.vars], model.fetches, model.fetches)
    found = parts.run(inputs)[model.fetches[0]]
    assert np.array_equal(found, model.run(inputs)[0])


def test_data_that_is_missing_or_does_not_fit() -> None:
    with pytest.raises(DataError, match="no data"):
        Sample.of(Source(iter([])), NET.model, 4)
    broken = Sample.of(Source(iter([{"picture": np.ones(1, np.float32)}])), NET.model, 4)
    with pytest.raises(DataError, match="has no array 'image'"):
        broken.reads[0]()


def _rows_found(x: Any) -> Any:
    """A layer on as many rows as the one before it gives values above zero."""
    x = paddle.nn.Linear(8, 8)(x)
    return paddle.nn.Linear(8, 4)(paddle.gather_nd(x, paddle.nonzero(x[:, 0] > 0)))


def test_beside_a_model_whose_rows_depend_on_values_no_page_is_written(tmp_path: Path) -> None:
    model = build_model(_rows_found, (floats(2000, 8),))
    batches = [{"x0": np.random.default_rng(0).standard_normal((2000, 8)).astype(np.float32)}]
    plan = make_plan(model)
    frozen = qcc.quantize(model, batches)
    data = {"kind": "batches", "path": "a:b", "used": 1}
    told = write_beside(tmp_path, "net", plan, frozen, batches, data, silent)
    assert told.line.startswith("no report.html: ")
    assert "its size depends on values that rounding moves" in told.line
    assert not told.notices
    assert not list(tmp_path.iterdir())


def test_a_layer_that_alone_loses_much_is_named_with_the_way_to_keep_it_float(tmp_path: Path) -> None:
    """Differences of neighbours, which are a hundredth of what is rounded: a mean over all activations of the
    network would not show it."""

    def net(x: Any) -> Any:
        edges = paddle.nn.functional.conv2d(x + 100.0, paddle.to_tensor(kernel))
        return paddle.nn.Conv2D(3, 4, 1)(edges)

    kernel = np.zeros((3, 3, 1, 2), np.float32)
    kernel[range(3), range(3)] = [[1, -1]]
    batches = [{"x0": floats(1, 3, 16, 16)}]
    model = build_model(net, (batches[0]["x0"],))
    frozen = qcc.quantize(model, batches, without=WITHOUT)
    data = {"kind": "batches", "path": "a:b", "used": 1}
    told = write_beside(tmp_path, "net", make_plan(model), frozen, batches, data, silent)
    (notice,) = told.notices
    assert notice.startswith("quantized by itself, 'conv2d_0.tmp_0' is off by ")
    assert "Keep such layers float with --skip-vars conv2d_0.tmp_0, or give a budget." in notice


def test_a_layer_that_computes_next_to_nothing_is_lost(tmp_path: Path) -> None:
    """Two columns cancel out, but not when both are rounded: that is thousands of times what is left."""

    def net(x: Any) -> Any:
        edges = paddle.nn.functional.conv2d(x, paddle.to_tensor(kernel))
        return paddle.nn.Conv2D(3, 4, 1)(edges + x[:, :, :, :-1])

    kernel = np.zeros((3, 3, 1, 2), np.float32)
    kernel[range(3), range(3)] = [[0.30001, -0.15]]
    x = np.ones((1, 3, 8, 2), np.float32) * np.float32([1, 0.30001 / 0.15])
    model = build_model(net, (x,))
    frozen = qcc.quantize(model, [{"x0": x}], without=WITHOUT)
    data = {"kind": "batches", "path": "a:b", "used": 1}
    told = write_beside(tmp_path, "net", make_plan(model), frozen, [{"x0": x}], data, silent)
    (notice,) = told.notices
    assert notice.startswith("quantized by itself, 'conv2d_0.tmp_0' is lost, which may be most of what")


def test_beside_a_model_nothing_is_left_of_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(found: Analysis, path: Path) -> None:
        raise OutputError("the disk is full.")

    monkeypatch.setattr(beside, "write_page", failing)
    data = {"kind": "batches", "path": "a:b", "used": 1}
    with pytest.raises(OutputError):
        write_beside(tmp_path, "net", make_plan(NET.model), NET.frozen, list(NET.batches), data, silent)
    assert not list(tmp_path.iterdir())


def test_what_is_not_finite_is_recorded_as_none(analysis: Analysis) -> None:
    infinite = replace(
        analysis,
        agreement=[Agreement("out", np.inf, np.nan, np.inf, None)],
        outcome=Outcome(np.inf, {"out": np.nan}),
    )
    record = json.loads(json.dumps(infinite.record(), allow_nan=False))
    assert (record["distance"], record["distances"]) == (None, {"out": None})
    assert record["agreement"] == [
        {"output": "out", "largest": None, "mean": None, "noise": None, "same_class": None}
    ]
