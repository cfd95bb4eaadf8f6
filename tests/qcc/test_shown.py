"""Texts of strangers, as they are shown."""

from __future__ import annotations

import pytest

from qcc.shown import counted, markup, metric_value, plain, short_paths


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("conv2d_0.w_0", "conv2d_0.w_0"),
        ("größe 人\n\tx", "größe 人\n\tx"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\x07\x08\x9bc", r"a\rb\x07\x08\x9bc"),
        ("abc\u202edcb\u2066\u200f", r"abc\u202edcb\u2066\u200f"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028end", r"line\u2028end"),
        ("\udc80", r"\udc80"),
    ],
)
def test_plain(text: str, seen: str) -> None:
    assert plain(text) == seen


def test_metrics_may_be_shares_or_small_errors() -> None:
    shown = [metric_value(value) for value in (0.912, 1.0, -0.0, 0.0, -0.00022558, 3e-08, 12.5, 0.0125)]
    assert shown == ["0.9120", "1.0000", "0.0000", "0.0000", "-0.000226", "3e-08", "12.5000", "0.0125"]


def test_counts() -> None:
    assert [counted(number, "batch") for number in (0, 1, 2)] == ["0 batches", "1 batch", "2 batches"]
    assert [counted(number, "epoch") for number in (1, 2)] == ["1 epoch", "2 epochs"]
    assert counted(1, "more op") == "1 more op"
    assert counted(3, "more op") == "3 more ops"
    assert counted(2, "class") == "2 classes"


@pytest.mark.parametrize(
    ("paths", "room", "shown"),
    [
        (["a/b", "c"], 3, ["a/b", "c"]),
        # As much of the end as fits.
        (["/home/of/user/runs/model"], 14, ["…/runs/model"]),
        (["/home/of/user/runs/model"], 5, ["…odel"]),
        # With the folder in which they differ, as far as that is.
        (["/x/one/out/float", "/x/two/out/float"], 15, ["…/one/out/float", "…/two/out/float"]),
        (["/x/one/a/b/float", "/x/two/a/b/float"], 13, ["…/one/…/float", "…/two/…/float"]),
        (["one/long/float", "two/long/float"], 12, ["one/…/float", "two/…/float"]),
        # One that is the end of the other is told by all of it.
        (["long-name/float", "very/long-name/float"], 8, ["long-name/float", "very/…/float"]),
        # The same model in two engines is called the same.
        (["/a/b/c/net", "/a/b/c/net"], 6, ["…/net", "…/net"]),
    ],
)
def test_short_paths(paths: list[str], room: int, shown: list[str]) -> None:
    assert short_paths(paths, room) == shown


def test_markup() -> None:
    assert markup('<script>"\x1b') == r"&lt;script&gt;&quot;\x1b"
