"""Processes are watched over, and none outlives the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcc.errors import ConfigError, TrainingError
from qcc.train.data.loader import part_of_each
from qcc.train.parallel.environment import Place, place
from qcc.train.parallel.launch import _watch, _Worker, launch, qcc_command

RANK = "import os, sys, time, signal; rank = os.environ['PADDLE_TRAINER_ID']\n"
VARIABLES = ("PADDLE_TRAINERS_NUM", "PADDLE_TRAINER_ID", "PADDLE_TRAINER_ENDPOINTS")


def python(program: str) -> list[str]:
    return [sys.executable, "-c", RANK + program]


def test_all_know_their_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tell = "from qcc.train.parallel.environment import gpu_number, place\n"
    tell += "p = place(); print(p.rank, p.size, len(set(p.endpoints)), gpu_number())"

    assert launch(python(tell), 3, tmp_path / "log") == 0

    assert capfd.readouterr().out == "0 3 3 0\n"
    assert (tmp_path / "log/workerlog.1").read_text() == "1 3 3 1\n"
    assert (tmp_path / "log/workerlog.2").read_text() == "2 3 3 2\n"


def test_what_is_ignored_stays_so(tmp_path: Path) -> None:
    """As SIGINT is by what a script starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        launch(python("print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"), 2, tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "workerlog.1").read_text() == "True\n"


@pytest.mark.parametrize(
    ("death", "message"),
    [
        (
            "sys.exit('out of disk')",
            r'process 1 of 2 ended with exit code 1 saying "out of disk", .* its log is',
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"process 1 of 2 was ended by SIGKILL, .*workerlog\.1\.$"),
    ],
)
def test_a_death_ends_all_and_names_the_log(tmp_path: Path, death: str, message: str) -> None:
    mark = tmp_path / "pid"
    program = f"if rank == '1':\n  time.sleep(0.5)\n  {death}\n"
    program += f"open({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"

    with pytest.raises(TrainingError, match=message):
        launch(python(program), 2, tmp_path)

    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_death_of_the_first_process(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"process 0 of 2 ended with exit code 3, .* stands above"):
        launch(python("sys.exit(3) if rank == '0' else time.sleep(600)"), 2, tmp_path)


def test_one_that_did_not_follow_another_is_named(tmp_path: Path) -> None:
    """Also when all are found dead at once."""
    (tmp_path / "workerlog").write_text("")

    def ended(rank: int, program: str) -> _Worker:
        process = subprocess.Popen([sys.executable, "-c", program])
        process.wait()
        return _Worker(rank, process, tmp_path / "workerlog" if rank else None)

    follower, failed = "raise SystemExit(2)", "raise SystemExit(3)"
    killed = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(TrainingError, match="process 1 of 2 ended with exit code 3"):
        _watch([ended(0, follower), ended(1, failed)])
    with pytest.raises(TrainingError, match="process 2 of 3 was ended by SIGKILL"):
        _watch([ended(0, follower), ended(1, follower), ended(2, killed)])


WAITING = """
from qcc.interrupts import StopRequest
from qcc.train.parallel.watched import stop_with_launcher
stop = StopRequest()
with stop.listening():
    stop_with_launcher()
    open(sys.argv[1] + rank, 'w').close()
    while not stop.requested:
        time.sleep(0.05)
    stop.granted = True
open(sys.argv[1] + rank + 'stopped', 'w').close()
sys.exit(130)
"""
LAUNCHING = """
import sys; from pathlib import Path; from qcc.train.parallel.launch import launch, qcc_command
sys.exit(launch(sys.argv[2:], 2, Path(sys.argv[1])))
"""


def wait_for(*paths: Path) -> None:
    for _ in range(600):
        if all(path.exists() for path in paths):
            return
        time.sleep(0.05)
    raise AssertionError(f"{paths} did not appear")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_stops_all(tmp_path: Path, number: signal.Signals) -> None:
    """Also one that the launcher cannot pass on."""
    prefix = tmp_path / "worker"
    command = [sys.executable, "-c", LAUNCHING, str(tmp_path), *python(WAITING), str(prefix)]
    with subprocess.Popen(command) as process:
        wait_for(tmp_path / "worker0", tmp_path / "worker1")
        process.send_signal(number)
        code = process.wait()

    assert code == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    wait_for(tmp_path / "worker0stopped", tmp_path / "worker1stopped")


def test_alone_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert place() is None


@pytest.mark.parametrize(
    "values", [("2", "2", "a:1,b:1"), ("2", "", "a:1,b:1"), ("2", "0", "a:1"), ("two", "0", "")]
)
def test_variables_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...]) -> None:
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="PADDLE_TRAINERS_NUM"):
        place()


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        ("10.0.0.1:1,127.0.1.1:1", "known to the others as 127.0.1.1, .*--host ADDRESS"),
        ("10.0.0.1:1,10.0.0.2", "'10.0.0.2', which is no HOST:PORT"),
    ],
)
def test_endpoints_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, endpoints: str, message: str) -> None:
    for name, value in zip(VARIABLES, ("2", "1", endpoints), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        place()


def test_the_other_machines() -> None:
    endpoints = ("10.0.0.2:1", "10.0.0.2:2", "10.0.0.1:1", "10.0.0.3:1")
    assert Place(1, 4, endpoints).other_machines() == ["10.0.0.1", "10.0.0.3"]
    assert Place(0, 2, ("127.0.0.1:1", "127.0.0.1:2")).other_machines() == []


def test_parts_of_batches_do_not_overlap() -> None:
    batches = [[4, 1, 7, 2], [0, 3, 5, 6]]

    parts = [part_of_each(batches, part, 2) for part in range(2)]

    assert parts == [[[4, 1], [0, 3]], [[7, 2], [5, 6]]]


def test_what_is_run_is_qcc_as_installed(tmp_path: Path) -> None:
    (tmp_path / "qcc").mkdir()
    (tmp_path / "qcc/__init__.py").write_text("raise RuntimeError('of the current folder')")

    done = subprocess.run(qcc_command(["--version"]), cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("qcc")
