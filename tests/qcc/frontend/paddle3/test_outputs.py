"""What is converted computes under Paddle 2.6 what Paddle 3 computes: bit for bit on the kind of processor
that the values were stored on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from paddle3_cases import STORED_KERNELS, case, cases, check_output

import qcc

# Kernels of 3.3.1 that round otherwise, or ops that 2.6 composes: how far they may be off, of the largest.
ROUNDING = {
    "baddbmm": 3e-7,  # 3.3.1 adds within the product of matrices
    "group_norm": 3e-7,
    "linspace": 3e-7,
    "lp_pool": 3e-7,  # a sum is an average times a number
    "lp_pool_padded": 3e-7,
    "reduce_as": 3e-7,  # sums in another order
    "svdvals": 3e-7,
    "swiglu": 3e-7,  # silu and product in one kernel
    "swiglu_two": 3e-7,
}


def check(group: str, name: str, folder: Path) -> None:
    stored = case(group, name)
    model = stored.load(folder)
    found = model.run(stored.inputs)
    assert len(found) == len(stored.outputs)
    for array, wanted in zip(found, stored.outputs, strict=True):
        check_output(np.asarray(array), wanted, ROUNDING.get(name, 0.0))


@pytest.mark.parametrize("name", sorted(cases("networks")))
def test_networks(name: str, tmp_path: Path) -> None:
    check("networks", name, tmp_path)


@pytest.mark.parametrize("name", sorted(cases("networks-3.0")))
def test_networks_of_paddle_3_0(name: str, tmp_path: Path) -> None:
    """PIR version 1, compared with what Paddle 3.0.0 computes."""
    assert case("networks-3.0", name).program["base_code"]["version"] == 1
    check("networks-3.0", name, tmp_path)


@pytest.mark.parametrize("name", sorted(cases("functions")))
def test_functions(name: str, tmp_path: Path) -> None:
    check("functions", name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(cases("zoo")))
def test_the_networks_of_others(name: str, tmp_path: Path) -> None:
    if name == "PP-YOLOE+ as trained" and not STORED_KERNELS:
        pytest.skip("its rows of equal scores are stored in the order of processors without AVX-512")
    check("zoo", name, tmp_path)


def test_branches_that_parameters_decide_leave_one_block(tmp_path: Path) -> None:
    """PP-YOLOE+ saved without `convert_to_deploy` asks `if self.alpha` in each block of its backbone."""
    stored = case("zoo", "PP-YOLOE+ as trained")
    assert '"1.if"' in json.dumps(stored.program)
    assert not stored.load(tmp_path).graph.shell.blocks


@pytest.mark.slow
@pytest.mark.lite
@pytest.mark.parametrize("name", ["PP-LiteSeg", "PicoDet", "PP-YOLOE+"])
def test_lite_runs_the_networks_of_others(name: str, tmp_path: Path) -> None:
    """For x86 the file is run and compared when it is saved."""
    stored = case("zoo", name)
    saved = qcc.save(stored.load(tmp_path), tmp_path / "x.nb", target="lite", form="x86", check=stored.inputs)
    assert not saved.warnings, saved.warnings
