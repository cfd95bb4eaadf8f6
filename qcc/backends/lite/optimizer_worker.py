"""The process in which Paddle Lite's own optimizer converts one model: it aborts its process on any error.

It is started by `qcc.backends.lite.cross_check`, with program, parameters, output without its suffix and
processor, and sends an empty message when the file is there.
"""

from __future__ import annotations

import socket
import sys

from paddlelite.lite import Opt

from qcc.backends.engines.wire import send


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    program, params, output, arch = sys.argv[2:]
    optimizer = Opt()
    optimizer.set_model_file(program)
    optimizer.set_param_file(params)
    optimizer.set_model_type("naive_buffer")
    optimizer.set_valid_places(arch)
    optimizer.set_optimize_out(output)
    optimizer.run()
    send(connection, {}, {})
