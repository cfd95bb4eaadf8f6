"""Layers as models: what is traced, named, brought back and refused."""

from __future__ import annotations

from collections import defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from saved_models import MAJOR

import qcc
from qcc._paddle import dygraph_mode, paddle
from qcc.errors import GraphError
from qcc.frontend.layer import like_returned, trace

nn = paddle.nn
SPEC = [paddle.static.InputSpec([None, 1, 8, 8])]
LABEL = [paddle.static.InputSpec([None, 1], "int64", "label")]
ANY_SIZE = paddle.static.InputSpec([None, 3, None, None])
IMAGES = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)


class Net(nn.Layer):  # type: ignore[misc]
    """A convolution with a norm, a dropout, a buffer and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2D(1, 4, 3), nn.BatchNorm2D(4), nn.Hardswish())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)
        self.register_buffer("shift", paddle.full([4], 0.5))

    def forward(self, image):  # type: ignore[no-untyped-def]
        pooled = nn.functional.adaptive_avg_pool2d(self.features(image), 1).flatten(1)
        return self.fc(self.drop(pooled) + self.shift)


class Looking(nn.Layer):  # type: ignore[misc]
    """Asks for numbers that are known only when it runs."""

    def forward(self, image):  # type: ignore[no-untyped-def]
        return image * np.array(image).mean()


class Two(nn.Layer):  # type: ignore[misc]
    def forward(self, image):  # type: ignore[no-untyped-def]
        return image * 2, 3


Pair = namedtuple("Pair", "scores boxes")


class Returning(nn.Layer):  # type: ignore[misc]
    def __init__(self, build: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.build = build

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.build(image * 2, image + 1)


@pytest.fixture(params=[True, False], ids=["dygraph", "static"])
def mode(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Paddle's mode, which has to be the same afterwards."""
    if request.param:
        paddle.disable_static()
    yield request.param
    assert paddle.in_dynamic_mode() == request.param
    paddle.enable_static()


def made(kind: type = Net) -> nn.Layer:
    with dygraph_mode():
        return kind()


def computed(layer: nn.Layer) -> np.ndarray:
    with dygraph_mode():
        layer.eval()
        return np.asarray(layer(paddle.to_tensor(IMAGES)))


def test_a_layer_becomes_a_test_graph_with_its_own_names(mode: bool) -> None:
    layer = made()
    layer.features.eval()
    model = qcc.from_layer(layer, SPEC)
    assert (layer.training, layer.features.training, layer.drop.training) == (True, False, True)
    assert model.feeds == ("image",)
    assert model.graph.for_test
    assert set(model.weights) == set(layer.state_dict())
    np.testing.assert_array_equal(model.run({"image": IMAGES})[0], computed(layer))
    assert "batch_norm" in {op.type for op in model.graph.ops}


def test_names_do_not_depend_on_other_layers() -> None:
    models = [qcc.from_layer(made(), SPEC) for _ in range(2)]
    texts = [[str(op) for op in model.graph.ops] for model in models]
    assert texts[0] == texts[1]


def test_with_a_loss_it_becomes_a_training_graph(mode: bool) -> None:
    model = qcc.from_layer(made(), SPEC, loss=nn.CrossEntropyLoss(), label_spec=LABEL)
    assert model.feeds == ("image", "label")
    assert not model.graph.for_test
    assert len(model.fetches) == 2
    assert model.graph.var(model.fetches[0]).shape == ()
    assert not any(
        op.attr("is_test", False) for op in model.graph.ops if op.type in ("batch_norm", "dropout")
    )


def test_weights_come_back(mode: bool) -> None:
    source, target = made(), made()
    weights = qcc.from_layer(source, SPEC).weights
    assert not np.array_equal(computed(source), computed(target))
    qcc.into_layer(weights, target)
    np.testing.assert_array_equal(computed(source), computed(target))
    before = computed(target)
    other = {**weights, "fc.weight": np.zeros((5, 3), np.float32), "fc.bias": np.zeros(3, np.float32)}
    with pytest.raises(GraphError, match=r"'fc.weight' are float32\[5, 3\], and .* are float32\[4, 3\]"):
        qcc.into_layer(other, target)
    other = {**weights, "fc.weight": np.zeros((4, 3))}
    with pytest.raises(GraphError, match=r"'fc.weight' are float64\[4, 3\], and .* are float32\[4, 3\]"):
        qcc.into_layer(other, target)
    with pytest.raises(GraphError, match="weights by name are wanted, and this is a NoneType"):
        qcc.into_layer(None, target)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="there are no weights 'shift'"):
        qcc.into_layer({name: value for name, value in weights.items() if name != "shift"}, target)
    np.testing.assert_array_equal(before, computed(target))


class Tied(nn.Layer):  # type: ignore[misc]
    """A parameter under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(8, 8), nn.Linear(8, 8)
        self.back.weight = self.there.weight

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.back(self.there(image))


def test_a_weight_with_two_names_comes_back(mode: bool) -> None:
    source, target = made(Tied), made(Tied)
    weights = qcc.from_layer(source, SPEC).weights
    assert "back.weight" not in weights
    qcc.into_layer(weights, target)
    np.testing.assert_array_equal(computed(source), computed(target))
    before = computed(target)
    both = {**weights, "back.weight": weights["there.weight"] + 1}
    with pytest.raises(
        GraphError, match=r"'there.weight' and 'back.weight' differ, and are one in the layer"
    ):
        qcc.into_layer(both, target)
    ragged: Any = {**weights, "there.weight": [[1], [1, 2]]}
    with pytest.raises(
        GraphError, match=r"the weights 'there.weight' are no array: setting an array element"
    ):
        qcc.into_layer(ragged, target)
    np.testing.assert_array_equal(computed(target), before)
    qcc.into_layer({**weights, "back.weight": weights["there.weight"]}, target)


def test_what_cannot_be_traced_is_told(mode: bool) -> None:
    with pytest.raises(GraphError, match=r"^Looking cannot be traced: .*test_layer.py, line \d+: "):
        qcc.from_layer(made(Looking), SPEC)
    with pytest.raises(GraphError, match="Two returns a int, where everything has to be a tensor"):
        qcc.from_layer(made(Two), SPEC)
    with pytest.raises(GraphError, match="the loss has to be one number, such as a mean, and it is "):
        qcc.from_layer(made(), SPEC, loss=nn.CrossEntropyLoss(reduction="none"), label_spec=LABEL)
    pairs = [paddle.static.InputSpec([None, None], "float32", "pairs")]  # as many as -1 times -1
    with pytest.raises(GraphError, match=r"the loss has to be one number, .* it is \[-1, -1\]"):
        qcc.from_layer(made(), SPEC, loss=lambda scores, pairs: pairs * 2, label_spec=pairs)
    flat = [paddle.static.InputSpec([None, 3], "float32", "image")]
    refused = r"test_layer.py, line \d+: .*\(InvalidArgument\) The "
    with pytest.raises(GraphError, match=refused + r"input of Op\(Conv\) should be a 4-D or 5-D Tensor"):
        qcc.from_layer(made(), flat)
    if MAJOR < 3:  # Paddle 3 looks at channels only when it computes.
        channels = [paddle.static.InputSpec([None, 3, 8, 8], "float32", "image")]
        with pytest.raises(GraphError, match=refused + "number of input"):
            qcc.from_layer(made(), channels)
    with pytest.raises(GraphError, match="input_spec has to be a list"):
        qcc.from_layer(made(), SPEC[0])  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="this is a dict"):
        qcc.from_layer({}, SPEC)
    with pytest.raises(GraphError, match="made already is wanted, and this is the class Making"):
        qcc.from_layer(Making, SPEC)


def test_specs_that_are_too_few_or_too_many_are_told() -> None:
    with pytest.raises(
        GraphError, match="input_spec holds 2, and forward is called with one tensor for each"
    ):
        qcc.from_layer(made(), [*SPEC, paddle.static.InputSpec([None, 1], "float32", "more")])
    with pytest.raises(GraphError, match=r"label_spec holds 0, and the loss is .* missing a .* 'label'"):
        qcc.from_layer(made(), SPEC, loss=nn.functional.mse_loss)
    with pytest.raises(GraphError, match=r"label_spec holds 0, and the loss is .* missing a .* 'label'"):
        qcc.from_layer(made(), SPEC, loss=nn.MSELoss())
    # What the code itself gets wrong is told as it is.
    with pytest.raises(GraphError, match=r"cannot be traced: .*TypeError"):
        qcc.from_layer(made(), SPEC, loss=lambda scores: scores + object())


class Making(nn.Layer):  # type: ignore[misc]
    def forward(self, image):  # type: ignore[no-untyped-def]
        return nn.Conv2D(1, 2, 3)(image)


class Calling(Net):
    def forward(self, image):  # type: ignore[no-untyped-def]
        return super().forward(image)


class Refused(nn.Layer):  # type: ignore[misc]
    """As Paddle 3.3 refuses functions in programs of the old IR, which these tests let it take."""

    got = "Variable"

    def forward(self, image):  # type: ignore[no-untyped-def]
        raise TypeError(
            f"(InvalidType) tanh(): argument (position 1) must be Value, but got {self.got} (at x.cc)"
        )


class RefusedAsAMethod(Refused):
    """`x.sum(1)` rather than `paddle.sum(x, 1)`."""

    got = "int"


class Attending(nn.Layer):  # type: ignore[misc]
    def forward(self, image):  # type: ignore[no-untyped-def]
        return nn.functional.scaled_dot_product_attention(image, image, image)


def test_what_paddle_says_of_code_is_explained() -> None:
    told = (
        r"Making cannot be traced: forward reads the weight conv2d_\S+, which the layer does not know: make"
    )
    with pytest.raises(GraphError, match=told):
        qcc.from_layer(made(Making), SPEC)
    if MAJOR < 3:
        with pytest.raises(
            GraphError, match=r"Paddle 2\.6 cannot translate super\(\), .*: name the class, as in"
        ):
            qcc.from_layer(made(Calling), SPEC)
    for layer in (Refused, RefusedAsAMethod):
        with pytest.raises(GraphError, match=r"Paddle 3 itself refuses tanh\(\) in .* under Paddle 2\.6"):
            qcc.from_layer(made(layer), SPEC)
    if MAJOR >= 3:
        told = r"Paddle 3 itself refuses scaled_dot_product_attention\(\) in .* under Paddle 2\.6"
        with pytest.raises(GraphError, match=told):
            qcc.from_layer(made(Attending), SPEC)


class Choosing(nn.Layer):  # type: ignore[misc]
    """Looks at a value where Paddle does not translate it."""

    choose = staticmethod(lambda value: value if value.sum() > 0 else -value)

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.choose(image)


@pytest.mark.parametrize(
    ("build", "outputs"),
    [
        (lambda one, other: one, "1"),
        (lambda one, other: [one], "1"),
        (lambda one, other: (one, other), "12"),
        (Pair, "12"),
        (lambda one, other: {"b": one, "a": [other]}, "21"),  # sorted by key
        (lambda one, other: defaultdict(list, b=one, a=other), "21"),
    ],
    ids=["tensor", "list", "tuple", "namedtuple", "dict", "defaultdict"],
)
def test_outputs_are_put_as_the_layer_returns_them(build: Callable[[Any, Any], Any], outputs: str) -> None:
    with dygraph_mode():
        traced = trace(Returning(build), SPEC)
    found, expected = like_returned(traced.returned, outputs), build("1", "2")
    kind = dict if isinstance(expected, dict) else type(expected)
    assert (type(found), found) == (kind, expected)
    assert list(found) == list(expected)


def test_no_way_is_chosen_while_it_is_traced() -> None:
    with pytest.raises(GraphError, match=r"test_layer.py, line \d+: .*asks for the value of a tensor"):
        qcc.from_layer(made(Choosing), SPEC)
    assert not hasattr(paddle.static.Variable, "__bool__")


def _sum(y):  # type: ignore[no-untyped-def]
    return y * float(np.asarray(y).sum())


def _sizes(y):  # type: ignore[no-untyped-def]
    return paddle.reshape(y, [-1, np.prod(y.shape[1:])])


def _number(y):  # type: ignore[no-untyped-def]
    return np.float32(2) * y


class ByNumpy(nn.Layer):  # type: ignore[misc]
    """Lets numpy compute with the tensor that a convolution gives, or with its sizes."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3)
        self.compute = compute

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.compute(self.conv(image))


def test_numpy_gets_no_tensor_that_is_traced() -> None:
    """It takes one for a single object, of which the sum is the tensor itself."""
    with dygraph_mode():
        layer = ByNumpy(_sum)
    with pytest.raises(GraphError, match=r"test_layer.py, line \d+: .*asks for the numbers of a tensor"):
        qcc.from_layer(layer, [ANY_SIZE])
    assert not hasattr(paddle.static.Variable, "__array__")


@pytest.mark.parametrize("compute", [_sizes, _number])
def test_what_numpy_computes_of_sizes_and_numbers(compute: Callable[[Any], Any]) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 6, 7)).astype(np.float32)
    with dygraph_mode():
        layer = ByNumpy(compute)
        layer.eval()
        expected = layer(paddle.to_tensor(image)).numpy()
    model = qcc.from_layer(layer, [ANY_SIZE])
    np.testing.assert_allclose(model.run({model.feeds[0]: image})[0], expected, rtol=1e-5, atol=1e-6)


def test_a_weight_is_not_called_as_an_input() -> None:
    class Clash(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.image = self.create_parameter([8, 8])

        def forward(self, image):  # type: ignore[no-untyped-def]
            return paddle.matmul(image, self.image)

    with dygraph_mode():
        layer = Clash()
    with pytest.raises(GraphError, match="the weight 'image' is called as an input or another variable is"):
        qcc.from_layer(layer, SPEC)
    named = [paddle.static.InputSpec([None, 1, 8, 8], "float32", "x")]
    with dygraph_mode():
        expected = layer(paddle.to_tensor(IMAGES)).numpy()
    np.testing.assert_allclose(qcc.from_layer(layer, named).run({"x": IMAGES})[0], expected, rtol=1e-5)


class Scaling(nn.Layer):  # type: ignore[misc]
    def forward(self, image):  # type: ignore[no-untyped-def]
        return image * 2


class Tuned(nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        tuned = paddle.ParamAttr(
            learning_rate=0.5, need_clip=False, regularizer=paddle.regularizer.L2Decay(0.25)
        )
        self.fc = nn.Linear(4, 4, weight_attr=tuned, bias_attr=paddle.ParamAttr(trainable=False))

    def forward(self, x: Any) -> Any:
        return self.fc(x)


def test_how_parameters_are_trained_comes_along() -> None:
    """Paddle's own renaming forgets whether a gradient is clipped."""
    spec = [paddle.static.InputSpec([None, 4], "float32", "x")]
    with dygraph_mode():
        traced = trace(Tuned(), spec, paddle.mean)
    found = {one.name: one for one in traced.program.all_parameters()}
    weight, bias = found["fc.weight"], found["fc.bias"]
    assert weight.optimize_attr == {"learning_rate": 0.5}
    assert not weight.need_clip
    assert isinstance(weight.regularizer, paddle.regularizer.L2Decay)
    assert (weight.trainable, bias.trainable, bias.stop_gradient) == (True, False, True)


def test_an_input_and_a_label_are_two_feeds() -> None:
    unnamed = [paddle.static.InputSpec([None, 1, 8, 8])]
    given = {"loss": lambda found, image: nn.functional.mse_loss(found, image), "label_spec": unnamed}
    assert qcc.from_layer(made(Scaling), SPEC, **given).feeds == ("image", "image_1")
    named = [paddle.static.InputSpec([None, 1, 8, 8], name="image")]
    with pytest.raises(GraphError, match="label_spec gives a second feed the name 'image': each needs its"):
        qcc.from_layer(made(Scaling), SPEC, **{**given, "label_spec": named})
    with pytest.raises(GraphError, match="input_spec gives a second feed the name 'image'"):
        qcc.from_layer(made(Scaling), named * 2)


class Adding(nn.Layer):  # type: ignore[misc]
    def forward(self, image, other):  # type: ignore[no-untyped-def]
        return image + other


def test_names_that_are_given_come_before_those_of_arguments() -> None:
    shape = [None, 1, 8, 8]
    specs = [paddle.static.InputSpec(shape), paddle.static.InputSpec(shape, name="image")]
    assert qcc.from_layer(made(Adding), specs).feeds == ("image_1", "image")


def test_a_loss_is_called_and_labels_are_its_own() -> None:
    none: Any = 5
    with pytest.raises(GraphError, match="a loss is a function or a layer, and this is a int"):
        qcc.from_layer(made(), SPEC, loss=none)
    with pytest.raises(GraphError, match="label_spec is about a loss, and there is none"):
        qcc.from_layer(made(), SPEC, label_spec=LABEL)
    with pytest.raises(GraphError, match="cannot be traced"):
        qcc.from_layer(made(), SPEC, loss=max, label_spec=LABEL)  # which Python knows no arguments of


class Keeping(Net):
    """Keeps what it computes, and reads a buffer that no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", paddle.full([3], 2.0), persistable=False)
        self.seen: list[Any] = []
        self.last = deque[Any](maxlen=3)

    def forward(self, image):  # type: ignore[no-untyped-def]
        self.image = image
        self.seen.append(image)
        self.last.append(image)
        return Net.forward(self, image) * self.scale


@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss()], ids=["test", "train"])
def test_what_forward_keeps_is_no_weight(loss: Any) -> None:
    layer = made(Keeping)
    expected = computed(layer)  # from now on it has `image` as a buffer
    traced = trace(layer, SPEC, loss, LABEL)
    others = {name: value for name, value in traced.values.items() if name not in layer.state_dict()}
    assert [list(value) for value in others.values()] == [[2.0, 2.0, 2.0]], [*others, *layer.state_dict()]
    assert {var.name for var in traced.program.list_vars() if var.persistable} == set(traced.values)
    np.testing.assert_array_equal(qcc.from_layer(layer, SPEC).run({"image": IMAGES})[0], expected)


@pytest.mark.parametrize("kind", [Keeping, Looking])
def test_a_traced_layer_is_left_as_it_was(kind: type) -> None:
    layer = made(kind)
    before = [(part, {**vars(part)}) for part in layer.sublayers(include_self=True)]
    with suppress(GraphError):
        qcc.from_layer(layer, SPEC)
    for part, held in before:
        assert vars(part) == held
    assert not getattr(layer, "seen", [])
    assert not getattr(layer, "last", [])
