"""Models in engines, run on what a metric gives them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from qcc.backends.engines.wire import receive, send
from qcc.errors import GraphError
from qcc.measure.loaded import Loaded


class Echo:
    """An engine that gives what it is fed with."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(inputs.values())


def test_elements_of_another_type_are_refused() -> None:
    """As `qcc.Model` refuses them; engines read the bytes of images of uint8 as if they were floats."""
    running: Any = Echo()
    model = Loaded(("x",), running, {"x": np.dtype(np.float32)})
    image = np.ones((1, 3), np.uint8)
    with pytest.raises(GraphError, match=r"'x' is uint8, .* give it `.astype\('float32'\)`"):
        model.run({"x": image})
    assert model.run({"x": image.astype(np.float32)})[0].sum() == 3


def test_bytes_in_another_order_arrive_as_what_they_say() -> None:
    here, there = socket.socketpair()
    with here, there:
        send(here, {}, {"x": np.arange(6, dtype=">f4").reshape(2, 3), "y": np.array(5, ">i8")})
        found = receive(there)[1]
    assert [array.dtype.isnative for array in found.values()] == [True, True]
    np.testing.assert_array_equal(found["x"], np.arange(6).reshape(2, 3))
    assert found["y"] == 5
