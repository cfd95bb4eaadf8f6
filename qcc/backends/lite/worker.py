"""The process in which Paddle Lite's runtime runs one model: it aborts its process on any error.

It is started by `qcc.backends.lite.runtime`, and must not hold Paddle, whose libraries do not go together
with those of Paddle Lite. Requests carry "do": "run" or "time".
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import numpy as np
from paddlelite.lite import MobileConfig, create_paddle_predictor

from qcc.backends.engines.timing import timed
from qcc.backends.engines.wire import Arrays, Closed, receive, send


def load(path: str) -> Any:
    config = MobileConfig()
    config.set_model_from_file(path)
    return create_paddle_predictor(config)


def feed(predictor: Any, arrays: Arrays) -> None:
    for position, name in enumerate(predictor.get_input_names()):
        array = np.ascontiguousarray(arrays[name])
        if array.dtype == bool:
            array = array.view(np.int8)  # the same bytes; the binding turns others into true
        tensor = predictor.get_input(position)
        tensor.from_numpy(array)
        # With numpy 2 the binding copies nothing, and says nothing.
        if tensor.numpy().tobytes() != array.tobytes():
            raise SystemExit(f"Paddle Lite did not take the array for {name!r}; it needs numpy below 2")


def fetch(predictor: Any) -> Arrays:
    """By position, since a model may give a variable twice."""
    count = len(predictor.get_output_names())
    return {str(position): values(predictor.get_output(position)) for position in range(count)}


def values(tensor: Any) -> np.ndarray:
    found = tensor.numpy()
    if found.dtype == bool:
        # The binding takes booleans for 0 bytes wide, so that all of its array are the first one.
        return np.array(tensor.int8_data(), np.int8).view(bool).reshape(found.shape)
    return found


def sizes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """All but the batch."""
    return {name: array.shape[1:] for name, array in arrays.items()}


def main() -> None:
    connection, path, changing = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3] == "open"
    predictor, seen = load(path), None
    send(connection, {"inputs": predictor.get_input_names(), "outputs": predictor.get_output_names()}, {})
    try:
        while True:
            header, arrays = receive(connection)
            if not changing and seen not in (None, sizes(arrays)):
                predictor = load(path)
            seen = sizes(arrays)
            feed(predictor, arrays)
            if header["do"] == "time":
                send(connection, timed(predictor.run, header["warm_up"], header["runs"]), {})
            else:
                predictor.run()
                send(connection, {}, fetch(predictor))
    except Closed:
        pass
