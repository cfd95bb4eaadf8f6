"""The ops of a model one by one: what ties and lost bits explain, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_nets import engine_net, frozen_engine_net
from lite_commands import small

import qcc
from qcc.backends.agreement import MANY, Distance
from qcc.backends.apart import Apart, take_apart, wider
from qcc.backends.reference import reference
from qcc.numerics import max_int


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    model, inputs = small()
    folder = tmp_path_factory.mktemp("apart")
    qcc.save(model, folder, form="qdq", check=False)
    saved = qcc.load(folder)
    return take_apart(reference(saved, folder / "model.pdmodel", folder / "model.pdiparams", inputs))


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
    wrong = [array if index else array * 1.1 for index, array in enumerate(apart.wanted)]
    found = apart.worst(wrong, ties)
    assert found is not None
    assert found[0].type == "conv2d"


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
