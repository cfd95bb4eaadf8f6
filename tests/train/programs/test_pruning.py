"""Networks that take over the shapes of pruned weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pruned import CONFIG, SOURCE, hand_built, prune, scores

from qcc._paddle import core, paddle
from qcc.errors import CheckpointError
from qcc.train.config import load_config
from qcc.train.config.detection import DetectorConfig
from qcc.train.config.schema import ClassifierConfig
from qcc.train.models.classifier import build_classifier
from qcc.train.models.network import Network
from qcc.train.programs.pruning import take_shapes
from qcc.train.programs.scope import Arrays, persistable_names, read_scope
from qcc.train.programs.weights import float_model, initialise, load_weights
from qcc.train.tasks.architectures import classifier, detector_network

DETECTOR = CONFIG.parents[1] / "configs" / "yolov3_mobilenet_v1_tree_crowns.yml"
HERE = Path("pruned.npz")


def network_of(config: Any) -> Network:
    if isinstance(config, DetectorConfig):
        return detector_network(config)
    assert isinstance(config, ClassifierConfig)
    net = classifier(config)
    return build_classifier(lambda image: net.logits(image, config.num_classes), config.image_shape)


def first_weights(network: Network) -> Arrays:
    scope = paddle.static.Scope()
    initialise(network, scope, 1)
    return read_scope(scope, persistable_names(network.test))


@pytest.fixture(scope="module")
def mobilenet() -> Network:
    return network_of(load_config(CONFIG))


@pytest.fixture(scope="module")
def pruned() -> Arrays:
    return prune(load_weights(SOURCE), 3)


# ---------------------------------------------------------------------- shapes


def shapes(program: Any) -> dict[str, tuple[int, ...]]:
    return {var.name: tuple(var.shape) for var in program.list_vars()}


def test_it_is_the_network_that_would_be_built_by_hand(mobilenet: Network, pruned: Arrays) -> None:
    by_hand = hand_built(pruned)
    network, changed = take_shapes(mobilenet, pruned, HERE)

    for one, other in zip(
        (network.train, network.test, network.startup),
        (by_hand.train, by_hand.test, by_hand.startup),
        strict=True,
    ):
        assert shapes(one) == shapes(other)
    groups = [
        [op.attr("groups") for op in net.train.global_block().ops if op.type == "depthwise_conv2d"]
        for net in (network, by_hand)
    ]
    assert groups[0] == groups[1]
    expected = [name for name, array in load_weights(SOURCE).items() if array.shape != pruned[name].shape]
    # All but those of the first convolution, the first depthwise one and the offsets of the classes.
    assert changed == sorted(expected)
    assert len(changed) == len(pruned) - 11
    ours, theirs = (scores(float_model(net, pruned, HERE)) for net in (network, by_hand))
    np.testing.assert_array_equal(ours, theirs)
    values = [first_weights(net) for net in (network, by_hand)]
    for name in values[0]:
        np.testing.assert_array_equal(values[0][name], values[1][name])


def test_the_network_is_left_as_it_was(mobilenet: Network, pruned: Arrays) -> None:
    before = [mobilenet.train.desc.serialize_to_string(), mobilenet.startup.desc.serialize_to_string()]
    take_shapes(mobilenet, pruned, HERE)
    after = [mobilenet.train.desc.serialize_to_string(), mobilenet.startup.desc.serialize_to_string()]
    assert before == after


def test_weights_of_the_same_shapes_change_nothing(mobilenet: Network) -> None:
    network, changed = take_shapes(mobilenet, load_weights(SOURCE), SOURCE)
    assert network is mobilenet
    assert changed == []


def test_a_depthwise_convolution_of_one_channel(mobilenet: Network) -> None:
    weights = load_weights(SOURCE)
    for name in list(weights):
        if name.startswith(("conv2_1_sep", "conv2_2_dw")):
            weights[name] = weights[name][:1]
    weights["conv2_2_sep_weights"] = weights["conv2_2_sep_weights"][:, :1]
    network, _ = take_shapes(mobilenet, weights, HERE)
    assert np.isfinite(scores(float_model(network, weights, HERE))).all()


def halved(weights: Arrays) -> Arrays:
    """Half of every width, rounded up, but for the image's 1 or 3 channels, kernels and what is computed."""
    result = {}
    for name, array in weights.items():
        sizes = [math.ceil(size / 2) if size > 3 else size for size in array.shape[:2]]
        if name.startswith("yolo_output"):
            sizes[0] = array.shape[0]
        elif name.startswith("fc"):
            sizes[-1] = array.shape[-1]
        result[name] = array[tuple(map(slice, sizes))]
    return result


def feeds_of(network: Network) -> dict[str, NDArray[Any]]:
    """Something of the right shape and type for all that a network reads."""
    feeds = {}
    for var in (*network.train.list_vars(), *network.test.list_vars()):
        if var.is_data:
            shape = [1, *(64 if side < 0 else side for side in var.shape[1:])]
            feeds[var.name] = np.full(shape, 64 if var.name == "im_size" else 0.5).astype(
                {paddle.float32: "float32", paddle.int32: "int32", paddle.int64: "int64"}[var.dtype]
            )
    return feeds


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        (CONFIG, ("architecture=MobileNetV2", "MobileNetV2.scale=0.5")),
        (CONFIG, ("architecture=ResNet34",)),
        (CONFIG, ("architecture=ResNet50",)),
        (DETECTOR, ()),
        (DETECTOR, ("YOLOv3.backbone=ResNet",)),
    ],
    ids=("mobilenet_v2", "resnet34", "resnet50", "yolo", "yolo_resnet"),
)
def test_every_network_takes_shapes(config: Path, overrides: tuple[str, ...]) -> None:
    network = network_of(load_config(config, overrides))
    weights = halved(first_weights(network))
    pruned, changed = take_shapes(network, weights, HERE)
    assert len(changed) > 0.9 * len(weights)
    values, feeds = first_weights(pruned), feeds_of(pruned)
    assert {name: array.shape for name, array in values.items()} == {
        name: array.shape for name, array in weights.items()
    }
    model = float_model(pruned, weights, HERE)
    assert model.run({name: feeds[name] for name in model.feeds})
    scope = paddle.static.Scope()
    initialise(pruned, scope, 1)
    (loss,) = paddle.static.Executor(core.CPUPlace()).run(
        pruned.train,
        feed={name: feeds[name] for name in pruned.train_feeds},
        fetch_list=[pruned.loss],
        scope=scope,
    )
    assert np.isfinite(loss)


# ---------------------------------------------------------------------- what does not fit


def refused(network: Network, weights: Arrays, **widths: tuple[int, ...]) -> str:
    """What is said of slices of `weights` with these shapes."""
    slices = {name: np.resize(weights[name], shape) for name, shape in widths.items()}
    with pytest.raises(CheckpointError) as error:
        take_shapes(network, weights | slices, HERE)
    return str(error.value)


@pytest.mark.parametrize(
    ("weight", "shape", "message"),
    [
        (
            "conv2_1_sep_weights",
            (16, 7, 1, 1),
            "has shape [16, 7, 1, 1], but must have [16, 8, 1, 1], since what it filters has 8 channels.",
        ),
        (
            "conv2_1_dw_weights",
            (7, 1, 3, 3),
            "has shape [7, 1, 3, 3], but must have [8, 1, 3, 3], since what it filters one by one has 8",
        ),
        (
            "conv1_bn_offset",
            (7,),
            "has shape [7], but must have [8], since what is normalised has 8 channels.",
        ),
        ("conv1_bn_variance", (8, 1), "has shape [8, 1], but must have [8], since what is normalised"),
        (
            "fc7_weights",
            (255, 10),
            "has shape [255, 10], but must have [256, 10], since what it is multiplied with has 256 columns.",
        ),
        ("fc7_weights", (256,), "has shape [256], but must have [256, 10], since"),
        ("fc7_offset", (9,), "has shape [9], but must have [10], since it is added to 10 channels."),
        ("conv1_weights", (8, 1, 5, 5), "has shape [8, 1, 5, 5], but must have [8, 1, 3, 3], since"),
        ("conv1_weights", (0, 1, 3, 3), "has shape [0, 1, 3, 3], but must have [1, 1, 3, 3], since"),
        ("conv1_weights", (8,), "has shape [8], but must have [8, 1, 3, 3], since what it filters has 1 ch"),
    ],
)
def test_slices_that_do_not_fit(
    mobilenet: Network, weight: str, shape: tuple[int, ...], message: str
) -> None:
    assert refused(mobilenet, load_weights(SOURCE), **{weight: shape}).startswith(
        f"pruned.npz: '{weight}' {message}"
    )


def test_another_number_of_classes(mobilenet: Network) -> None:
    assert refused(mobilenet, load_weights(SOURCE), fc7_weights=(256, 9), fc7_offset=(9,)) == (
        "pruned.npz: 'fc7_weights' has shape [256, 9], but must have [256, 10], since softmax takes 10"
        " channels by the configuration."
    )


def test_another_number_of_classes_of_a_detector() -> None:
    network = network_of(load_config(DETECTOR))
    weights = first_weights(network)
    name = "yolo_output.1.conv.weights"
    filters, channels = weights[name].shape[:2]
    shape = (filters + 3, channels, 1, 1)
    message = refused(network, weights, **{name: shape, "yolo_output.1.conv.bias": shape[:1]})
    assert message == (
        f"pruned.npz: '{name}' has shape {list(shape)}, but must have {[filters, *shape[1:]]}, since"
        f" yolo_box takes {filters} channels by the configuration."
    )


@pytest.mark.parametrize("width", [11, 1])  # Paddle would add one channel to each of many
def test_a_sum_of_two_widths(width: int) -> None:
    network = network_of(load_config(CONFIG, ["architecture=MobileNetV2", "MobileNetV2.scale=0.5"]))
    weights = first_weights(network)
    wide = weights["conv3_2_linear_weights"].shape
    norm = {f"conv3_2_linear_bn_{part}": (width,) for part in ("scale", "offset", "mean", "variance")}
    message = refused(network, weights, conv3_2_linear_weights=(width, *wide[1:]), **norm)
    assert f"'conv3_2_linear_weights' has shape {[width, *wide[1:]]}, but must have {list(wide)}," in message
    assert message.endswith(f"' of {wide[0]} channels.")


def test_weights_that_are_not_there(mobilenet: Network) -> None:
    weights = load_weights(SOURCE)
    del weights["conv1_weights"]
    with pytest.raises(CheckpointError, match=r"lacks 1 of the network's .* 'conv1_weights'"):
        take_shapes(mobilenet, weights, HERE)


def test_networks_that_are_put_together_otherwise() -> None:
    """A softmax of joined channels, and an op whose weights are not known here."""

    def joined(image: Any) -> Any:
        parts = [
            paddle.static.nn.conv2d(image, 2, 4, param_attr=paddle.ParamAttr(name), bias_attr=False)
            for name in ("one", "two")
        ]
        return paddle.flatten(paddle.concat(parts, axis=1), 1)

    def scaled(image: Any) -> Any:
        rate = paddle.create_parameter([1], "float32", attr=paddle.ParamAttr("rate"))
        return paddle.flatten(image, 1) * rate

    network = build_classifier(joined, (1, 4, 4))
    assert refused(network, first_weights(network), two=(3, 1, 4, 4)) == (
        "pruned.npz: by the shapes of the weights 'concat_0.tmp_0' has 5 channels, but must have 4, since"
        " flatten_contiguous_range takes 4 channels by the configuration."
    )
    network = build_classifier(scaled, (1, 2, 2))
    assert refused(network, first_weights(network), rate=(4,)) == (
        "pruned.npz: 'rate' has shape [4], but must have [1], since elementwise_mul takes no other one."
    )
