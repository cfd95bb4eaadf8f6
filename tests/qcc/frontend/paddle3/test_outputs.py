"""What is converted computes under Paddle 2.6 what Paddle 3.3.1 computes, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paddle3_cases import case, cases


def check(group: str, name: str, folder: Path) -> None:
    stored = case(group, name)
    model = stored.load(folder)
    found = model.run(stored.inputs)
    assert len(found) == len(stored.outputs)
    for index, (array, wanted) in enumerate(zip(found, stored.outputs, strict=True)):
        array = np.asarray(array)
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape), index
        np.testing.assert_array_equal(array, wanted, f"output {index}")


@pytest.mark.parametrize("name", sorted(cases("networks")))
def test_networks(name: str, tmp_path: Path) -> None:
    check("networks", name, tmp_path)


@pytest.mark.parametrize("name", sorted(cases("functions")))
def test_functions(name: str, tmp_path: Path) -> None:
    check("functions", name, tmp_path)
