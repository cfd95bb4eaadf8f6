"""Programs of Paddle 2 that Paddle 3 translates and qcc reads back compute what they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_ops import CASES
from saved_models import MAJOR

import qcc
from qcc._paddle import core, paddle

if MAJOR < 3:
    pytest.skip("only Paddle 3 translates programs", allow_module_level=True)


_NOT_TRANSLATED = ("multiclass_nms",)  # Paddle 3 knows the later ones


@pytest.mark.parametrize("name", [name for name in CASES if name not in _NOT_TRANSLATED])
def test_what_is_translated_comes_back(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = case.model()
    qcc.save(model, tmp_path, model_filename="inference.pdmodel", check=case.feed())
    path = tmp_path / "inference.pdmodel"
    program = paddle.pir.translate_to_pir(core.ProgramDesc(path.read_bytes()))
    core.serialize_pir_program(program, str(tmp_path / "inference.json"), True, False, True)
    path.unlink()
    found = qcc.load(tmp_path).run(case.feed())
    for left, right in zip(found, model.run(case.feed()), strict=True):
        np.testing.assert_array_equal(left, right)
