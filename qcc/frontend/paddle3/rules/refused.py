"""Why there is no rule for an op."""

from __future__ import annotations


def why_not(op: str) -> str:
    """The reason, and a way out where there is one."""
    dialect, _, name = op.partition(".")
    if dialect == "custom_op":
        return "an op of your own; replace it with ops of Paddle and save the model again"
    if dialect == "dist":
        return "it spreads a model over devices; save the model from one device"
    if name.endswith(("_sp", "_sr")):
        return "it computes on sparse tensors"
    if name.rstrip("_").endswith("_grad"):
        return "it belongs to training; save the model for inference"
    return "there is no such op in Paddle 2.6"
