"""What a target will do with a model, told beforehand."""

from __future__ import annotations

import pytest
from lite_case import F, build_model, floats

from qcc.backends.deploy.check import check
from qcc.errors import TargetError
from qcc.targets.table import find_target


def test_of_a_model_with_nothing_to_quantize_it_is_said_what_quantize_says() -> None:
    model = build_model(F.relu, (floats(2, 3),))

    with pytest.raises(TargetError, match=r"paddle-x86: the model has nothing to quantize: .* no op"):
        check(model, find_target("paddle-x86"))
