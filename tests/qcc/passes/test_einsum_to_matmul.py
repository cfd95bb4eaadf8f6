"""Einstein sums as products: the same numbers as numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import build_model, floats, static

import qcc
from qcc._paddle import paddle
from qcc.model import Model

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6, "f": 3}
PRODUCTS = [
    "abc,cd->abd",  # a linear layer
    "abc,dc->abd",
    "cd,abc->abd",
    "dc,abc->bad",
    "abc,adc->abd",  # scores of attention
    "abd,adc->abc",
    "bac,bdc->bad",
    "abcd,aecd->abe",  # over two
    "abc,acde->abde",  # queries and a map
    "abcd,abed->abce",
    "acbd,aebd->abce",  # heads behind
    "abce,aebd->acbd",
    "ab,bc->ac",
    "ba,cb->ca",
    "ab,b->a",
    "a,ab->b",
    "abc,abc->ab",
    "abc,abc->a",
    "abc,cdef->abdef",
    "abc,cd",  # what the result is, is left open
    " ab , bc -> ac ",
]
OTHERS = ["ab,cd->abcd", "ab,ab->ab", "ab,bc->a", "abc->ca"]


def model_of(equation: str, *, opened: str = "") -> tuple[Model, list[np.ndarray]]:
    """`opened`: the letters whose sizes are left open."""
    words = equation.replace(" ", "").partition("->")[0].split(",")
    arrays = [floats(*(SIZES[letter] for letter in word)) for word in words]

    def build(*variables: Any) -> Any:
        for word, var in zip(words, variables, strict=True):
            var.desc.set_shape([-1 if letter in opened else SIZES[letter] for letter in word])
        return paddle.einsum(equation, *variables)

    return build_model(build, arrays, batch=-1), arrays


def product(model: Model) -> Model:
    return qcc.PassManager.parse("einsum-to-matmul").run(model)


@pytest.mark.parametrize("equation", PRODUCTS)
@pytest.mark.parametrize("opened", ["", "a", "ab"])
def test_gives_what_numpy_gives(equation: str, opened: str) -> None:
    model, arrays = model_of(equation, opened=opened)
    written = product(model)
    types = {op.type for op in written.graph.ops}
    if not opened:
        assert "einsum" not in types
    feeds = {f"x{place}": array for place, array in enumerate(arrays)}
    wanted = np.einsum(equation.replace(" ", ""), *arrays)
    for each in (model, written):
        np.testing.assert_allclose(each.run(feeds)[0], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opened", ["a", "ab"])
def test_attention_of_any_size(opened: str) -> None:
    for equation in ("abc,adc->abd", "abc,cd->abd", "acbd,aebd->abce"):
        assert "einsum" not in {op.type for op in product(model_of(equation, opened=opened)[0]).graph.ops}


@pytest.mark.parametrize("equation", OTHERS)
def test_what_is_no_product_of_two_matrices_is_left(equation: str) -> None:
    model, _ = model_of(equation)
    assert [op.type for op in product(model).graph.ops] == [op.type for op in model.graph.ops]


def test_a_linear_layer_is_quantized() -> None:
    x = floats(2, 3, 16)

    def build(x: Any) -> Any:
        weights = [static.create_parameter(shape, "float32") for shape in ([16, 8], [4, 8])]
        return paddle.einsum("ed,bnd->bne", weights[1], paddle.einsum("bnd,de->bne", x, weights[0]))

    quantized = qcc.quantize(build_model(build, [x]), [{"x0": x}])
    assert [op.type for op in quantized.graph.ops].count("matmul_v2") == 2
    assert qcc.quantization.state(quantized.graph) == "frozen"
