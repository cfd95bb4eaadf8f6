"""Paddle's non-maximum suppressions in ONNX's ops."""

from qcc.backends.onnx.nms.kinds import SUPPRESSIONS, take_out_suppressions
from qcc.backends.onnx.nms.suppression import Suppression

__all__ = ["SUPPRESSIONS", "Suppression", "take_out_suppressions"]
