"""Channels that are brought to like ranges by what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from lite_case import floats

import qcc
from qcc.calibrate.equalization import MOST_OCTAVES, from_the_middle
from qcc.ir.text import parse_graph
from qcc.model import Model

IMAGES = [{"x": floats(2, 4, 6, 6) * np.float32(size)} for size in (0.3, 1, 0.5, 0.8, 0.9, 0.7)]

PAIR = """\
graph {for_test=true}
feeds [x]
fetches [y]
usual var {persistable=false}

weight w: float32[8, 4, 1, 1] = uniform(seed=1, low=-1.0, high=1.0)
weight b: float32[8] = uniform(seed=3, low=-0.1, high=0.1)
weight v: float32[3, 8, 1, 1] = uniform(seed=2, low=-1.0, high=1.0)
var x: float32[-1, 4, 6, 6]
var c: float32[-1, 8, 6, 6]
var d: float32[-1, 8, 6, 6]
var e: float32[-1, 8, 6, 6]
var y: float32[-1, 3, 6, 6]

c = conv2d(Input=x, Filter=w) {groups=1}
d = elementwise_add(X=c, Y=b) {axis=1}
e = relu(X=d)
y = conv2d(Input=e, Filter=v) {groups=1}
"""


@pytest.mark.parametrize("left", [1e-12, 1e-20, 1e-36])
def test_channels_that_decay_has_left_do_not_move_the_others(left: float) -> None:
    """Most channels of a layer are nearly zero, as weight decay leaves them where nothing else acts."""
    model = Model(parse_graph(PAIR))
    for name in ("w", "b"):
        value = model.weights[name].copy()
        value[:6] *= np.float32(left)
        model.weights[name] = value
    (wanted,) = model.run(IMAGES[1])
    quantized = qcc.quantize(model, IMAGES)
    (found,) = quantized.run(IMAGES[1])
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    largest = {name: float(quantized.weights[f"{name}@scale"].max()) for name in ("w", "v")}
    assert 2.0**-5 < largest["w"] < 2.0
    assert 0.5 < largest["v"] < 2.0**5


def test_the_middle_is_that_of_channels_that_matter() -> None:
    exponents, known = np.array([0.0, 2.0, 4.0, -90.0, -100.0, -110.0, -120.0]), np.ones(8, bool)
    known[3] = False
    assert from_the_middle(exponents, known).tolist() == [-2, 0, 2, 0, *[2 - MOST_OCTAVES] * 4]
