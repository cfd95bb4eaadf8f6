"""Runs a saved model in OpenVINO; runs in the zoo's environment.

Usage: python openvino_worker.py MODEL.pdmodel INPUTS.npz OUTPUTS.npz

Writes the outputs, and prints as JSON how many layers of each type ran in int8.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import numpy as np
import openvino

LAYERS = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}


def main(model: str, inputs: str, outputs: str) -> None:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_NUM_THREADS": 1})
    with np.load(inputs) as arrays:
        named = {port.get_any_name(): arrays[port.get_any_name()] for port in compiled.inputs}
    found = compiled(named)
    np.savez(outputs, *[found[port] for port in compiled.outputs])
    kinds: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        kind = info["layerType"].astype(str)
        if kind in LAYERS and info["runtimePrecision"].astype(str) in ("u8", "i8"):
            kinds[kind] += 1
    print(json.dumps(kinds))


if __name__ == "__main__":
    main(*sys.argv[1:])
