"""The process in which Paddle Lite's runtime runs one model: it aborts its process on any error.

It is started by `qcc.backends.lite.runtime`, not imported: it needs numpy and paddlelite, and not qcc.

Protocol: a message is a 4-byte little-endian length, a JSON object of that length, and the bytes of the
arrays that the object lists under "arrays" as [name, dtype, shape]. Requests carry "do": "run" or "time".
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from typing import IO, Any

import numpy as np
from paddlelite.lite import MobileConfig, create_paddle_predictor


def send(stream: IO[bytes], header: dict[str, Any], arrays: list[tuple[str, np.ndarray]]) -> None:
    listed = [[name, str(array.dtype), list(array.shape)] for name, array in arrays]
    text = json.dumps({**header, "arrays": listed}).encode()
    stream.write(struct.pack("<I", len(text)) + text)
    for _, array in arrays:
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    prefix = stream.read(4)
    if len(prefix) < 4:
        return None
    header = json.loads(stream.read(struct.unpack("<I", prefix)[0]))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        data = stream.read(count * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return header, arrays


def feed(predictor: Any, arrays: dict[str, np.ndarray]) -> None:
    for position, name in enumerate(predictor.get_input_names()):
        array = np.ascontiguousarray(arrays[name])
        tensor = predictor.get_input(position)
        tensor.from_numpy(array)
        # With numpy 2 the binding copies nothing, and says nothing.
        if tensor.numpy().tobytes() != array.tobytes():
            raise SystemExit(f"Paddle Lite did not take the array for {name!r}; it needs numpy below 2")


def fetch(predictor: Any) -> list[tuple[str, np.ndarray]]:
    names = predictor.get_output_names()
    return [(name, predictor.get_output(position).numpy()) for position, name in enumerate(names)]


def timed_run(predictor: Any) -> float:
    began = time.perf_counter()
    predictor.run()
    return time.perf_counter() - began


def main() -> None:
    # The library prints on stdout; the protocol gets a descriptor of its own.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    config = MobileConfig()
    config.set_model_from_file(sys.argv[1])
    predictor = create_paddle_predictor(config)
    send(out, {"inputs": predictor.get_input_names(), "outputs": predictor.get_output_names()}, [])
    while (request := receive(sys.stdin.buffer)) is not None:
        header, arrays = request
        feed(predictor, arrays)
        if header["do"] == "time":
            for _ in range(header["warm_up"]):
                predictor.run()
            seconds = [timed_run(predictor) for _ in range(header["runs"])]
            send(out, {"seconds": seconds}, [])
        else:
            predictor.run()
            send(out, {}, fetch(predictor))


if __name__ == "__main__":
    main()
