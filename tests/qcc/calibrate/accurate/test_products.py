"""Sums of products, and what a layer reads at its places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import build_model, floats, static

from qcc._paddle import paddle
from qcc.calibrate.accurate.products import Places, Products, matrix, put_matrix
from qcc.passes.channels import Layer, layers

IMAGE = floats(2, 4, 9, 10)


def conv(**options: Any) -> Any:
    return lambda x: static.nn.conv2d(x, 8, bias_attr=False, **options)


LAYERS: dict[str, tuple[np.ndarray, Any]] = {
    "plain": (IMAGE, conv(filter_size=3)),
    "strides": (IMAGE, conv(filter_size=(3, 2), stride=(2, 3), padding=(1, 0))),
    "four paddings": (IMAGE, conv(filter_size=3, padding=[1, 0, 2, 1])),
    "dilations": (IMAGE, conv(filter_size=3, dilation=(2, 1), padding=2)),
    "same": (IMAGE, conv(filter_size=(3, 4), stride=2, padding="SAME")),
    "valid": (IMAGE, conv(filter_size=3, padding="VALID")),
    "groups": (IMAGE, conv(filter_size=3, groups=2, padding=1)),
    "depthwise": (IMAGE, conv(filter_size=3, groups=4, padding=1)),
    "linear": (floats(5, 6), lambda x: paddle.nn.Linear(6, 3, bias_attr=False)(x)),
    "linear over places": (floats(2, 5, 6), lambda x: paddle.nn.Linear(6, 3, bias_attr=False)(x)),
    "turned": (
        floats(5, 6),
        lambda x: paddle.matmul(x, static.create_parameter([3, 6], "float32"), transpose_y=True),
    ),
}


def built(name: str) -> tuple[Layer, np.ndarray, np.ndarray, np.ndarray]:
    """A layer, its input, weight and output."""
    image, build = LAYERS[name]
    model = build_model(build, (image,))
    (layer,) = layers(model.graph)
    (output,) = model.run({"x0": image})
    return layer, image, model.weights[layer.operands.weight.name], output


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_read_makes_what_the_layer_computes(name: str) -> None:
    layer, image, weight, output = built(name)
    (read,) = Places(layer, most=10**6, seed=0).read(image)
    made = np.matmul(read, matrix(layer, weight))
    if not layer.is_matrix:
        output = output.transpose(0, 2, 3, 1)
    found = made.transpose(1, 0, 2).reshape(output.shape)
    np.testing.assert_allclose(found, output, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(put_matrix(layer, weight, matrix(layer, weight)), weight)


def test_few_places_are_the_same_of_both_inputs_and_of_every_run() -> None:
    layer, image, _, _ = built("plain")
    once, again = (Places(layer, most=7, seed=3).read(image, 2 * image) for _ in range(2))
    assert once[0].shape == (1, 7, 36)
    np.testing.assert_array_equal(2 * once[0], once[1])
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("centred", [False, True])
def test_errors_are_those_of_the_outputs(centred: bool) -> None:
    random = np.random.default_rng(0)
    weight, moved = (random.standard_normal((2, 6, 3)).astype(np.float32) for _ in range(2))
    products = Products(weight, with_gram=True)
    off = []
    for _ in range(3):
        wanted = random.standard_normal((2, 50, 6)).astype(np.float32)
        given = wanted + 0.1 * random.standard_normal(wanted.shape).astype(np.float32) + 0.05
        products.add(wanted, given)
        off.append(np.matmul(wanted, weight) - np.matmul(given, weight + moved))
    whole = np.concatenate(off, 1)
    if centred:
        whole -= whole.mean(1, keepdims=True)
    assert products.error(moved, centred=centred) == pytest.approx(np.square(whole).sum(), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1000.0])
def test_inputs_that_do_not_vary_have_no_products_around_their_means(value: float) -> None:
    products = Products(np.ones((1, 144, 4), np.float32), with_gram=True)
    random = np.random.default_rng(0)
    wanted = (value * random.random((1, 1, 144))).astype(np.float32).repeat(300, 1)
    for _ in range(3):
        products.add(wanted, wanted)
    gram, cross, squares = products.around(means=True)
    assert np.linalg.eigvalsh(gram).min() >= 0
    assert np.abs(gram).max() <= 1e-9 * value**2
    assert not cross.any()
    assert not squares.any()
    np.testing.assert_allclose(
        products.around(means=False)[0][0], 900 * np.outer(wanted[0, 0], wanted[0, 0]), 1e-5
    )


def test_a_mean_that_one_image_makes_is_not_believed() -> None:
    weight = np.ones((1, 1, 2), np.float32)
    products = Products(weight, with_gram=False)
    random = np.random.default_rng(0)
    for image in range(16):
        wanted = random.standard_normal((1, 100, 1)).astype(np.float32)
        products.add(wanted, wanted - 0.5 - (100 if image == 3 else 0))
    outlier = products.missing_mean(np.zeros_like(weight))
    assert (np.abs(outlier) < 4).all()
    products = Products(weight, with_gram=False)
    for _ in range(16):
        wanted = random.standard_normal((1, 100, 1)).astype(np.float32)
        products.add(wanted, wanted - 0.5)
    np.testing.assert_allclose(products.missing_mean(np.zeros_like(weight)), 0.5, rtol=1e-4)


def test_an_image_without_places_says_nothing() -> None:
    weight = np.ones((1, 1, 2), np.float32)
    products = Products(weight, with_gram=True)
    nothing = np.zeros((1, 0, 1), np.float32)
    some = np.ones((1, 3, 1), np.float32)
    for wanted, given in ((nothing, nothing), (some, some - 0.5), (nothing, nothing)):
        products.add(wanted, given)
    assert products.count == 3
    np.testing.assert_allclose(products.missing_mean(np.zeros_like(weight)), 0.5)
