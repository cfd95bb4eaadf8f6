"""What Paddle Inference makes of a model with oneDNN in int8."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qcc._paddle import core

_OPTIMIZE = """
import sys
from paddle.inference import Config, create_predictor
config = Config(sys.argv[1] + "/model.pdmodel", sys.argv[1] + "/model.pdiparams")
config.enable_mkldnn()
config.enable_mkldnn_int8()
config.set_optim_cache_dir(sys.argv[2])
config.enable_save_optim_model(True)
create_predictor(config)
"""


def optimized(model: Path, place: Path) -> list[tuple[str, str]]:
    """The ops of the program that runs, and in which type oneDNN computes them: "int8", "float32", or "" of
    others. `place`: a new folder."""
    place.mkdir()
    subprocess.run([sys.executable, "-c", _OPTIMIZE, model, place], check=True, capture_output=True)
    program = core.ProgramDesc((place / "_optimized.pdmodel").read_bytes())  # the block is its own
    ops = [program.block(0).op(number) for number in range(program.block(0).op_size())]
    return [(op.type(), op.attr(_TYPE) if op.has_attr(_TYPE) else "") for op in ops]


_TYPE = "mkldnn_data_type"
