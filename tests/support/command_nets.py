"""Small models in files, with data beside them, for tests of commands."""

from __future__ import annotations

from pathlib import Path

import nets
import numpy as np
from engine_nets import frozen_engine_net

import qcc


def float_with_arrays(folder: Path) -> Path:
    """model/, of three layers, and arrays/ of 6 batches; returns the folder."""
    qcc.save(nets.build(nets.residual_net)["test"], folder / "model", check=False)
    random = np.random.default_rng(0)
    (folder / "arrays").mkdir()
    for number in range(6):
        np.save(folder / f"arrays/{number}.npy", random.standard_normal((1, 3, 12, 12)).astype(np.float32))
    return folder


def frozen_with_data(folder: Path) -> Path:
    """A frozen model of four convolutions, and data.npz for it; returns the folder."""
    model, inputs = frozen_engine_net("squeeze_and_excite")
    qcc.save(model, folder, check=False)
    np.savez(folder / "data.npz", **inputs)
    return folder
