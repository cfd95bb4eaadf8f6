"""The ops of a model one by one: what ties and lost bits explain, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_nets import engine_net, frozen_engine_net
from lite_commands import small

import qcc
from qcc.backends.agreement import MANY, Distance
from qcc.backends.apart import Apart, beyond_ties, take_apart, wider, worst_of
from qcc.backends.onnx.apart import apart_and_rounded
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.reference import Reference, reference
from qcc.model import Model
from qcc.numerics import max_int


def reference_of(made: tuple[Model, Mapping[str, np.ndarray]], folder: Path) -> Reference:
    """A network in QDQ form, written and read again."""
    model, inputs = made
    qcc.save(model, folder, form="qdq", check=False)
    return reference(qcc.load(folder), folder / "model.pdmodel", folder / "model.pdiparams", inputs)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    (whole,) = take_apart(reference_of(small(), tmp_path_factory.mktemp("apart")))
    return whole


@pytest.mark.parametrize(("together", "count"), [(1, 3), (6_500, 2)])
def test_few_ops_at_a_time_are_all_ops(
    together: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reference_of(frozen_engine_net("concat_conv_and_pool"), tmp_path)
    (whole,) = take_apart(found)
    monkeypatch.setattr("qcc.backends.apart._TOGETHER", together)
    parts = list(take_apart(found))
    assert len(parts) == count
    assert tuple(end for part in parts for end in part.cut.ends) == whole.cut.ends
    for part in parts:
        given = PaddleExecutor(part.program, part.params).run(part.inputs)
        assert [array.tobytes() for array in given] == [array.tobytes() for array in part.wanted]
        assert set(part.inputs) == set(part.cut.graph.feeds)
    twice = [
        worst_of([part.worst([2 * array for array in part.wanted]) for part in few])
        for few in (parts, [whole])
    ]
    assert twice[0] is not None
    assert twice[1] is not None
    assert str(twice[0]) == str(twice[1])


def test_ties_move_every_quantized_op_by_some_steps(apart: Apart) -> None:
    moved = apart.moved_by_ties()
    assert len(moved) == len(apart.cut.ends) == 3
    for one in moved:
        assert 0.1 / max_int(8) < one.largest < 0.3
        assert one.mean < 0.1


def test_a_step_of_a_few_is_a_tie_and_a_scale_that_is_off_is_not(apart: Apart) -> None:
    ties = apart.moved_by_ties()
    right = [np.array(array) for array in apart.wanted]
    assert apart.worst(right, ties) is None
    right[0].reshape(-1)[::997] += ties[0].largest / 5 * np.ptp(right[0])
    assert apart.worst(right) is not None
    assert apart.worst(right, ties) is None
    assert apart.wrong(right) is None
    wrong = [array if index else array * 1.1 for index, array in enumerate(apart.wanted)]
    for found in (apart.worst(wrong, ties), apart.wrong(wrong)):
        assert found is not None
        assert found.op.type == "conv2d"


def test_ties_are_drawn_only_where_an_op_is_off_without(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Apart] = []
    moved = Apart.moved_by_ties
    monkeypatch.setattr(Apart, "moved_by_ties", lambda self: drawn.append(self) or moved(self))
    assert apart.wrong(apart.wanted) is None
    assert not drawn
    assert apart.wrong([1.1 * array for array in apart.wanted]) is not None
    assert drawn == [apart]


def test_an_edge_of_a_map_may_be_off_by_all_of_the_range() -> None:
    allowed, rough = [Distance(0.01, 0.01, 0.01)], [Distance(0.9, 0.002, 0.001)]
    few, many = (wider(allowed, rough, [np.zeros(size)])[0] for size in (MANY - 1, MANY))
    edge = Distance(1.0, 0.003, 0.001)
    assert not edge.within(few)
    assert edge.within(many)
    assert not Distance(1.0, 0.02, 0.001).within(many)
    assert not Distance(1.0, 0.003, 0.5).within(many)
    assert not Distance(np.inf, np.inf, np.inf).within(many)


def test_ties_widen_the_limits_of_quantized_models_alone(tmp_path: Path) -> None:
    for make, seen in ((frozen_engine_net, 1), (engine_net, 0)):
        model, inputs = make("concat_conv_and_pool")
        qcc.save(model, tmp_path, check=False)
        found = reference(model, tmp_path / "model.pdmodel", tmp_path / "model.pdiparams", inputs)
        before = found.limits()
        found.see_ties()
        assert len(found.ties) == seen * len(found.names)
        for tie, old, new in zip(found.ties, before, found.limits(), strict=False):
            assert 0 < tie.largest < 0.1
            assert new.largest == max(old.largest, 2 * tie.largest)
            assert new.norms == max(old.norms, 2 * tie.largest, 2 * tie.norms)
        assert seen or found.limits() == before


def test_what_is_rounded_from_a_tie_may_be_on_either_side() -> None:
    """Of 24 means one is within a thousandth of a step of a tie; the others are a tenth from it or more."""
    step = 0.5
    values = np.linspace(-20, 20, 24).round() * step + 0.1 * step
    values[5] = 7.499 * step
    values[6] = 200.4999 * step
    rounded = np.clip(np.round(values / step), -127, 127) * step
    other = beyond_ties(values, rounded, step)
    assert np.flatnonzero(other != rounded).tolist() == [5]
    assert (rounded[5], other[5]) == (7 * step, 8 * step)


def test_only_what_is_on_a_tie_is_taken_for_right(tmp_path: Path) -> None:
    found = reference_of(frozen_engine_net("concat_conv_and_pool"), tmp_path)
    rounded = next(one for one in apart_and_rounded(found) if one.other_side)
    place = next(iter(rounded.other_side))
    wanted = [np.array(one) for one in rounded.wanted]
    step = np.diff(np.unique(wanted[place])).min()
    other = wanted[place].copy()
    other.flat[3] += step
    moved = [*wanted[:place], other, *wanted[place + 1 :]]
    assert rounded.worst(wanted) is None
    wrong = replace(rounded, other_side={}).worst(moved)
    assert wrong is not None
    assert replace(rounded, other_side={place: other}).worst(moved) is None
