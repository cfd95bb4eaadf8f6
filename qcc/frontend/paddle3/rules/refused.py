"""Why there is no rule for an op, and what to do instead where there is something."""

from __future__ import annotations

_TRAINING = "it belongs to training: save the model for inference"
_DEVICES = "it spreads a model over devices: save the model from one device"

# By the beginning of the name.
_FAMILIES = {
    "c_": _DEVICES,
    "moe_": "it routes between experts on GPUs, which no Paddle did before 3",
    "fp8_": "it computes in fp8, a data type that Paddle 2.6 lacks: save the model in float32",
    "flash": "a kernel of GPUs: Paddle's build for CPUs saves the same layer as single ops",
    "weight_": "it stores weights as GPUs want them: save the float model, and quantize it with qcc",
}
_OPS = {
    "fused_rotary_position_embedding": "Paddle 2.6 has it on GPUs alone: build the model without it",
    "gammaincc": "there is no such op in Paddle 2.6",
    "interp_antialias": "Paddle 2.6 has no antialiasing: resize without `antialias`",
    "pylayer": "a PyLayer is code of your own: replace it by ops of Paddle",
    "tensorrt_engine": "it was compiled for TensorRT: save the model without",
}


def why_not(op: str) -> str:
    """The reason, and a way out where there is one."""
    dialect, _, name = op.partition(".")
    plain = name.rstrip("_")
    if dialect == "custom_op":
        return "an op of your own: replace it by ops of Paddle, and save the model again"
    if dialect == "dist":
        return _DEVICES
    if plain.endswith("_grad") or "_grad_" in plain:
        return _TRAINING
    if name.endswith(("_sp", "_sr")):
        return "it computes on sparse tensors: save the model with dense ones"
    if plain in _OPS:
        return _OPS[plain]
    family = next((reason for start, reason in _FAMILIES.items() if plain.startswith(start)), None)
    return family or "there is no such op in Paddle 2.6"
