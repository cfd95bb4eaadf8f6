"""Paddle's ops that choose among boxes, in ONNX's ops."""

from qcc.backends.onnx.boxes.kinds import OPS, SUPPRESSIONS, TakenOut, take_out_boxes

__all__ = ["OPS", "SUPPRESSIONS", "TakenOut", "take_out_boxes"]
