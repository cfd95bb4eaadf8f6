"""Training a network of one's own: what comes out, goes on and is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from saved_models import MAJOR

import qcc
from qcc._paddle import dygraph_mode, paddle, static_mode
from qcc.errors import CheckpointError, ConfigError, DataError, GraphError, TrainingError
from qcc.quantization import quantized_ops, state
from qcc.train import FitResult, Network, fit
from qcc.train.config import QuantizationStrategy
from qcc.train.config.optimization import LearningRate, OptimizerBuilder, Sgd
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.tasks.given import GivenTask

nn = paddle.nn
SPECS = {
    "input_spec": [paddle.static.InputSpec([None, 1, 6, 6], name="image")],
    "label_spec": [paddle.static.InputSpec([None, 1], "int64", "label")],
}
# So that what training does is what it does in float.
FINE = QuantizationStrategy(
    weight_bits=16,
    activation_bits=16,
    weight_quantize_type="channel_wise_abs_max",
    activation_quantize_type="abs_max",
)
SIZE = 16
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((64, 1, 6, 6)).astype(np.float32)
LABELS = (IMAGES[:, :, :3].mean((1, 2, 3)) > IMAGES[:, :, 3:].mean((1, 2, 3))).astype(np.int64)[:, None]


class Small(nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(1, 4, 3)
        self.norm = nn.BatchNorm2D(4)
        self.fc = nn.Linear(64, 2)

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.fc(nn.functional.relu(self.norm(self.conv(image))).flatten(1))


def batches(epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(epoch).permutation(len(IMAGES))
    return [(IMAGES[part], LABELS[part]) for part in np.split(order, len(order) // SIZE)]


def accuracy(predict: Callable[[np.ndarray], np.ndarray]) -> float:
    return float((predict(IMAGES).argmax(1) == LABELS[:, 0]).mean())


@pytest.fixture(scope="module")
def layer() -> nn.Layer:
    with dygraph_mode():
        paddle.seed(3)
        return Small()


def fitted(layer: nn.Layer, folder: Path, train: Any = batches, **more: Any) -> FitResult:
    given = {**SPECS, "loss": nn.CrossEntropyLoss(), "learning_rate": 0.1, "epochs": 3, **more}
    console = given.pop("console", Console(file=io.StringIO()))
    metric = given.pop("metric", accuracy)
    return fit(layer, train, metric, folder=folder, console=console, **given)


@pytest.fixture(scope="module")
def result(layer: nn.Layer, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fitted(layer, tmp_path_factory.mktemp("whole"))


def test_a_layer_is_trained_evaluated_and_frozen(layer: nn.Layer, result: FitResult, tmp_path: Path) -> None:
    assert [record["epoch"] for record in result.records] == [0, 1, 2]
    assert result.records[-1]["train_loss"] < result.records[0]["train_loss"]
    assert result.best["accuracy"] == max(record["accuracy"] for record in result.records) > 0.8
    assert accuracy(lambda images: result.model.run({"image": images})[0]) == result.best["accuracy"]
    result.save(tmp_path, check=False)
    for form, name in (("float", "frozen"), ("int8", "int8"), ("qdq", "qdq")):
        assert state(qcc.load(tmp_path / form).graph) == name


def test_the_layer_takes_the_weights_when_it_is_told_to(layer: nn.Layer, result: FitResult) -> None:
    before = qcc.from_layer(layer, SPECS["input_spec"]).weights
    assert not np.array_equal(result.weights["fc.weight"], before["fc.weight"])
    with dygraph_mode():
        twin = Small()
    qcc.into_layer(result.weights, twin)
    trained = qcc.from_layer(twin, SPECS["input_spec"])
    assert set(result.weights) == set(trained.weights)
    assert accuracy(lambda images: trained.run({"image": images})[0]) == pytest.approx(
        result.best["accuracy"], abs=0.05
    )


class Breaking(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from self[:2]
        raise ZeroDivisionError("none is left.")


def broken(epoch: int) -> list[Any]:
    return Breaking(batches(1)) if epoch == 1 else batches(epoch)


def test_it_goes_on_with_the_same_bits(layer: nn.Layer, result: FitResult, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`train`, in epoch 1, raised ZeroDivisionError: none is left\.$"):
        fitted(layer, tmp_path, broken)
    assert (tmp_path / "interrupted").is_dir()  # behind two batches
    with pytest.raises(DataError, match=r"'image' is float64.* give it `\.astype"):
        fitted(layer, tmp_path, metric=lambda predict: predict(IMAGES.astype(np.float64)))
    again = fitted(layer, tmp_path)
    for name, value in result.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)


class Named(Small):
    """Returns a dict, and drops at random."""

    def forward(self, image):  # type: ignore[no-untyped-def]
        scores = Small.forward(self, nn.functional.dropout(image, 0.2, training=self.training))
        return {"scores": scores, "first": scores[:, 0]}


def cross_entropy(returned: Any, label: Any) -> Any:
    return nn.functional.cross_entropy(returned["scores"], label)


@pytest.fixture(scope="module")
def named() -> nn.Layer:
    with dygraph_mode():
        paddle.seed(3)
        return Named()


def test_a_metric_is_given_what_the_layer_returns(named: nn.Layer, tmp_path: Path) -> None:
    def right(predict: Callable[..., Any]) -> float:
        found = predict(IMAGES)
        assert list(found) == ["scores", "first"]
        np.testing.assert_array_equal(found["first"], found["scores"][:, 0])
        return 1.0

    found = fitted(named, tmp_path, metric=right, loss=cross_entropy, epochs=1)
    first, scores = found.model.run({"image": IMAGES})  # sorted by key
    np.testing.assert_array_equal(first, scores[:, 0])


def test_what_dropouts_draw_depends_on_the_seed(named: nn.Layer, tmp_path: Path) -> None:
    def trained(folder: str, train: Any = batches, seed: int = 0) -> dict[str, np.ndarray]:
        more = {"metric": lambda predict: 1.0, "loss": cross_entropy, "epochs": 2, "seed": seed}
        result = fitted(named, tmp_path / folder, train, **more)
        state = CheckpointStore(result.checkpoints).newest()
        assert state is not None
        return state.arrays

    paddle.seed(5)
    expected = drawn()
    paddle.seed(5)
    whole = trained("whole")
    np.testing.assert_array_equal(drawn(), expected)  # Paddle's own generator was left as it was
    paddle.seed(6)
    with pytest.raises(DataError, match="ZeroDivisionError"):
        trained("stopped", broken)
    assert (tmp_path / "stopped/interrupted").is_dir()  # within an epoch
    resumed = trained("stopped")
    assert resumed.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)
    assert not np.array_equal(trained("other", seed=1)["fc.weight"], whole["fc.weight"])


class Dropping(Small):
    """Drops whole channels in training, and blocks as stochastic depth does."""

    def forward(self, image):  # type: ignore[no-untyped-def]
        found = nn.functional.relu(self.norm(self.conv(image)))
        found = nn.functional.dropout2d(found, 0.2, training=self.training)
        if self.training:
            drawn = paddle.floor(0.8 + paddle.rand([paddle.shape(found)[0], 1, 1, 1]))
            found = found / 0.8 * drawn
        return self.fc(found.flatten(1))


def test_what_training_alone_draws_is_left_out_later(tmp_path: Path) -> None:
    with dygraph_mode():
        paddle.seed(3)
        layer = Dropping()
    result = fitted(layer, tmp_path)
    assert result.best["accuracy"] > 0.7
    assert accuracy(lambda images: result.model.run({"image": images})[0]) == result.best["accuracy"]
    result.save(tmp_path / "out", check=False)
    assert state(qcc.load(tmp_path / "out/int8").graph) == "int8"


def drawn() -> np.ndarray:
    with dygraph_mode():
        return np.asarray(paddle.rand([4]))


def test_what_is_trained_is_evaluated_when_it_goes_on(layer: nn.Layer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="where one finite number is wanted"):
        fitted(layer, tmp_path, metric=lambda predict: float("nan"))
    said = io.StringIO()
    fitted(layer, tmp_path, metric=lambda predict: 1.0, console=Console(file=said, soft_wrap=True))
    assert f"going on from {tmp_path}: epoch 0 (1 of 3) is trained, and is evaluated now." in said.getvalue()


def test_another_layer_does_not_go_on_with_it(layer: nn.Layer, tmp_path: Path) -> None:
    fitted(layer, tmp_path, epochs=1)
    with dygraph_mode():
        paddle.seed(4)
        other = Small()
    with pytest.raises(CheckpointError, match=r"another training \(first weights: .* give another folder"):
        fitted(other, tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=r"another training \(batches: 4 -> 3\)"):
        fitted(layer, tmp_path, lambda epoch: batches(epoch)[1:], epochs=1)
    told = (
        r"another training \(quantization.activation_bits: 8 -> 16; quantization.activation_quantize_type: "
    )
    with pytest.raises(CheckpointError, match=told):
        fitted(layer, tmp_path, epochs=2, quantization=FINE)
    with pytest.raises(CheckpointError, match=r"\(quantization.skip_vars: \[\] -> \['conv.weight'\]\)"):
        fitted(layer, tmp_path, epochs=2, skip_vars=["conv.weight"])
    (tmp_path / "origin.json").unlink()
    with pytest.raises(CheckpointError, match=r"first weights: None -> "):
        fitted(layer, tmp_path, epochs=1)


def test_static_programs(tmp_path: Path) -> None:
    static = paddle.static
    train, startup = static.Program(), static.Program()
    with static.program_guard(train, startup), paddle.utils.unique_name.guard():
        image = static.data("image", [None, 1, 6, 6])
        label = static.data("label", [None, 1], "int64")
        scores = static.nn.fc(nn.functional.relu(static.nn.conv2d(image, 4, 3)), 2)
        loss = paddle.mean(nn.functional.cross_entropy(scores, label))
    scope = static.Scope()
    static.Executor().run(startup, scope=scope)
    network = Network(
        train=train,
        test=train.clone(for_test=True),
        startup=startup,
        train_feeds=("image", "label"),
        loss=loss.name,
        train_outputs=(),
        test_feeds=("image",),
        outputs=(scores.name,),
    )
    names = [parameter.name for parameter in train.all_parameters()]
    weights = {name: np.array(scope.find_var(name).get_tensor()) for name in names}
    with pytest.raises(ConfigError, match="give their `weights`, by name"):
        fit(network, batches, accuracy, folder=tmp_path, epochs=1)
    console = Console(file=io.StringIO())
    found = fit(
        network,
        batches,
        accuracy,
        folder=tmp_path,
        epochs=1,
        weights=weights,
        learning_rate=0.1,
        console=console,
    )
    assert set(found.weights) == set(weights)
    assert state(found.model.graph) == "frozen"


@pytest.fixture(scope="module")
def network() -> Network:
    program = paddle.static.Program()
    with static_mode(), paddle.static.program_guard(program):
        paddle.static.data("image", [None, 1, 6, 6])
        paddle.static.data("label", [None, 1], "int64")
    return Network(program, program, None, ("image", "label"), "loss", (), ("image",), ("scores",))


def test_batches_by_name_as_tensors(network: Network) -> None:
    def tensors(epoch: int) -> list[Any]:
        return [{"label": paddle.to_tensor(LABELS), "image": paddle.to_tensor(IMAGES)}]

    with static_mode():  # in which training runs
        (feeds,) = GivenTask(network, tensors, accuracy).train_batches(0, 0)
    np.testing.assert_array_equal(feeds["image"], IMAGES)


class Images(paddle.io.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return IMAGES[number], LABELS[number]


def test_the_batches_of_a_loader(network: Network) -> None:
    with dygraph_mode():
        loader = paddle.io.DataLoader(Images(), batch_size=48)
    with static_mode():
        found = list(GivenTask(network, loader, accuracy).train_batches(1, 0))
    assert [len(feeds["label"]) for feeds in found] == [48, 16]
    np.testing.assert_array_equal(found[0]["image"], IMAGES[:48])


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ((batch for batch in batches(0)), "nobody knows how many batches the generator gives"),
        ([], "there is no batch to train on"),
        ([(IMAGES,)], "a batch holds 1 arrays, and training is fed by 2: image, label"),
        (
            [{"img": IMAGES, "label": LABELS}],
            "a batch has no 'image': it holds img, label, and .* fed by image",
        ),
        ([(IMAGES * np.nan, LABELS)], "'image' has values that are not a number"),
        ([5], "a batch is a int, where a tuple of arrays is wanted"),
        ([(IMAGES, LABELS[:, 0])], r"'label' is int64\[64\], .* fed with int64\[-1, 1\]: give it these"),
        ([(IMAGES, LABELS / 2)], r"'label' is float64\[64, 1\], .*: give it `.astype\('int64'\)`"),
        ([(IMAGES[:0], LABELS[:0])], r"'image' is float32\[0, 1, 6, 6\], which is empty: leave such a batch"),
        (lambda: batches(0), "`train` raised TypeError: .* takes 0 positional arguments"),
    ],
)
def test_batches_that_are_refused(network: Network, train: Any, told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        GivenTask(network, train, accuracy)


class OfEpoch(list[Any]):
    def __init__(self, epoch: int) -> None:
        super().__init__(batches(epoch))


def test_a_class_whose_objects_are_the_batches_of_an_epoch(network: Network) -> None:
    task = GivenTask(network, OfEpoch, accuracy)
    for epoch in (0, 1):
        np.testing.assert_array_equal(next(task.train_batches(epoch, 0))["image"], batches(epoch)[0][0])


def test_what_is_raised_is_told_in_a_line(network: Network) -> None:
    def failing(epoch: int) -> Any:
        raise ValueError("no such file:\n  a.png\n  b.png")

    def tracing(epoch: int) -> Any:
        paddle.to_tensor(IMAGES).matmul(paddle.to_tensor(IMAGES[:3]))

    with pytest.raises(DataError, match=r"^`train` raised ValueError: \(InvalidArgument\) [^\n]*$"):
        GivenTask(network, tracing, accuracy)
    with pytest.raises(DataError, match=r"^`train` raised ValueError: no such file: a\.png b\.png\.$"):
        GivenTask(network, failing, accuracy)


class Once(list[Any]):
    """Batches that are used up when they were gone through."""

    def __init__(self, given: list[Any]) -> None:
        super().__init__(given)
        self._left = iter(given)

    def __iter__(self) -> Iterator[Any]:
        return self._left


def test_every_epoch_has_as_many_batches(network: Network) -> None:
    task = GivenTask(network, lambda epoch: batches(0)[epoch:], accuracy)
    assert len(list(task.train_batches(0, 1))) == 3
    with pytest.raises(DataError, match="epoch 1 has 3 batches, and the first 4"):
        next(task.train_batches(1, 0))
    task = GivenTask(network, Once(batches(0)), accuracy)
    assert len(list(task.train_batches(0, 0))) == 4
    with pytest.raises(DataError, match="the batches of epoch 1 end after 0 of 4: give a list"):
        list(task.train_batches(1, 0))


class Whole(list[Any]):
    """Batches that have to be gone through to the last one, as those of persistent workers."""

    gone_through = True

    def __iter__(self) -> Iterator[Any]:
        assert self.gone_through
        self.gone_through = False
        for number, batch in enumerate(super().__iter__(), 1):
            self.gone_through = number == len(self)
            yield batch


def test_batches_that_were_begun_are_gone_through(network: Network) -> None:
    given = batches(0)
    for first in (0, 2):  # of a training that goes on
        task = GivenTask(network, Whole(given), accuracy)
        for epoch in (first, first + 1):
            found = [feeds["image"] for feeds in task.train_batches(epoch, 0)]
            np.testing.assert_array_equal(found, [image for image, _ in given])
        of_epochs = GivenTask(network, batches, accuracy).train_batches(first, 0)
        np.testing.assert_array_equal(next(of_epochs)["image"], batches(first)[0][0])


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (lambda predict: predict(IMAGES, LABELS), r"fed by \['image'\], and 2 arrays were given"),
        (lambda predict: predict(IMAGES[:0]), r"'image' is float32\[0, 1, 6, 6\], which is empty"),
        (lambda predict: None, "the metric 'metric' gives a NoneType, where one finite number is wanted"),
        (lambda predict: float("nan"), "the metric 'metric' gives nan, where"),
        (lambda predict: [][0], "the metric 'metric' raised IndexError: list index out of range"),
    ],
)
def test_metrics_that_are_refused(network: Network, metric: Any, told: str) -> None:
    task = GivenTask(network, batches, metric)
    with pytest.raises(DataError, match=told):
        task.evaluate(lambda feeds: [IMAGES])


def test_a_metric_computes_with_tensors(network: Network) -> None:
    with static_mode():
        found = GivenTask(network, batches, lambda predict: paddle.to_tensor(0.5)).evaluate(lambda feeds: [])
        with pytest.raises(ConfigError, match="the metric is a float, where a function is wanted"):
            GivenTask(network, batches, 0.5)  # type: ignore[arg-type]
    assert found == {"metric": 0.5}


@pytest.mark.parametrize("name", ["epoch", "kind", "quantized", "seconds", "step", "train_loss"])
def test_a_metric_does_not_take_the_place_of_what_records_hold(network: Network, name: str) -> None:
    def metric(predict: Callable[..., Any]) -> float:
        return 0.5

    metric.__name__ = name
    assert GivenTask(network, batches, metric).evaluate(lambda feeds: []) == {"metric": 0.5}


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


def test_what_is_to_stay_float(layer: nn.Layer, tmp_path: Path) -> None:
    said = io.StringIO()
    found = fitted(layer, tmp_path, epochs=1, skip_vars=["conv.*"], console=Console(file=said))
    assert [op.weight for op in quantized_ops(found.model.graph)] == ["fc.weight"]
    assert "float" not in said.getvalue()
    with pytest.raises(
        ConfigError, match=r"skip_vars\[0\]: no variable of .* 'fc.weigth'; did you mean 'fc.weight'"
    ):
        fitted(layer, tmp_path, skip_vars=["fc.weigth"])


def test_labels_beyond_the_classes(layer: nn.Layer, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Paddle cannot compute step 0: \(OutOfRange\) label value"):
        fitted(layer, tmp_path, [(IMAGES, LABELS + 5)], epochs=1)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"epochs": 0}, "epochs is 0, where a whole number from 1 on is wanted"),
        ({"folder": None}, "folder is a NoneType, where a path is wanted"),
        ({"loss": "ce"}, "loss is a str, where a function, or a layer that is made already, is wanted"),
        ({"loss": nn.CrossEntropyLoss}, "loss is the class CrossEntropyLoss, where"),
        ({"optimizer": "adam"}, r"optimizer is a str, where a qcc\.train\.config\.optimization\.Optimizer"),
        ({"quantization": {"weight_bits": 4}}, r"quantization is a dict, where a qcc\.train\.config\.Quant"),
        (
            {"quantization": QuantizationStrategy(start_epoch=3, end_epoch=3)},
            "start_epoch is 3, and there are 3",
        ),
        ({"skip_vars": "fc.*"}, "skip_vars is a str, where a list of names is wanted"),
        ({"weights": {}}, "a layer has its weights: leave `weights` out"),
        ({"learning_rate": -0.1}, r"learning_rate is -0\.1: it should be greater than 0\."),
        ({"freeze_norm_epoch": -1}, "freeze_norm_epoch is -1: it should be greater than or equal to 0"),
    ],
)
def test_arguments_that_are_refused(layer: nn.Layer, tmp_path: Path, more: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        fitted(layer, **{"folder": tmp_path, **more})
    assert not list(tmp_path.iterdir())


def test_a_layer_needs_a_loss(layer: nn.Layer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Small is to be trained by a `loss`, and none is given"):
        fitted(layer, tmp_path, loss=None)
    assert not list(tmp_path.iterdir())
