"""The models of single operators, and what was seen of them on Paddle Lite's ARM kernels."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from lite_arm import unguarded
from lite_case import Case
from lite_ops import CASES
from lite_shapes import SHAPES
from lite_variants import VARIANTS
from seen_on_arm import NOT_RUN, SEEN

from qcc.backends.lite.export import lower
from qcc.backends.lite.file import write_naive_buffer
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.lite.verifier import complaints_about
from qcc.errors import PassError
from qcc.targets.lite_arm import arm_table

ALL: dict[str, Case] = {**CASES, **VARIANTS, **SHAPES}
WRONG = {name: fault for name, fault in SEEN.items() if fault != "right"}
REFUSED = ("grid-size", "negative-to-uint8")


def test_every_case_is_marked() -> None:
    assert {*SEEN, *NOT_RUN} == set(ALL)
    assert not set(SEEN) & set(NOT_RUN)
    assert (len(SEEN), len(WRONG)) == (384, 17)
    assert Counter(WRONG.values()) == {
        "reduction": 6,
        "grid-size": 5,
        "adaptive-pool": 1,
        "affine-channel-layout": 1,
        "depthwise-hard-swish": 1,
        "negative-to-uint8": 1,
        "sign": 1,
        "softplus-threshold": 1,
    }


@pytest.mark.parametrize("name", WRONG)
def test_what_was_wrong_is_written_otherwise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, fault = ALL[name].model(), arm_table().fault(WRONG[name])
    before = complaints_about(unguarded(model, tmp_path / "a.nb", monkeypatch))
    assert before
    assert all(fault.what in complaint for complaint in before)
    if fault.when in REFUSED:
        with pytest.raises(PassError, match="has no kernel on arm that computes these ops"):
            lower(model, "arm")
    else:
        assert complaints_about(to_naive_buffer(lower(model, "arm").graph)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SEEN if name not in WRONG])
def test_what_was_right_is_written_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte: no rule touches what has no fault."""
    model = ALL[name].model()
    before = io.BytesIO()
    write_naive_buffer(unguarded(model, tmp_path / "a.nb", monkeypatch), before)
    after = io.BytesIO()
    write_naive_buffer(to_naive_buffer(lower(model, "arm").graph), after)
    assert before.getvalue() == after.getvalue()
