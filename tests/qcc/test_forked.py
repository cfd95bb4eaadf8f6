"""The copy that the program `qcc` leaves when it imports Paddle, and that runs models for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from saved_models import two_feeds

# As the program does it, with a file open that the copy must not hold.
_START = """
import os, signal, sys
from qcc.forked import want_copy
want_copy()
opened = open(sys.argv[1])
import qcc
from qcc import forked
from qcc._paddle import paddle
copy = forked._copy.pid
"""


def ran(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", _START + code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_copy_serves_and_holds_nothing_of_the_original(tmp_path: Path) -> None:
    live = two_feeds()
    live.save(tmp_path / "net")
    told = ran(
        """
from qcc.backends.engines import paddle as engine
engine.PaddleProcess()
open_files = [os.readlink(f"/proc/{copy}/fd/{one}") for one in os.listdir(f"/proc/{copy}/fd")]
assert os.path.realpath(sys.argv[1]) not in open_files, open_files
os.kill(copy, signal.SIGINT)  # as Ctrl-C in a terminal, which the original answers
process = engine.PaddleProcess()
print(*process.ask("open", program=sys.argv[2], params=sys.argv[3], engine=None)[0]["fetches"])
parent = open(f"/proc/{process._child}/stat").read().rsplit(")")[1].split()[1]
assert int(parent) == copy, (parent, copy)
os.kill(copy, signal.SIGKILL)
try:
    engine.PaddleProcess()
except qcc.errors.PaddleError as error:
    print(error)
""",
        __file__,
        *(str(tmp_path / name) for name in ("net.pdmodel", "net.pdiparams")),
    )
    fetches, error = told.splitlines()
    assert len(fetches.split()) == len(live.fetches)
    assert "was ended by SIGKILL" in error


def test_a_copy_that_nobody_needed_ends_with_the_original() -> None:
    number = ran("print(copy)", __file__)
    assert not Path("/proc", number).exists()


def test_a_library_leaves_none() -> None:
    code = "import qcc._paddle, qcc.forked; print(qcc.forked.take_copy())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
