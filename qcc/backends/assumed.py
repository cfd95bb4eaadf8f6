"""What has not happened to a model yet, assumed, to see before any training what will become of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.errors import PassError
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.channels_first import ChannelsFirst
from qcc.passes.constant_arguments import ConstantArguments
from qcc.passes.einsum_to_matmul import EinsumToMatmul
from qcc.passes.fake_quant import FUSED_OPS, QUANTIZE_OPS
from qcc.passes.fold_bn import FoldBn
from qcc.passes.fold_constants import FoldConstants
from qcc.passes.fuse_activations import FuseActivations
from qcc.passes.instruments import OpCount, Verification
from qcc.passes.own_names import OwnNames
from qcc.passes.static_scales import StaticScales, dynamic_ops, is_dynamic
from qcc.quantization import state

SCHEME = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
FOLDS = (
    OwnNames(),
    ChannelsFirst(),
    EinsumToMatmul(),
    FoldConstants(),
    ConstantArguments(),
    FuseActivations(),
    FoldBn(),
)
"""What a float model goes through before it is quantized. More of it is, and runs then: a weight that ops
compute, such as that of `Conv1D`, is seen as one once they are folded."""
_STAND_IN = 1.0


@dataclass(frozen=True)
class Assumed:
    """`model`: frozen, with fixed scales. `quantized`: whether the one given was; `dynamic`: whether it
    measures its activations' scales at every run; `notes`: what the passes said that quantized it here."""

    model: Model
    quantized: bool
    dynamic: bool
    notes: tuple[str, ...]


def assume_frozen(model: Model) -> Assumed:
    """A float model quantized with `SCHEME` after `FOLDS`, a transformed one frozen, scales that are not
    known set to 1.

    Raises PassError.
    """
    quantized = state(model.graph) != "float"
    counts = OpCount()
    if not quantized:
        model = PassManager((*FOLDS, PassManager.parse(SCHEME))).run(model, (Verification(), counts))
    frozen = _frozen(model)
    dynamic = is_dynamic(frozen.graph)
    notes = tuple(note for change in counts.changes for note in change.result.notes)
    return Assumed(_with_stand_ins(frozen) if dynamic else frozen, quantized, dynamic, notes)


def _frozen(model: Model) -> Model:
    if state(model.graph) != "transformed":
        return model
    model = model.copy()
    for op in model.graph.ops:
        if op.type in (*QUANTIZE_OPS, *FUSED_OPS) and "InScale" in op.inputs:
            model.weights[op.input("InScale").name] = np.full(1, _STAND_IN, np.float32)
        elif op.type == "quantize_linear" and not op.input("X").persistable:
            model.weights[op.input("Scale").name] = np.full(1, _STAND_IN, np.float32)
    try:
        return PassManager.parse("freeze").run(model)
    except PassError as error:
        raise PassError(str(error.__cause__ or error)) from error


def _with_stand_ins(model: Model) -> Model:
    scales = tuple(f"{op.input('X').name}={_STAND_IN}" for op in dynamic_ops(model.graph))
    return PassManager((StaticScales(scales=scales),)).run(model)
