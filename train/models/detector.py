"""The train and test programs of a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qcc._paddle import paddle, static_mode
from qcc.train.models.network import Network
from qcc.train.models.yolov3 import Yolov3Head

IMAGE, IM_SIZE = "image", "im_size"
GT_BOX, GT_LABEL, GT_SCORE = "gt_box", "gt_label", "gt_score"
Backbone = Callable[[Any], Sequence[Any]]


@static_mode()
def build_detector(backbone: Backbone, head: Yolov3Head, num_max_boxes: int) -> Network:
    """Build both programs around `backbone(image)`, which returns feature maps, the coarsest first.

    Both read `image`, float32 [N, 3, H, W], H and W multiples of 32. Training also reads the boxes,
    `num_max_boxes` per image (see `Yolov3Head.loss`); the test program reads `im_size` and computes
    `multiclass_nms_0.tmp_0` and `multiclass_nms_0.tmp_2` (see `Yolov3Head.detections`).
    """
    train, startup = paddle.static.Program(), paddle.static.Program()
    # One guard for both programs: what they share has one name, and what they do not share never has.
    with paddle.utils.unique_name.guard():
        with paddle.static.program_guard(train, startup):
            image = paddle.static.data(IMAGE, [None, 3, None, None], "float32")
            outputs = head.outputs(backbone(image))
        test = train.clone(for_test=True)
        with paddle.static.program_guard(train, startup):
            gt_box = paddle.static.data(GT_BOX, [None, num_max_boxes, 4], "float32")
            gt_label = paddle.static.data(GT_LABEL, [None, num_max_boxes], "int32")
            gt_score = paddle.static.data(GT_SCORE, [None, num_max_boxes], "float32")
            loss = head.loss(outputs, gt_box, gt_label, gt_score)
        with paddle.static.program_guard(test, paddle.static.Program()):
            im_size = paddle.static.data(IM_SIZE, [None, 2], "int32")
            outputs = [test.global_block().var(output.name) for output in outputs]
            detections, counts = head.detections(outputs, im_size)
    return Network(
        train=train,
        test=test,
        startup=startup,
        train_feeds=(IMAGE, GT_BOX, GT_LABEL, GT_SCORE),
        loss=loss.name,
        train_outputs=(),
        test_feeds=(IMAGE, IM_SIZE),
        outputs=(detections.name, counts.name),
    )
