"""Which passes lower a graph for Paddle Lite, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from qcc.backends.lite.passes.arm_ops import LiteArmOps
from qcc.backends.lite.passes.attributes import LiteAttributes
from qcc.backends.lite.passes.calib import LiteCalib
from qcc.backends.lite.passes.exact import LiteExact
from qcc.backends.lite.passes.fold_bn import LiteFoldBn
from qcc.backends.lite.passes.fold_constants import LiteFoldConstants
from qcc.backends.lite.passes.fold_reshape import FoldReshape
from qcc.backends.lite.passes.fold_transpose import FoldTranspose
from qcc.backends.lite.passes.fuse_conv_activation import FuseConvActivation
from qcc.backends.lite.passes.fuse_conv_bias import FuseConvBias
from qcc.backends.lite.passes.fuse_conv_conv import FuseConvConv
from qcc.backends.lite.passes.fuse_elementwise_activation import FuseElementwiseActivation
from qcc.backends.lite.passes.fuse_fc import FuseFc
from qcc.backends.lite.passes.fuse_flatten_fc import FuseFlattenFc
from qcc.backends.lite.passes.fuse_pad2d import FusePad2d
from qcc.backends.lite.passes.global_pool import GlobalPool
from qcc.backends.lite.passes.int8_bias import LiteInt8Bias
from qcc.backends.lite.passes.int8_out import LiteInt8Out
from qcc.backends.lite.passes.kernels import LiteKernels
from qcc.backends.lite.passes.ops import LiteOps
from qcc.backends.lite.passes.own_filter import LiteOwnFilter
from qcc.backends.lite.passes.quantize import LiteQuantize
from qcc.backends.lite.passes.reduce import LiteReduce
from qcc.backends.lite.passes.remove_identity import RemoveIdentity
from qcc.backends.lite.passes.round import LiteRound
from qcc.backends.lite.passes.set_value import LiteSetValue
from qcc.backends.lite.passes.shuffle_channel import FuseShuffleChannel
from qcc.backends.lite.passes.spell_out import LiteSpellOut
from qcc.backends.lite.passes.split_products import LiteSplitProducts
from qcc.backends.lite.passes.weight_only import WeightOnly
from qcc.backends.lite.rules.view import Rows
from qcc.passes.base import Pass
from qcc.passes.channels_first import ChannelsFirst
from qcc.passes.constant_arguments import ConstantArguments
from qcc.passes.einsum_to_matmul import EinsumToMatmul
from qcc.passes.fuse_activations import FuseActivations
from qcc.passes.manager import PassManager
from qcc.passes.prune import Prune
from qcc.targets.lite import Arch


def lowering(
    arch: Arch,
    *,
    x86_int8: bool = False,
    weight_only: Literal[8, 16] | None = None,
    rows: Rows = "declared",
) -> PassManager:
    """The pipeline from a float, frozen or QDQ graph to one that can be written as a naive buffer.

    On ARM what is quantized runs in int8; `rows` says whether the number of rows that products see may
    change between runs. On x86 it is computed exactly by float kernels; with `x86_int8`, in int8 where that
    is exact.
    `weight_only` stores the weights of a float graph with so many bits.
    """
    return PassManager(tuple(_passes(arch, x86_int8, weight_only, rows)))


def _passes(arch: Arch, x86_int8: bool, weight_only: Literal[8, 16] | None, rows: Rows) -> Iterator[Pass]:
    arm = arch == "arm"
    yield from (Prune(), ChannelsFirst(), EinsumToMatmul(), ConstantArguments(), LiteFoldConstants(arch=arch))
    yield from (
        FuseActivations(),
        LiteQuantize(),
        LiteSpellOut(),
        LiteOps(arch=arch),
        LiteSetValue(),
        LiteReduce(arch=arch),
    )
    if arm:
        yield LiteArmOps()
    # As in Paddle Lite's own optimizer: a bias may stand before or behind a norm.
    yield from (FoldReshape(), FoldTranspose(), FuseConvBias(), LiteFoldBn(), FuseConvBias(), FuseConvConv())
    if arm:
        yield LiteSplitProducts(rows=rows)
    yield FuseConvActivation(arch=arch, rows=rows)
    # Integers can be stored for the weight of an fc op, not for that of a matmul.
    yield from (FuseFc(bare=not arm or weight_only is not None, arch=arch, rows=rows), FuseFlattenFc())
    yield from (FuseShuffleChannel(), FuseElementwiseActivation(), FusePad2d(), GlobalPool())
    yield RemoveIdentity()
    if weight_only is not None:
        yield WeightOnly(bits=weight_only)
    if arm:
        yield from (LiteExact(keep="arm"), LiteOwnFilter())
    else:
        yield LiteExact(keep="x86" if x86_int8 else "none")
    yield from (LiteInt8Bias(), LiteInt8Out(arch=arch), LiteCalib())
    if not arm:
        yield LiteRound()
    yield from (LiteAttributes(), LiteKernels(arch=arch, rows=rows))
