"""A process that stands in for an engine's: it answers, hangs, or never comes to an end, as it is asked."""

from __future__ import annotations

import socket
import sys
import time

from qcc.backends.engines.wire import Closed, receive, send


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    send(connection, {"inputs": []}, {})
    try:
        while True:
            request, _ = receive(connection)
            if request["do"] == "run":
                _loop(request["seconds"])
            elif request["do"] == "hang":
                time.sleep(1000)
            send(connection, {}, {})
    except Closed:
        pass


def _loop(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
