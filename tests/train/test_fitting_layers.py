"""Training a network of one's own: what layers may do."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from saved_models import MAJOR
from small_layer import FINE, IMAGES, LABELS, Small, fitted

import qcc
from qcc._paddle import dygraph_mode, paddle
from qcc.errors import ConfigError, GraphError
from qcc.quantization import quantized_ops
from qcc.train.config.optimization import LearningRate, OptimizerBuilder, Regularizer, Sgd

nn = paddle.nn


class Computing(Small):
    """Computes the weight of a convolution, has one of rows, and a head that training alone asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Conv1D(6, 6, 1)
        self.aside = nn.Linear(64, 2)

    def forward(self, image):  # type: ignore[no-untyped-def]
        rows = self.rows(image.squeeze(1)).unsqueeze(1)
        found = nn.functional.relu(nn.functional.conv2d(rows, self.conv.weight * 2.0)).flatten(1)
        return (self.fc(found), self.aside(found)) if self.training else self.fc(found)


class Both(nn.Layer):  # type: ignore[misc]
    """A loss with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([1])

    def forward(self, found, label):  # type: ignore[no-untyped-def]
        losses = [nn.functional.cross_entropy(one, label) for one in found]
        return losses[0] + losses[1] + (self.weight - 1.0) * (self.weight - 1.0)


def unused_norm(kind: type) -> nn.Layer:
    with dygraph_mode():
        paddle.seed(3)
        layer = kind()
        for parameter in (*layer.norm.parameters(), layer.conv.bias):
            parameter.stop_gradient = True
        return layer


def test_all_that_was_trained_comes_back(tmp_path: Path) -> None:
    layer = unused_norm(Computing)
    with dygraph_mode():
        loss = Both()
    said = io.StringIO()
    result = fitted(layer, tmp_path, loss=loss, epochs=1, console=Console(file=said, soft_wrap=True))
    told = "these weights stay float: conv.weight (the weight of conv2d is computed in every run).\n"
    assert said.getvalue().startswith(told)
    assert {op.weight for op in quantized_ops(result.model.graph)} == {"rows.weight", "fc.weight"}
    assert result.weights["rows.weight"].shape == (6, 6, 1)
    with dygraph_mode():
        before = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
        qcc.into_layer({**before, **result.weights}, layer)
        after = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
    weights = {f"{part}.{kind}" for part in ("rows", "fc", "aside") for kind in ("weight", "bias")}
    assert moved == {"conv.weight", *weights}
    assert result.weights["loss.weight"] != loss.weight.numpy()


class Scaled(nn.Layer):  # type: ignore[misc]
    """A loss with weights that are trained already."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = self.create_parameter([1], default_initializer=nn.initializer.Constant(2.5))
        self.mixing = self.create_parameter([2, 2], default_initializer=nn.initializer.Assign(np.eye(2)))

    def forward(self, found, label):  # type: ignore[no-untyped-def]
        return nn.functional.cross_entropy(paddle.matmul(found, self.mixing) * self.factor, label)


def test_a_loss_starts_from_its_weights(tmp_path: Path) -> None:
    with dygraph_mode():
        layer, loss = Small(), Scaled()
    found = fitted(layer, tmp_path, loss=loss, epochs=1, learning_rate=1e-9).weights
    np.testing.assert_allclose(found["loss.factor"], [2.5], rtol=1e-6)
    np.testing.assert_allclose(found["loss.mixing"], np.eye(2), atol=1e-6)


def test_a_regularizer_spares_batch_norms(tmp_path: Path) -> None:
    with dygraph_mode():
        paddle.seed(3)
        layer = Small()
    before = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    builder = OptimizerBuilder(optimizer=Sgd(type="SGD"), regularizer=Regularizer(factor=100.0))
    rate = LearningRate(base_lr=1e-3)
    found = fitted(layer, tmp_path, epochs=1, optimizer=builder, learning_rate=rate).weights
    for name, kept in (("norm.weight", 1.0), ("conv.weight", 0.9**4), ("fc.weight", 0.9**4)):
        np.testing.assert_allclose(found[name], kept * before[name], atol=1e-2, err_msg=name)


class Permuting(Small):
    """Has buffers of whole numbers, by one of which it selects."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", paddle.to_tensor(np.arange(64)[::-1].copy()))
        self.register_buffer("kept", paddle.to_tensor(np.arange(64) % 3 > 0))

    def forward(self, image):  # type: ignore[no-untyped-def]
        found = nn.functional.relu(self.norm(self.conv(image))).flatten(1)
        found = paddle.where(self.kept, found, paddle.zeros_like(found))
        return self.fc(paddle.index_select(found, self.order, axis=1))


def test_buffers_of_whole_numbers(tmp_path: Path) -> None:
    with dygraph_mode():
        paddle.seed(3)
        layer = Permuting()
    result = fitted(layer, tmp_path)
    assert result.best["accuracy"] > 0.7
    np.testing.assert_array_equal(result.weights["order"], np.arange(64)[::-1])
    assert result.weights["kept"].dtype == np.bool_
    qcc.into_layer(result.weights, layer)
    result.save(tmp_path / "saved", check=False)


class Sparing(Small):
    """Makes a layer that it does not use, as PP-LCNetV3 does in blocks with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)


def test_what_nothing_reads_stays_as_it_was(tmp_path: Path) -> None:
    with dygraph_mode():
        layer = Sparing()
        before = layer.spare.weight.numpy()
    result = fitted(layer, tmp_path, epochs=1)
    qcc.into_layer(result.weights, layer)
    with dygraph_mode():
        np.testing.assert_array_equal(layer.spare.weight.numpy(), before)
        np.testing.assert_array_equal(layer.fc.weight.numpy(), result.weights["fc.weight"])


@pytest.mark.parametrize("left_out", [("weight",), ("bias",), ("weight", "bias")])
def test_norms_without_a_scale_or_a_shift(left_out: tuple[str, ...], tmp_path: Path) -> None:
    def trained(folder: str, layer: nn.Layer) -> dict[str, np.ndarray]:
        return fitted(layer, tmp_path / folder, epochs=1).weights

    with dygraph_mode():
        paddle.seed(3)
        frozen, lacking = Small(), Small()
        lacking.norm = nn.BatchNorm2D(4, **{f"{name}_attr": False for name in left_out})
        lacking.set_state_dict(frozen.state_dict())
        for name in left_out:
            getattr(frozen.norm, name).stop_gradient = True
    expected, found = trained("frozen", frozen), trained("lacking", lacking)
    for name in set(expected) - {f"norm.{one}" for one in left_out}:
        np.testing.assert_array_equal(found[name], expected[name])
    for name in left_out:
        np.testing.assert_array_equal(expected[f"norm.{name}"], float(name == "weight"))
    qcc.into_layer(found, lacking)


class Words(Small):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 36, sparse=sparse)

    def forward(self, image):  # type: ignore[no-untyped-def]
        return Small.forward(self, self.words(image).reshape([-1, 1, 6, 6]))


def test_embeddings_with_sparse_gradients(tmp_path: Path) -> None:
    found = []
    for sparse in (False, True):
        with dygraph_mode():
            paddle.seed(3)
            layer = Words(sparse)
        train = [(LABELS[:, 0] + number, LABELS) for number in range(3)]
        spec = [paddle.static.InputSpec([None], "int64", "image")]
        more = {"input_spec": spec, "epochs": 1, "metric": lambda predict: 1.0}
        found.append(fitted(layer, tmp_path / str(sparse), train, **more).weights)
    dense, sparse_ones = found
    for name, value in dense.items():
        np.testing.assert_array_equal(sparse_ones[name], value)


class Recurrent(Small):
    """Goes over rows by a cell, in a loop over an array."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.RNN(nn.LSTMCell(6, 6))

    def forward(self, image):  # type: ignore[no-untyped-def]
        rows, _ = self.rows(image.squeeze(1))
        return Small.forward(self, rows.unsqueeze(1))


@pytest.mark.skipif(MAJOR >= 3, reason="Paddle 3 does not trace it")
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Paddle's own, about what it makes of loops
def test_a_cell_in_a_loop(tmp_path: Path) -> None:
    with dygraph_mode():
        paddle.seed(3)
        layer = Recurrent()
        before = layer.rows.cell.weight_hh.numpy()
    said = io.StringIO()
    result = fitted(layer, tmp_path, epochs=1, console=Console(file=said, soft_wrap=True))
    assert "rows.cell.weight_hh" in said.getvalue()
    assert "(read in a loop or a branch that depends on data)" in said.getvalue()
    assert not np.array_equal(result.weights["rows.cell.weight_hh"], before)
    result.save(tmp_path / "saved", check=False)


class Appending(Small):
    def forward(self, image):  # type: ignore[no-untyped-def]
        rows = []
        for number in range(image.shape[2]):
            rows.append(image[:, :, number] * 2.0)
        return Small.forward(self, paddle.stack(rows, 2))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_list_that_is_filled_in_a_loop(tmp_path: Path) -> None:
    with dygraph_mode():
        layer = Appending()
    with pytest.raises(GraphError, match=r"appends to a list in a loop .* be fixed in input_spec"):
        fitted(layer, tmp_path, input_spec=[paddle.static.InputSpec([None, 1, -1, 6], name="image")])
    assert fitted(layer, tmp_path, epochs=1).best["epoch"] == 0


class Fixed(Small):
    """Has a part that is not trained, and is read again where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed, self.read = nn.Conv2D(1, 1, 3, padding=1), nn.Conv2D(1, 1, 3, padding=1)

    def forward(self, image):  # type: ignore[no-untyped-def]
        with paddle.no_grad():
            found = self.read(self.fixed(image))
        return Small.forward(self, found + self.read(image))


@pytest.mark.filterwarnings("ignore:When training, we now always track")  # of Paddle's own
def test_gradients_that_are_stopped(tmp_path: Path) -> None:
    with dygraph_mode():
        paddle.seed(3)
        layer = Fixed()
    before = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    more = {"epochs": 1, "quantization": FINE, "optimizer": OptimizerBuilder(optimizer=Sgd(type="SGD"))}
    one = [(IMAGES, LABELS)]
    found = fitted(layer, tmp_path, one, learning_rate=LearningRate(base_lr=0.1), **more).weights
    with dygraph_mode():
        assert paddle.is_grad_enabled()
        nn.functional.cross_entropy(layer(paddle.to_tensor(IMAGES)), paddle.to_tensor(LABELS)).backward()
        for name, parameter in layer.named_parameters():
            if parameter.grad is not None:
                moved = -0.1 * parameter.grad.numpy()
                np.testing.assert_allclose(found[name] - before[name], moved, atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(found["fixed.weight"], before["fixed.weight"])
    assert np.abs(found["read.weight"] - before["read.weight"]).max() > 1e-3


class Alone(Computing):
    def forward(self, image):  # type: ignore[no-untyped-def]
        return nn.functional.conv2d(image, self.conv.weight * 2.0).flatten(1)


def test_a_network_of_which_nothing_is_quantized(tmp_path: Path) -> None:
    told = r"nothing of the network would be quantized: conv\.weight \(the weight of conv2d is computed in"
    with pytest.raises(ConfigError, match=told):
        fitted(unused_norm(Alone), tmp_path)
    assert not list(tmp_path.iterdir())
