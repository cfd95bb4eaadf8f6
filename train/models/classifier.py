"""The train and test programs of an image classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qcc._paddle import paddle

IMAGE, LABEL = "image", "label"
# The names that Paddle's fc layer and softmax have given to the output of a classifier since version 1.
OUTPUT = "fc_0.tmp_2"


@dataclass(frozen=True)
class Network:
    """Programs that share their parameters by name.

    `train` reads `train_feeds` and computes `loss`, float32 [1] or []; it has no backward part yet.
    `test` reads `test_feeds` and computes `outputs`. `startup` initialises all that `train` declares.
    """

    train: Any
    test: Any
    startup: Any
    train_feeds: tuple[str, ...]
    loss: str
    train_outputs: tuple[str, ...]
    test_feeds: tuple[str, ...]
    outputs: tuple[str, ...]


def build_classifier(
    logits: Callable[[Any, bool], Any], image_shape: tuple[int, int, int], seed: int
) -> Network:
    """Build both programs around `logits(image, is_test)`.

    The input is `image`, float32 [N, C, H, W], with `label`, int64 [N, 1], in training; the output is
    `fc_0.tmp_2`, the class probabilities, float32 [N, classes]. `seed` decides the initial weights.
    """
    startup = paddle.static.Program()
    train = paddle.static.Program()
    startup.random_seed = seed
    with paddle.static.program_guard(train, startup), paddle.utils.unique_name.guard():
        image, probabilities, scores = _forward(logits, image_shape, is_test=False)
        label = paddle.static.data(LABEL, [None, 1], "int64")
        loss = paddle.mean(paddle.nn.functional.softmax_with_cross_entropy(scores, label))
    test = paddle.static.Program()
    with paddle.static.program_guard(test, paddle.static.Program()), paddle.utils.unique_name.guard():
        _forward(logits, image_shape, is_test=True)
    return Network(
        train=train,
        test=test,
        startup=startup,
        train_feeds=(image.name, label.name),
        loss=loss.name,
        train_outputs=(probabilities.name,),
        test_feeds=(image.name,),
        outputs=(probabilities.name,),
    )


def _forward(
    logits: Callable[[Any, bool], Any], image_shape: tuple[int, int, int], is_test: bool
) -> tuple[Any, Any, Any]:
    image = paddle.static.data(IMAGE, [None, *image_shape], "float32")
    scores = logits(image, is_test)
    # Named after the fc layer, as its own softmax activation would be.
    probabilities = paddle.nn.functional.softmax(scores, name=OUTPUT.split(".")[0])
    return image, probabilities, scores
