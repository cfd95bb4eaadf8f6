"""Quantizes a model by NNCF, in an environment of its own: `python bench/ptq_nncf.py MODEL DATA OUT`.

MODEL is a `.pdmodel` or `.onnx`, DATA an .npz whose arrays are called `NUMBER FEED`, OUT the `.xml` to
write. All options of NNCF are its defaults. Prints what the call took, as JSON.
"""

from __future__ import annotations

import json
import sys

import nncf
import numpy as np
import openvino
from taken import measured


def main() -> None:
    path, data, out = sys.argv[1:]
    batches: dict[int, dict[str, np.ndarray]] = {}
    for key, array in np.load(data).items():
        number, _, feed = key.partition(" ")
        batches.setdefault(int(number), {})[feed] = array
    model = openvino.Core().read_model(path)
    with measured() as taken:
        quantized = nncf.quantize(model, nncf.Dataset([batches[number] for number in sorted(batches)]))
    openvino.save_model(quantized, out)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
