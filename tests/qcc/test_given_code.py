from __future__ import annotations

import pytest

from qcc.errors import ConfigError, DataError, PassError
from qcc.given_code import code_of_users


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RuntimeError("the disk is\n on fire."), "the metric raised RuntimeError: the disk is on fire."),
        (KeyError(), "the metric raised KeyError."),
        (SystemExit(0), "the metric raised SystemExit: 0."),
    ],
)
def test_what_code_of_somebody_else_raises_is_one_sentence(raised: BaseException, told: str) -> None:
    for kind in (DataError, PassError):
        with pytest.raises(kind) as found, code_of_users("the metric", kind):
            raise raised
        assert str(found.value) == told


@pytest.mark.parametrize("raised", [ConfigError("the key is wrong."), KeyboardInterrupt()])
def test_errors_of_qcc_and_interrupts_stay_what_they_are(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as found, code_of_users("the metric"):
        raise raised
    assert found.value is raised
