"""How files of models end."""

PROGRAM_SUFFIX = ".pdmodel"
PADDLE3_SUFFIX = ".json"
"""Of Paddle 3's programs."""
PARAMS_SUFFIX = ".pdiparams"
LITE_SUFFIX = ".nb"
ONNX_SUFFIX = ".onnx"
