"""What is told of files, to whom."""

from __future__ import annotations

from qcc.backends.report import PADDLE_INFERENCE, Check, Saved


def test_who_deploys_elsewhere_hears_nothing_of_paddle_s_own_engines() -> None:
    of_paddle = Check(f"{PADDLE_INFERENCE}, oneDNN", "is wrong", good=False)
    other = Check("Paddle Lite's kernels", "may be wrong", good=False)
    saved = Saved("qdq", (), (Check("read back", "the same"), of_paddle, other))
    for target in (None, "paddle-x86"):
        assert saved.warnings_for(target) == (of_paddle, other)
    for target in ("lite-arm", "onnxruntime"):
        assert saved.warnings_for(target) == (other,)
