"""Texts of strangers, as they are shown."""

from __future__ import annotations

import pytest

from qcc.shown import markup, plain


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


def test_markup() -> None:
    assert markup('<script>"\x1b') == r"&lt;script&gt;&quot;\x1b"
