"""YOLOv3 (Redmon and Farhadi 2018, arXiv:1804.02767): detection head, loss and decoding.

Parameter names are those of PaddleDetection (`yolo_block.0.0.0.conv.weights`, ...), so that weights trained
there fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import LayerHelper, paddle
from qcc.train.models.layers import NormNames, batch_norm, convolution

# Channels of the first detection block and of the first transition at scale 1; each further block has half.
_BLOCK_CHANNELS, _TRANSITION_CHANNELS = 512, 256
_COARSEST_STRIDE = 32
_LEAKY_SLOPE = 0.1
_FIRST_OBJECTNESS = 0.01
# Boxes that are less likely than this are set to zero before the NMS sees them.
_LEAST_CONFIDENCE = 0.005


@dataclass(frozen=True)
class Nms:
    """Options of the `multiclass_nms3` operator."""

    background_label: int = -1
    keep_top_k: int = 100
    nms_threshold: float = 0.45
    nms_top_k: int = 1000
    normalized: bool = False
    score_threshold: float = 0.01


@dataclass(frozen=True)
class Yolov3Head:
    """`anchors`: (width, height) in pixels of the network's input; `anchor_masks`: which anchors each output
    uses, the coarsest output first; `scale` multiplies channel counts."""

    num_classes: int
    anchors: tuple[tuple[int, int], ...]
    anchor_masks: tuple[tuple[int, ...], ...]
    ignore_thresh: float = 0.7
    label_smooth: bool = True
    norm_decay: float = 0.0
    scale: float = 1.0
    nms: Nms = Nms()

    def outputs(self, features: Sequence[Any]) -> list[Any]:
        """Append the head to feature maps of strides 32, 16, 8, ..., as many as there are anchor masks.

        Returns float32 [N, anchors * (5 + classes), H, W] per map: x, y, w, h, objectness, class scores.
        """
        outputs = []
        route = None
        for number, (feature, mask) in enumerate(zip(features, self.anchor_masks, strict=True)):
            data = feature if route is None else paddle.concat([route, feature], axis=1)
            route, tip = self._detection_block(data, number)
            outputs.append(self._output(tip, number, len(mask)))
            if number + 1 < len(self.anchor_masks):
                channels = self._width(_TRANSITION_CHANNELS >> number)
                route = self._conv_bn(route, channels, 1, f"yolo_transition.{number}")
                route = paddle.nn.functional.interpolate(route, scale_factor=2, mode="nearest")
        return outputs

    def loss(self, outputs: Sequence[Any], gt_box: Any, gt_label: Any, gt_score: Any) -> Any:
        """Append the loss, float32 [], a mean over the batch of the sum over outputs.

        `gt_box`: float32 [N, B, 4], centre x and y, width, height, as fractions of the image, zero where
        there is none; `gt_label`: int32 [N, B]; `gt_score`: float32 [N, B], the weight of each box.
        """
        losses = [
            paddle.mean(
                paddle.vision.ops.yolo_loss(
                    output,
                    gt_box,
                    gt_label,
                    anchors=self._flat_anchors(),
                    anchor_mask=list(mask),
                    class_num=self.num_classes,
                    ignore_thresh=self.ignore_thresh,
                    downsample_ratio=_COARSEST_STRIDE >> number,
                    gt_score=gt_score,
                    use_label_smooth=self.label_smooth,
                )
            )
            for number, (output, mask) in enumerate(zip(outputs, self.anchor_masks, strict=True))
        ]
        return paddle.add_n(losses)

    def detections(self, outputs: Sequence[Any], im_size: Any) -> tuple[Any, Any]:
        """Append decoding and non-maximum suppression.

        `im_size`: int32 [N, 2], height and width of the images. Returns float32 [M, 6], class, score, left,
        top, right, bottom in pixels of the image, those of the first image first, and int32 [N], how many
        belong to each. They are named `multiclass_nms_0.tmp_0` and `multiclass_nms_0.tmp_2`.
        """
        boxes, scores = [], []
        for number, (output, mask) in enumerate(zip(outputs, self.anchor_masks, strict=True)):
            box, score = paddle.vision.ops.yolo_box(
                output,
                im_size,
                anchors=self._flat_anchors(mask),
                class_num=self.num_classes,
                conf_thresh=_LEAST_CONFIDENCE,
                downsample_ratio=_COARSEST_STRIDE >> number,
            )
            boxes.append(box)
            scores.append(paddle.transpose(score, [0, 2, 1]))
        return _multiclass_nms(paddle.concat(boxes, axis=1), paddle.concat(scores, axis=2), self.nms)

    def _detection_block(self, data: Any, number: int) -> tuple[Any, Any]:
        """Returns what the next, finer block takes over and what the output is computed from."""
        name, channels = f"yolo_block.{number}", self._width(_BLOCK_CHANNELS >> number)
        for step in range(2):
            data = self._conv_bn(data, channels, 1, f"{name}.{step}.0")
            data = self._conv_bn(data, channels * 2, 3, f"{name}.{step}.1")
        route = self._conv_bn(data, channels, 1, f"{name}.2")
        return route, self._conv_bn(route, channels * 2, 3, f"{name}.tip")

    def _output(self, tip: Any, number: int, anchors: int) -> Any:
        return paddle.static.nn.conv2d(
            tip,
            anchors * (5 + self.num_classes),
            1,
            param_attr=paddle.ParamAttr(name=f"yolo_output.{number}.conv.weights"),
            bias_attr=paddle.ParamAttr(
                name=f"yolo_output.{number}.conv.bias",
                regularizer=paddle.regularizer.L2Decay(0.0),
                initializer=paddle.nn.initializer.Assign(self._first_bias(anchors)),
            ),
        )

    def _first_bias(self, anchors: int) -> NDArray[np.float32]:
        """Zero, but for an objectness that starts low everywhere (Lin et al. 2017, arXiv:1708.02002, 3.3)."""
        bias = np.zeros((anchors, 5 + self.num_classes), np.float32)
        bias[:, 4] = -np.log((1 - _FIRST_OBJECTNESS) / _FIRST_OBJECTNESS)
        return bias.reshape(-1)

    def _conv_bn(self, data: Any, channels: int, kernel: int, name: str) -> Any:
        conv = convolution(data, channels, kernel, f"{name}.conv.weights")
        names = NormNames(f"{name}.bn.scale", f"{name}.bn.offset", f"{name}.bn.mean", f"{name}.bn.var")
        normed = batch_norm(conv, names, self.norm_decay)
        return paddle.nn.functional.leaky_relu(normed, _LEAKY_SLOPE)

    def _width(self, channels: int) -> int:
        return max(1, int(channels * self.scale))

    def _flat_anchors(self, mask: Sequence[int] | None = None) -> list[int]:
        chosen = self.anchors if mask is None else [self.anchors[index] for index in mask]
        return [side for anchor in chosen for side in anchor]


def _multiclass_nms(boxes: Any, scores: Any, nms: Nms) -> tuple[Any, Any]:
    # Paddle has no Python function for this operator; the name makes its outputs multiclass_nms_0.tmp_0 to 2.
    helper = LayerHelper("multiclass_nms")
    detections = helper.create_variable_for_type_inference(boxes.dtype)
    index = helper.create_variable_for_type_inference("int32")
    counts = helper.create_variable_for_type_inference("int32")
    helper.append_op(
        type="multiclass_nms3",
        inputs={"BBoxes": boxes, "Scores": scores},
        outputs={"Out": detections, "Index": index, "NmsRoisNum": counts},
        attrs={
            "background_label": nms.background_label,
            "keep_top_k": nms.keep_top_k,
            "nms_eta": 1.0,
            "nms_threshold": nms.nms_threshold,
            "nms_top_k": nms.nms_top_k,
            "normalized": nms.normalized,
            "score_threshold": nms.score_threshold,
        },
    )
    for variable in (detections, index, counts):
        variable.stop_gradient = True
    return detections, counts
