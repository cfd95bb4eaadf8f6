"""The train and test programs of an image classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qcc._paddle import paddle, static_mode
from qcc.train.models.network import Network

IMAGE, LABEL = "image", "label"
# Paddle's fc layer has numbered its outputs like this since version 1: product, sum, softmax.
_FC = "fc_0"


@static_mode()
def build_classifier(logits: Callable[[Any], Any], image_shape: tuple[int, int, int]) -> Network:
    """Build both programs around `logits(image)`, which must end in the program's only fc layer.

    The input is `image`, float32 [N, C, H, W], in training with `label`, int64 [N, 1]; the output is
    `fc_0.tmp_2`, the class probabilities, float32 [N, classes]. Names are the same in every process.
    """
    train, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(train, startup), paddle.utils.unique_name.guard():
        image = paddle.static.data(IMAGE, [None, *image_shape], "float32")
        label = paddle.static.data(LABEL, [None, 1], "int64")
        scores = logits(image)
        probabilities = paddle.nn.functional.softmax(scores, name=_FC)
        loss = paddle.mean(paddle.nn.functional.softmax_with_cross_entropy(scores, label))
    return Network(
        train=train,
        # A clone, since a test program built anew gives other names to what batch norms return.
        test=train.clone(for_test=True),
        startup=startup,
        train_feeds=(image.name, label.name),
        loss=loss.name,
        train_outputs=(probabilities.name,),
        test_feeds=(image.name,),
        outputs=(probabilities.name,),
    )
