"""Training a network of one's own: what comes out, goes on and is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_runs import losing
from rich.console import Console
from small_layer import FINE, IMAGES, LABELS, SPECS, Small, accuracy, batches, fitted

import qcc
from qcc._paddle import dygraph_mode, paddle
from qcc.errors import CheckpointError, ConfigError, DataError, TrainingError
from qcc.quantization import quantized_ops, state
from qcc.train import FitResult, Network, fit
from qcc.train.config import QuantizationStrategy
from qcc.train.config.optimization import Adam, OptimizerBuilder
from qcc.train.loop.checkpoint import CheckpointStore

nn = paddle.nn


@pytest.fixture(scope="module")
def layer() -> nn.Layer:
    with dygraph_mode():
        paddle.seed(3)
        return Small()


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
    def mistaken(predict: Callable[..., Any]) -> Any:
        return predict(IMAGES.astype(np.float64))

    mistaken.__name__ = "accuracy"
    with pytest.raises(DataError, match=r"`train`, in epoch 1, raised ZeroDivisionError: none is left\.$"):
        fitted(layer, tmp_path, broken)
    assert (tmp_path / "interrupted").is_dir()  # behind two batches
    with pytest.raises(DataError, match=r"'image' is float64.* give it `\.astype"):
        fitted(layer, tmp_path, metric=mistaken)
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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_another_metric_or_optimizer_does_not_go_on_with_it(layer: nn.Layer, tmp_path: Path) -> None:
    def agreeing(predict: Callable[..., Any]) -> float:
        return 0.5

    fitted(layer, tmp_path, epochs=1)
    before = contents(tmp_path)
    told = r"epochs that were evaluated by accuracy, and the metric is now agreeing: give the function"
    with pytest.raises(CheckpointError, match=told):
        fitted(layer, tmp_path, epochs=1, metric=agreeing)
    adam = OptimizerBuilder(optimizer=Adam(type="Adam"))
    with pytest.raises(CheckpointError, match=r"is that of another optimizer: \d+ variables differ"):
        fitted(layer, tmp_path, epochs=2, optimizer=adam)
    assert contents(tmp_path) == before


def test_a_kill_behind_the_checkpoint_leaves_no_epoch_out_of_the_records(
    layer: nn.Layer, tmp_path: Path
) -> None:
    fitted(layer, tmp_path, epochs=2)
    records = tmp_path / "metrics.jsonl"
    whole = records.read_bytes()
    assert whole.count(b'"kind": "epoch"') == 2
    records.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    for _ in range(2):
        fitted(layer, tmp_path, epochs=2)
        assert records.read_bytes() == whole


def test_what_is_not_finite_is_not_kept(
    layer: nn.Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        losing(patch, "norm._mean", size=4, number=5)
        with pytest.raises(TrainingError, match=r"'norm\._mean'.* the last good checkpoint is .*/0\.$"):
            fitted(layer, tmp_path, broken)
    assert not (tmp_path / "interrupted").exists()
    assert [record["epoch"] for record in fitted(layer, tmp_path).records] == [0, 1, 2]


def test_fewer_epochs_than_were_trained_in_float(layer: nn.Layer, tmp_path: Path) -> None:
    def until(epoch: int) -> list[Any]:
        return Breaking(batches(1)) if epoch == 2 else batches(epoch)

    with pytest.raises(DataError, match="ZeroDivisionError"):
        fitted(layer, tmp_path, until, quantization=QuantizationStrategy(start_epoch=2, end_epoch=2))
    with pytest.raises(CheckpointError, match=r"has 2 epochs already, none of them quantized, and 1 in all"):
        fitted(layer, tmp_path, epochs=1, quantization=QuantizationStrategy())


def static_network(temperature: bool = False) -> tuple[Network, dict[str, np.ndarray]]:
    """Programs and the values of their parameters; `temperature`: the test program has one more of these."""
    static = paddle.static
    train, startup = static.Program(), static.Program()
    with static.program_guard(train, startup), paddle.utils.unique_name.guard():
        image = static.data("image", [None, 1, 6, 6])
        label = static.data("label", [None, 1], "int64")
        scores = static.nn.fc(nn.functional.relu(static.nn.conv2d(image, 4, 3)), 2)
        test = train.clone(for_test=True)
        loss = paddle.mean(nn.functional.cross_entropy(scores, label))
    output = scores.name
    if temperature:
        with static.program_guard(test, startup):
            factor = static.create_parameter([2], "float32", name="temperature")
            output = paddle.multiply(test.global_block().var(output), factor).name
    scope = static.Scope()
    static.Executor().run(startup, scope=scope)
    network = Network(
        train=train,
        test=test,
        startup=startup,
        train_feeds=("image", "label"),
        loss=loss.name,
        train_outputs=(),
        test_feeds=("image",),
        outputs=(output,),
    )
    names = [parameter.name for parameter in test.all_parameters()]
    return network, {name: np.array(scope.find_var(name).get_tensor()) for name in names}


def test_static_programs(tmp_path: Path) -> None:
    network, weights = static_network()
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


def test_what_the_test_program_alone_reads_is_there_when_it_goes_on(tmp_path: Path) -> None:
    network, weights = static_network(temperature=True)
    weights["temperature"][:] = [3.0, -3.0]
    given = {"epochs": 2, "weights": weights, "console": Console(file=io.StringIO())}
    with pytest.raises(DataError, match="ZeroDivisionError"):
        fit(network, broken, accuracy, folder=tmp_path / "stopped", **given)
    found = fit(network, batches, accuracy, folder=tmp_path / "stopped", **given)
    whole = fit(network, batches, accuracy, folder=tmp_path / "whole", **given)
    np.testing.assert_array_equal(found.weights["temperature"], [3.0, -3.0])
    assert [one["accuracy"] for one in found.records] == [one["accuracy"] for one in whole.records]
    for name, value in whole.model.weights.items():
        np.testing.assert_array_equal(found.model.weights[name], value)


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
        (
            {"quantization": QuantizationStrategy(start_epoch=1, end_epoch=1)},
            r"end_epoch is 1, and of 3 epochs the best one is frozen when all are over: let it be 2",
        ),
        ({"quantization": QuantizationStrategy(end_epoch=7)}, "end_epoch is 7, and of 3 epochs"),
        ({"freeze_norm_epoch": 3}, "freeze_norm_epoch is 3, and there are 3 epochs: let it be one of them"),
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
