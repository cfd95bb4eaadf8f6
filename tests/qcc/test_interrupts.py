"""Ctrl-C and SIGTERM at moments that are chosen: when a module is looked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nets
import pytest

import qcc
from qcc.interrupts import StopRequest, importing

ROOT = Path(__file__).parents[2]
# The second thread, as numpy and others have them, may take a signal that the first one holds back.
PROGRAM = """
import os, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
class Interrupting:
    def find_spec(self, name, *_):
        if name == {where!r}:
            sys.meta_path.remove(self)
            for _ in range({times}):
                {kill}
sys.meta_path.insert(0, Interrupting())
"""
KILL = "os.kill(os.getpid(), {number})"
RUN = "from qcc.__main__ import main\nsys.argv[0] = 'qcc'\nmain()\n"
NEXT = "next: qcc check MODEL --target lite-arm\n"
IMPORT = """
try:
    import qcc._paddle
except KeyboardInterrupt:
    print("interrupted", "paddle" in sys.modules)
"""


def run(where: str, number: int, body: str, *words: str, times: int = 1) -> tuple[int, str, str]:
    program = PROGRAM.format(where=where, kill=KILL.format(number=int(number)), times=times) + body
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.lstrip("\n")


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("qcc.cli.main", signal.SIGINT),
        ("qcc.cli.inspect", signal.SIGTERM),
        ("paddle", signal.SIGTERM),
        ("paddle.base.core", signal.SIGINT),
        ("paddle.batch", signal.SIGTERM),  # the first import after Paddle has put its own handler in place
        ("qcc.analyze.inspection", signal.SIGINT),
        ("qcc.analyze.inspection", signal.SIGTERM),
    ],
)
def test_the_program_says_that_it_was_interrupted(where: str, number: int, tmp_path: Path) -> None:
    assert run(where, number, RUN, "inspect", str(tmp_path)) == (130, "", "qcc: interrupted\n")


def test_an_interrupt_where_text_is_executed(tmp_path: Path) -> None:
    """As where dataclasses are made: Python ends a module that is run as a program by SIGINT then."""
    kill = f"exec({KILL.format(number=int(signal.SIGINT))!r})"
    program = PROGRAM.format(where="qcc.analyze.inspection", kill=kill, times=1)
    (tmp_path / "program.py").write_text(program + RUN)
    command = [sys.executable, "-m", "program", "inspect", "MODEL"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nqcc: interrupted\n")


def test_next_to_nothing_is_imported_before_signals_are_answered() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import os, signal, zlib; before = set(sys.modules)\n"
        "import qcc.starting; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["__future__", "qcc", "qcc.starting"]


@pytest.mark.parametrize("where", ["atexit", "next"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_has_done_all_says_so(number: int, where: str, tmp_path: Path) -> None:
    """The signal comes when its last line is printed, or when Python ends."""
    path = tmp_path / "MODEL"
    qcc.save(nets.build(nets.residual_net)["test"], path, check=False)
    kill = f"os.kill(os.getpid(), {int(number)})"
    setup = {
        "atexit": f"import atexit, os, sys; atexit.register(lambda: {kill})\n",
        "next": "import os, sys, qcc.cli.next as n; echo = n.echo\n"
        f"n.echo = lambda *said, **how: ({kill}, echo(*said, **how))\n",
    }
    done = subprocess.run(
        [sys.executable, "-c", setup[where] + RUN, "inspect", str(path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, f"next: qcc check {path} --target lite-arm\n")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("words", [["--version"], ["inspect", "MODEL"]], ids=lambda words: words[0])
def test_a_signal_at_any_moment(words: list[str], number: int, tmp_path: Path) -> None:
    """Counted from when Python, which answers by a traceback, has come to qcc's own code."""
    qcc.save(nets.build(nets.residual_net)["test"], tmp_path / "MODEL", check=False)
    found = set()
    for moment in (0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1):
        process = subprocess.Popen(
            [sys.executable, "-m", "qcc", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        while not _catches_sigterm(process.pid):
            time.sleep(0.002)
        time.sleep(moment)
        process.send_signal(number)
        _, told = process.communicate()
        found.add((process.returncode, told))
    assert (130, "qcc: interrupted\n") in found
    done = {(code, told) for code, told in found if told in ("", NEXT)}
    assert {code for code, _ in done} <= {0}
    assert found - done <= {(130, "qcc: interrupted\n"), (130, "\nqcc: interrupted\n")}


def _catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_importing_paddle_is_interrupted(tmp_path: Path) -> None:
    """One signal lets the import end; a second one may end it, and is no missing Paddle."""
    assert run("paddle.base.core", signal.SIGINT, IMPORT) == (0, "interrupted True\n", "")
    code, printed, _ = run("paddle.base.core", signal.SIGINT, IMPORT, times=2)
    assert (code, printed.split()[0]) == (0, "interrupted")


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopRequest()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        stop.granted = True
    assert stop.requested
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("handlers")
def test_a_request_that_comes_too_late_is_not_lost() -> None:
    stop = StopRequest()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)


def _fails() -> None:
    with importing():
        os.kill(os.getpid(), signal.SIGINT)
        raise ImportError("initialization failed")


@pytest.mark.usefixtures("handlers")
def test_what_an_interrupted_import_says_is_not_believed() -> None:
    with pytest.raises(KeyboardInterrupt):
        _fails()
