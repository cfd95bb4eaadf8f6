"""What processes tell each other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qcc.errors import TrainingError
from qcc.train.parallel import group
from qcc.train.parallel.environment import Place
from qcc.train.parallel.group import ALONE, Processes
from qcc.train.parallel.launch import launch


def test_alone() -> None:
    assert ALONE.mean([1.0, 2.0]) == [1.0, 2.0]
    assert ALONE.share(b"data") == b"data"


def test_a_paddle_without_collectives_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Paddle 3 is, for programs of the old IR."""
    monkeypatch.setattr(group, "place", lambda: Place(0, 2, ("127.0.0.1:1", "127.0.0.1:2")))
    monkeypatch.setattr(group.OpProtoHolder.instance(), "op_proto_map", {})
    for begin in (group.join, group.check_together):
        with pytest.raises(TrainingError, match=r"processes cannot train together: .* \(--nproc 1\)"):
            begin()


@pytest.mark.parametrize(
    "words", ["std::exception", "[/paddle/third_party/gloo/gloo/transport/tcp/pair.cc:587] TIMEOUT self_rank"]
)
def test_what_gloo_says_when_a_process_has_gone(words: str) -> None:
    processes = object.__new__(Processes)
    processes.rank, processes.size, processes._other_machines = 1, 2, ["10.0.0.1"]
    with (
        pytest.raises(TrainingError, match=r"process 1 of 2 cannot go on.*10\.0\.0\.1"),
        processes.exchange(),
    ):
        raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="of another kind"), processes.exchange():
        raise RuntimeError("of another kind")


PROGRAM = """
import os
from qcc.errors import TrainingError
from qcc.train.parallel.group import join
group = join()
assert group.mean([group.rank, 0.1]) == [0.5, 0.1], group.mean([group.rank, 0.1])
assert group.share(b"of process %d" % group.rank) == b"of process 0"
assert group.share(b"") == b""
if group.rank == 1:
    os._exit(0)
try:
    group.mean([1.0])
except TrainingError as error:
    assert "process 0 of 2 cannot go on, since another one has ended or" in str(error)
else:
    raise AssertionError
"""


@pytest.mark.slow
def test_together_until_one_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert launch([sys.executable, "-c", PROGRAM], 2, tmp_path / "log") == 0

    assert [path.name for path in tmp_path.iterdir()] == ["log"]  # Paddle would leave an http.log
