"""Processes of engines that hang, never come to an end, or die."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcc.backends.engines import patience
from qcc.backends.engines.process import Process, ending, start
from qcc.backends.engines.runtime import Runtime
from qcc.backends.engines.wire import Closed, send
from qcc.errors import EngineError


class Engine(Runtime):
    engine = "The engine"


@pytest.fixture
def process() -> Iterator[Process]:
    process = start("engine_worker")
    yield process
    process.close()


@pytest.fixture
def loaded(process: Process) -> Engine:
    return Engine(Path("net.onnx"), process)


def wait_less(monkeypatch: pytest.MonkeyPatch, *, idle: float = math.inf, busy: float = math.inf) -> None:
    """From now on: what starts on a busy machine takes its time."""
    for name, value in (("LOOK", 0.05), ("IDLE", idle), ("BUSY", busy)):
        monkeypatch.setattr(patience, name, value)


def there(process: Process) -> bool:
    return Path(f"/proc/{process._child.pid}").exists()


def ask(runtime: Runtime, do: str, **header: float) -> None:
    send(runtime._process.connection, {"do": do, **header}, {})
    runtime._receive()


def test_one_that_does_nothing_is_ended(
    loaded: Engine, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_less(monkeypatch, idle=0.5)
    with pytest.raises(
        EngineError,
        match=r"^The engine hung and was ended after .* minutes without any work on net.onnx: it said",
    ):
        ask(loaded, "hang")
    loaded.close()
    assert not there(process)


def test_one_that_works_is_waited_for(loaded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_less(monkeypatch, idle=2)
    ask(loaded, "run", seconds=3)


def test_one_that_works_without_an_end_is_ended(loaded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_less(monkeypatch, busy=0.5)
    with pytest.raises(EngineError, match=r"hung and was ended after .* hours of work without an end on net"):
        ask(loaded, "run", seconds=1000)


def test_each_of_several_runs_may_take_as_long(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    process.receive()
    wait_less(monkeypatch, busy=0.1)
    send(process.connection, {"do": "run", "seconds": 1.0}, {})
    process.receive(runs=1000)


def test_one_at_work_is_ended_at_once(process: Process) -> None:
    """Ctrl-C, which is for this process alone, is no wait for a result that nobody wants."""
    process.receive()
    send(process.connection, {"do": "run", "seconds": 1000}, {})
    began = time.monotonic()
    process.close()
    assert time.monotonic() - began < 5
    assert not there(process)


def test_an_interruption_while_it_loads_leaves_no_process() -> None:
    process = start("engine_worker")
    os.kill(process._child.pid, signal.SIGSTOP)
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        Engine(Path("net.onnx"), process)
    assert not there(process)


def test_a_death_tells_the_last_words(process: Process) -> None:
    process.receive()
    os.kill(process._child.pid, signal.SIGRTMIN + 1)
    with pytest.raises(Closed):
        process.receive()
    assert process.died("on net.onnx") == "was ended by signal 35 on net.onnx: it said nothing"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with code 0"),
        (3, "ended with code 3"),
        (-9, "was ended by SIGKILL"),
        (-34, "was ended by SIGRTMIN"),
        (-35, "was ended by signal 35"),
        (-63, "was ended by signal 63"),
        (-64, "was ended by SIGRTMAX"),
    ],
)
def test_every_signal_has_words(code: int, words: str) -> None:
    assert ending(code) == words
